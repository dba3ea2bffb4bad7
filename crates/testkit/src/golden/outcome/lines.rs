//! Lines of a noun and `key=value` pairs, with text below them.

use std::{iter::Peekable, str::Chars, sync::Arc};

use batchlingua_core::Principal;
use batchlingua_wire::Face;

/// One line with the `|` lines below it. What is taken out of it is known; [`Line::finish`] refuses the rest.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Its first word.
    pub(crate) noun: String,
    /// Without the bar.
    pub(crate) text: Vec<String>,
    rest: String,
    pairs: Vec<(String, String)>,
}

impl Line {
    /// The value of a key, the first if there are several.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(k, _)| k == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// All values of a key.
    pub(crate) fn texts(&mut self, key: &str) -> Vec<String> {
        std::iter::from_fn(|| self.text(key)).collect()
    }

    /// All pairs whose keys begin so, without that beginning.
    pub(crate) fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        let (with, without) = std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key.starts_with(prefix));
        self.pairs = without;
        let with: Vec<(String, String)> = with;
        with.into_iter().map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect()
    }

    /// A number.
    pub(crate) fn number<N: std::str::FromStr>(&mut self, key: &str) -> Result<Option<N>, String> {
        let Some(value) = self.text(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| self.fault(key, &value))
    }

    /// `true`, or false if it is not there.
    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, String> {
        self.number(key).map(Option::unwrap_or_default)
    }

    /// A value that cannot be read.
    pub(crate) fn fault(&self, key: &str, value: &str) -> String {
        format!("line {}: {key}={value} cannot be read", self.number)
    }

    /// The line as words, for what has no pairs.
    pub(crate) fn words(self) -> Result<String, String> {
        if self.rest.is_empty() {
            Err(format!("line {}: `{}` says nothing", self.number, self.noun))
        } else {
            Ok(self.rest)
        }
    }

    /// Refuses what nobody has taken.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.pairs.first() {
            Some((key, _)) => Err(format!("line {}: `{key}` is not known to `{}`", self.number, self.noun)),
            None if !self.text.is_empty() => Err(format!("line {}: `{}` takes no text", self.number, self.noun)),
            None => Ok(()),
        }
    }
}

/// All lines of a text.
pub(crate) fn parse_lines(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix('|') {
            let owner = lines.last_mut().ok_or_else(|| format!("line {number}: there is nothing for this text"))?;
            owner.text.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (noun, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        // A request's target has signs of its own.
        let pairs = if noun == "request" { Vec::new() } else { parse_pairs(rest, number)? };
        lines.push(Line { number, noun: noun.trim_end().to_owned(), text: Vec::new(), rest: rest.to_owned(), pairs });
    }
    Ok(lines)
}

/// The face that a case wants: what its one line says, the rest as on the default listener.
pub(crate) fn take_face(text: &str) -> Result<(Arc<Face>, Option<Principal>), String> {
    let mut face = Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".to_owned(),
        path_prefix: String::new(),
        csrf: false,
        single: false,
        authenticated: false,
    };
    let mut principal = None;
    for mut line in parse_lines(text)? {
        if line.noun != "face" {
            return Err(format!("line {}: `{}` is no face", line.number, line.noun));
        }
        if let Some(listener) = line.text("listener") {
            face.listener = listener.into();
        }
        face.public_url = line.text("public_url").unwrap_or(face.public_url);
        face.path_prefix = line.text("prefix").unwrap_or(face.path_prefix);
        face.csrf = line.flag("csrf")?;
        face.single = line.flag("single")?;
        face.authenticated = line.flag("authenticated")?;
        let verified = face.authenticated;
        principal = line.text("principal").map(|name| Principal { name: name.into(), verified });
        line.finish()?;
    }
    Ok((Arc::new(face), principal))
}

fn parse_pairs(text: &str, number: usize) -> Result<Vec<(String, String)>, String> {
    let mut chars = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        if chars.next() != Some('=') {
            return Err(format!("line {number}: `{key}` has no value"));
        }
        let value = match chars.next_if_eq(&'"') {
            Some(_) => quoted(&mut chars).ok_or_else(|| format!("line {number}: a quote is not closed"))?,
            None => std::iter::from_fn(|| chars.next_if(|c| !c.is_whitespace())).collect(),
        };
        pairs.push((key, value));
    }
}

fn quoted(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut value = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}
