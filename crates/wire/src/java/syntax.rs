//! What is wrong with a text that is no JSON, in Jackson's words and at its place.
//!
//! Bodies are read by the house's own reader. Only when that has found a fault is the text gone over again here, as a
//! streaming parser would: it stops at the first thing that Jackson complains of, and tells what a binder had heard
//! until then, since a wrong member before the fault is what a product reports. So nothing here decides what is accepted.
//! Columns count bytes; the place is the one after what was read last, but for a character that is out of place ([`Mapper::at_character`]).
//!
//! A string is read when it is bound, so a fault in it names the member; other tokens are read with the name before
//! them and do not.

mod scalars;

use super::jackson::{Mapper, Path, Place};

/// The first fault of a text.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxFault {
    /// What Jackson says.
    pub words: String,
    /// The text as far as it was heard, made whole; none if nothing was.
    pub heard: Option<String>,
}

/// Looks for the first fault. `lead` is how many bytes of a byte order mark stood before. `None`: Jackson would find
/// none.
pub fn find_fault(bytes: &[u8], lead: usize, max_depth: usize, mapper: &Mapper) -> Option<SyntaxFault> {
    let mut finder = Finder {
        bytes,
        at: 0,
        row: 1,
        row_start: 0,
        lead,
        scopes: Vec::new(),
        token: "null",
        heard: 0,
        is_open: false,
        max_depth,
        mapper,
    };
    let words = finder.document().err()?;
    let heard = (finder.heard > 0).then(|| {
        let mut heard = String::from_utf8_lossy(&bytes[..finder.heard]).into_owned();
        heard.push_str(if finder.is_open { "\"" } else { "" });
        heard.extend(finder.scopes.iter().rev().map(|scope| if scope.is_array { ']' } else { '}' }));
        heard
    });
    Some(SyntaxFault { words, heard })
}

struct Scope {
    is_array: bool,
    start: Place,
    /// The member that is being read.
    name: String,
    /// Values begun.
    count: usize,
}

struct Finder<'a> {
    bytes: &'a [u8],
    at: usize,
    row: usize,
    row_start: usize,
    lead: usize,
    scopes: Vec<Scope>,
    /// The last token, by Jackson's name.
    token: &'static str,
    /// Where what was heard ends.
    heard: usize,
    /// Whether that is within a string.
    is_open: bool,
    max_depth: usize,
    mapper: &'a Mapper,
}

type Read<T> = Result<T, String>;

impl Finder<'_> {
    fn document(&mut self) -> Read<()> {
        loop {
            let Some(mut byte) = self.skip_blanks()? else {
                let Some(scope) = self.scopes.last() else { return self.fail_at_root() };
                let kind = if scope.is_array { "Array" } else { "Object" };
                let start = self.mapper.source(scope.start);
                return self.fail(&format!(
                    "Unexpected end-of-input: expected close marker for {kind} (start marker at {start})"
                ));
            };
            if matches!(byte, b']' | b'}') {
                self.close(byte)?;
            } else {
                if self.scopes.last().is_some_and(|scope| scope.count > 0) {
                    if byte != b',' {
                        let what = format!("was expecting comma to separate {} entries", self.scope_name());
                        return self.unexpected(byte, &what);
                    }
                    byte = self.skip_blanks_within()?;
                }
                if let Some(scope) = self.scopes.last_mut() {
                    scope.count += 1;
                }
                if self.scopes.last().is_some_and(|scope| !scope.is_array) {
                    let name = self.name(byte)?;
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.name = name;
                    }
                    byte = self.colon()?;
                    self.token = "FIELD_NAME";
                }
                self.value(byte)?;
            }
            if self.scopes.is_empty() {
                return Ok(());
            }
        }
    }

    fn fail_at_root(&self) -> Read<()> {
        // The one place that Jackson counts from nought.
        Err(format!("No content to map due to end-of-input{}", self.mapper.at(Place { line: 1, column: 0 })))
    }

    fn close(&mut self, byte: u8) -> Read<()> {
        let is_array = byte == b']';
        if self.scopes.last().is_some_and(|scope| scope.is_array == is_array) {
            self.scopes.pop();
            self.token = if is_array { "END_ARRAY" } else { "END_OBJECT" };
            self.heard = self.at;
            return Ok(());
        }
        let (given, wanted) = if is_array { (']', '}') } else { ('}', ']') };
        let start = self.scopes.last().map_or(Place { line: 1, column: 0 }, |scope| scope.start);
        let start = self.mapper.source(start);
        let kind = self.scope_name();
        self.fail(&format!("Unexpected close marker '{given}': expected '{wanted}' (for {kind} starting at {start})"))
    }

    fn value(&mut self, byte: u8) -> Read<()> {
        match byte {
            b'"' => {
                self.token = "VALUE_STRING";
                if self.is_unknown_member() {
                    (self.heard, self.is_open) = (self.at, true);
                }
                self.string()?;
                self.is_open = false;
            }
            b'[' | b'{' => {
                let is_array = byte == b'[';
                if self.scopes.len() >= self.max_depth {
                    let (depth, max) = (self.scopes.len() + 1, self.max_depth);
                    return self.fail(&format!("Depth ({depth}) exceeds the maximum allowed nesting depth ({max})"));
                }
                let start = Place { column: self.place().column - 1, ..self.place() };
                self.scopes.push(Scope { is_array, start, name: String::new(), count: 0 });
                self.token = if is_array { "START_ARRAY" } else { "START_OBJECT" };
            }
            b't' => self.literal("true", 1, "VALUE_TRUE")?,
            b'f' => self.literal("false", 1, "VALUE_FALSE")?,
            b'n' => self.literal("null", 1, "VALUE_NULL")?,
            b'-' => self.negative()?,
            b'0'..=b'9' => self.number(byte)?,
            other => return self.no_value(other),
        }
        self.heard = self.at;
        Ok(())
    }

    /// Whether what is read is the value of a member that no one knows: its binder asks for no more than its beginning.
    fn is_unknown_member(&self) -> bool {
        matches!(&self.scopes[..], [scope] if !scope.is_array && !self.mapper.knows(&scope.name))
    }

    fn name(&mut self, byte: u8) -> Read<String> {
        if byte != b'"' {
            let c = self.char_for_error(byte)?;
            return self.fail_at_character(&format!(
                "Unexpected character ({}): was expecting double-quote to start field name",
                described(c)
            ));
        }
        if self.peek().is_none() {
            return self.fail("Unexpected end-of-input: was expecting closing '\"' for name");
        }
        let mut name = String::new();
        loop {
            match self.next() {
                None => return self.fail("Unexpected end-of-input in field name"),
                Some(b'"') => return Ok(name),
                Some(b'\\') => name.push(self.escape(false)?),
                Some(byte) if byte < b' ' => return self.unquoted(byte, "name", false),
                Some(byte) => name.push(self.utf8(byte, false)?),
            }
        }
    }

    fn colon(&mut self) -> Read<u8> {
        let byte = self.skip_blanks_within()?;
        if byte != b':' {
            return self.unexpected(byte, "was expecting a colon to separate field name and value");
        }
        self.skip_blanks_within()
    }

    /// The next byte that is no blank.
    fn skip_blanks(&mut self) -> Read<Option<u8>> {
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' => {}
                b'\n' => self.new_row(),
                b'\r' => {
                    if self.peek() == Some(b'\n') {
                        self.at += 1;
                    }
                    self.new_row();
                }
                b'/' => {
                    let why = "maybe a (non-standard) comment? \
                               (not recognized as one since Feature 'ALLOW_COMMENTS' not enabled for parser)";
                    return self.unexpected(byte, why);
                }
                byte if byte < b' ' => {
                    let what = described(char::from(byte));
                    return self.fail_at_character(&format!(
                        "Illegal character ({what}): only regular white space (\\r, \\n, \\t) is allowed between tokens"
                    ));
                }
                byte => return Ok(Some(byte)),
            }
        }
        Ok(None)
    }

    fn skip_blanks_within(&mut self) -> Read<u8> {
        match self.skip_blanks()? {
            Some(byte) => Ok(byte),
            None => self.fail(&format!("Unexpected end-of-input within/between {} entries", self.scope_name())),
        }
    }

    fn new_row(&mut self) {
        self.row += 1;
        self.row_start = self.at;
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn scope_name(&self) -> &'static str {
        match self.scopes.last() {
            None => "root",
            Some(scope) if scope.is_array => "Array",
            Some(_) => "Object",
        }
    }

    fn place(&self) -> Place {
        let lead = if self.row == 1 { self.lead } else { 0 };
        Place { line: self.row, column: self.at - self.row_start + lead + 1 }
    }

    fn unexpected<T>(&self, byte: u8, why: &str) -> Read<T> {
        self.fail_at_character(&format!("Unexpected character ({}): {why}", described(char::from(byte))))
    }

    fn bad_digit<T>(&self, c: char, why: &str) -> Read<T> {
        self.fail_at_character(&format!("Unexpected character ({}) in numeric value: {why}", described(c)))
    }

    /// A fault between values: it belongs to the member that holds them, if that is open.
    fn fail<T>(&self, what: &str) -> Read<T> {
        self.fail_between(what, self.place())
    }

    /// Such a fault of the character that was read last.
    fn fail_at_character<T>(&self, what: &str) -> Read<T> {
        let after = self.place();
        let column = if self.mapper.at_character { after.column - 1 } else { after.column };
        self.fail_between(what, Place { column, ..after })
    }

    fn fail_between<T>(&self, what: &str, place: Place) -> Read<T> {
        let path = match &self.scopes[..] {
            [outer, _, ..] if !outer.is_array => Path::Member(&outer.name),
            _ => Path::Root,
        };
        Err(format!("{what}{}{}", self.mapper.at(place), self.mapper.through(path)))
    }

    /// A fault within a string: it belongs to what the string is the value of.
    fn fail_in_string<T>(&self, what: &str) -> Read<T> {
        let path = match &self.scopes[..] {
            [outer] if !outer.is_array => Path::Member(&outer.name),
            [outer, inner, ..] if inner.is_array => Path::Element(&outer.name, inner.count - 1),
            [outer, inner, ..] => Path::Entry(&outer.name, &inner.name),
            _ => Path::Root,
        };
        Err(format!("{what}{}{}", self.mapper.at(self.place()), self.mapper.through(path)))
    }
}

fn described(c: char) -> String {
    let code = u32::from(c);
    match c {
        c if c.is_control() => format!("(CTRL-CHAR, code {code})"),
        c if code > 255 => format!("'{c}' (code {code} / 0x{code:x})"),
        c => format!("'{c}' (code {code})"),
    }
}
