//! Texts, numbers and words: what one value without others in it can be wrong in.

use super::{Finder, Read, described};

const VALUES: &str = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
const LONGEST_TOKEN: usize = 256;

impl Finder<'_> {
    pub(super) fn no_value(&mut self, byte: u8) -> Read<()> {
        let in_array = self.scopes.last().is_some_and(|scope| scope.is_array);
        match byte {
            b',' | b'}' => return self.unexpected(byte, "expected a value"),
            b']' if in_array => return self.unexpected(byte, "expected a value"),
            b'N' => return self.non_number("NaN", 1),
            b'I' => return self.non_number("Infinity", 1),
            b'+' => {
                if self.next().is_none() {
                    return self.fail("Unexpected end-of-input in a Number value");
                }
                let why = "JSON spec does not allow numbers to have plus signs: \
                           enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow";
                return self.bad_digit('+', why);
            }
            _ => {}
        }
        let c = char::from(byte);
        if c.is_alphabetic() || matches!(c, '_' | '$') {
            return self.bad_token(c.to_string());
        }
        self.unexpected(byte, &format!("expected a valid value {VALUES}"))
    }

    fn non_number(&mut self, word: &str, matched: usize) -> Read<()> {
        self.literal(word, matched, "")?;
        self.fail(&format!("Non-standard token '{word}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"))
    }

    pub(super) fn literal(&mut self, word: &str, matched: usize, token: &'static str) -> Read<()> {
        for (at, wanted) in word.bytes().enumerate().skip(matched) {
            if self.peek() != Some(wanted) {
                return self.bad_token(word[..at].to_owned());
            }
            self.at += 1;
        }
        if self.peek().is_some_and(|byte| byte >= b'0' && is_identifier_part(char::from(byte))) {
            return self.bad_token(word.to_owned());
        }
        self.token = token;
        Ok(())
    }

    fn bad_token(&mut self, mut token: String) -> Read<()> {
        while let Some(byte) = self.next() {
            let c = self.char_for_error(byte)?;
            if !is_identifier_part(c) {
                break;
            }
            token.push(c);
            if token.encode_utf16().count() >= LONGEST_TOKEN {
                token.push_str("...");
                break;
            }
        }
        self.fail(&format!("Unrecognized token '{token}': was expecting {VALUES}"))
    }

    pub(super) fn negative(&mut self) -> Read<()> {
        match self.next_of_number()? {
            byte @ b'0'..=b'9' => self.number(byte),
            b'.' => self.no_value(b'.'),
            b'I' if self.peek() == Some(b'n') => {
                self.at += 1;
                self.non_number("-Infinity", 3)
            }
            other => {
                self.bad_digit(char::from(other), "expected digit (0-9) to follow minus sign, for valid numeric value")
            }
        }
    }

    pub(super) fn number(&mut self, first: u8) -> Read<()> {
        if first == b'0' && self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail("Invalid numeric value: Leading zeroes not allowed");
        }
        self.digits();
        let mut token = "VALUE_NUMBER_INT";
        if self.peek() == Some(b'.') {
            self.at += 1;
            token = "VALUE_NUMBER_FLOAT";
            if self.digits() == 0 {
                // At the end of the input it is the point itself that is reported.
                let next = self.next().unwrap_or(b'.');
                return self.bad_digit(char::from(next), "Decimal point not followed by a digit");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            token = "VALUE_NUMBER_FLOAT";
            let mut byte = self.next_of_number()?;
            if matches!(byte, b'+' | b'-') {
                byte = self.next_of_number()?;
            }
            if !byte.is_ascii_digit() {
                return self.bad_digit(char::from(byte), "Exponent indicator not followed by a digit");
            }
            self.digits();
        }
        self.token = token;
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn next_of_number(&mut self) -> Read<u8> {
        match self.next() {
            Some(byte) => Ok(byte),
            None => self.fail(&format!("Unexpected end-of-input in {}", self.token)),
        }
    }

    pub(super) fn string(&mut self) -> Read<()> {
        loop {
            match self.next() {
                None => return self.fail_in_string("Unexpected end-of-input in VALUE_STRING"),
                Some(b'"') => return Ok(()),
                Some(b'\\') => drop(self.escape(true)?),
                Some(byte) if byte < b' ' => return self.unquoted(byte, "string value", true),
                Some(byte) => drop(self.utf8(byte, true)?),
            }
        }
    }

    pub(super) fn escape(&mut self, in_string: bool) -> Read<char> {
        const CUT: &str = "Unexpected end-of-input in character escape sequence";
        let fail = |finder: &Self, what: &str| if in_string { finder.fail_in_string(what) } else { finder.fail(what) };
        let Some(byte) = self.next() else { return fail(self, CUT) };
        match byte {
            b'"' | b'\\' | b'/' => return Ok(char::from(byte)),
            b'b' => return Ok('\u{8}'),
            b'f' => return Ok('\u{c}'),
            b'n' => return Ok('\n'),
            b'r' => return Ok('\r'),
            b't' => return Ok('\t'),
            b'u' => {}
            other => {
                let c = self.char_for_error(other)?;
                return fail(self, &format!("Unrecognized character escape {}", described(c)));
            }
        }
        let mut unit = 0;
        for _ in 0..4 {
            let Some(byte) = self.next() else { return fail(self, CUT) };
            let Some(digit) = char::from(byte).to_digit(16) else {
                let what = described(char::from(byte));
                return fail(
                    self,
                    &format!("Unexpected character ({what}): expected a hex-digit for character escape sequence"),
                );
            };
            unit = unit * 16 + digit;
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    pub(super) fn unquoted<T>(&self, byte: u8, part: &str, in_string: bool) -> Read<T> {
        let what = described(char::from(byte));
        let words =
            format!("Illegal unquoted character ({what}): has to be escaped using backslash to be included in {part}");
        if in_string { self.fail_in_string(&words) } else { self.fail(&words) }
    }

    /// The rest of a character, as laxly as Jackson has it.
    pub(super) fn utf8(&mut self, first: u8, in_string: bool) -> Read<char> {
        let (mut c, more) = match first {
            0..=0x7f => return Ok(char::from(first)),
            0xc0..=0xdf => (u32::from(first & 0x1f), 1),
            0xe0..=0xef => (u32::from(first & 0x0f), 2),
            0xf0..=0xf7 => (u32::from(first & 0x07), 3),
            _ => {
                let words = format!("Invalid UTF-8 start byte 0x{first:x}");
                return if in_string { self.fail_in_string(&words) } else { self.fail(&words) };
            }
        };
        for _ in 0..more {
            let next = self.next();
            if let Some(byte @ 0x80..=0xbf) = next {
                c = c << 6 | u32::from(byte & 0x3f);
                continue;
            }
            let words = match next {
                Some(byte) => format!("Invalid UTF-8 middle byte 0x{byte:x}"),
                None => format!("Unexpected end-of-input in {}", self.token),
            };
            return if in_string { self.fail_in_string(&words) } else { self.fail(&words) };
        }
        Ok(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    pub(super) fn char_for_error(&mut self, first: u8) -> Read<char> {
        self.utf8(first, false)
    }
}

fn is_identifier_part(c: char) -> bool {
    let ignorable = matches!(c, '\u{0}'..='\u{8}' | '\u{e}'..='\u{1b}' | '\u{7f}'..='\u{9f}');
    c.is_alphanumeric() || matches!(c, '_' | '$') || ignorable
}
