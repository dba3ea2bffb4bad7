//! URIs as `java.net.URI` reads them, faults in its words.
//!
//! Livy puts every file that a batch names through that class and shows its complaint to the client. Only what Livy
//! looks at is kept: the scheme, the path and the fragment. Of an authority only the characters are checked, since a
//! registry's name may be almost anything.

use std::fmt;

use percent_encoding::percent_decode_str;

/// A URI, taken apart but not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uri<'a> {
    pub(crate) scheme: Option<&'a str>,
    /// Empty where the URI is opaque.
    pub(crate) path: &'a str,
    pub(crate) fragment: Option<&'a str>,
}

impl Uri<'_> {
    /// The path with its escapes decoded.
    pub(crate) fn decoded_path(&self) -> String {
        percent_decode_str(self.path).decode_utf8_lossy().into_owned()
    }
}

/// Why a text is no URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UriFault {
    reason: String,
    /// In UTF-16 units.
    index: usize,
    input: String,
}

impl fmt::Display for UriFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at index {}: {}", self.reason, self.index, self.input)
    }
}

/// Takes a URI apart.
pub(crate) fn parse(text: &str) -> Result<Uri<'_>, UriFault> {
    Reader { text }.read()
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn read(&self) -> Result<Uri<'a>, UriFault> {
        let text = self.text;
        let colon = text.find(['/', '?', '#', ':']).filter(|at| text[*at..].starts_with(':'));
        let Some(colon) = colon else { return self.hierarchical(None, 0) };
        let scheme = &text[..colon];
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let reason = if scheme.is_empty() { "Expected scheme name" } else { "Illegal character in scheme name" };
            return Err(self.fault(reason, 0));
        }
        if let Some(at) = scheme.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))) {
            return Err(self.fault("Illegal character in scheme name", at));
        }
        let start = colon + 1;
        if text[start..].starts_with('/') {
            return self.hierarchical(Some(scheme), start);
        }
        let end = self.until(start, &['#']);
        if end == start {
            return Err(self.fault("Expected scheme-specific part", start));
        }
        self.check(start, end, "opaque part", is_uric)?;
        Ok(Uri { scheme: Some(scheme), path: "", fragment: self.fragment(end)? })
    }

    fn hierarchical(&self, scheme: Option<&'a str>, start: usize) -> Result<Uri<'a>, UriFault> {
        let mut at = start;
        if self.text[at..].starts_with("//") {
            at += 2;
            let end = self.until(at, &['/', '?', '#']);
            if end == at && end == self.text.len() {
                return Err(self.fault("Expected authority", at));
            }
            if self.check(at, end, "authority", is_authority).is_err() {
                return Err(self.fault("Illegal character in authority", at));
            }
            at = end;
        }
        let path_end = self.until(at, &['?', '#']);
        self.check(at, path_end, "path", is_path)?;
        let mut end = path_end;
        if self.text[end..].starts_with('?') {
            end = self.until(end, &['#']);
            self.check(path_end + 1, end, "query", is_uric)?;
        }
        Ok(Uri { scheme, path: &self.text[at..path_end], fragment: self.fragment(end)? })
    }

    fn fragment(&self, start: usize) -> Result<Option<&'a str>, UriFault> {
        let Some(fragment) = self.text[start..].strip_prefix('#') else { return Ok(None) };
        self.check(start + 1, self.text.len(), "fragment", is_uric)?;
        Ok(Some(fragment))
    }

    fn until(&self, start: usize, stops: &[char]) -> usize {
        self.text[start..].find(stops).map_or(self.text.len(), |at| start + at)
    }

    fn check(&self, start: usize, end: usize, part: &str, allowed: fn(char) -> bool) -> Result<(), UriFault> {
        for (at, c) in self.text[start..end].char_indices() {
            if c == '%' {
                let digits = self.text.as_bytes()[..end].get(start + at + 1..start + at + 3);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("Malformed escape pair", start + at));
                }
            } else if !(allowed(c) || is_visible_elsewhere(c)) {
                return Err(self.fault(&format!("Illegal character in {part}"), start + at));
            }
        }
        Ok(())
    }

    fn fault(&self, reason: &str, at: usize) -> UriFault {
        let index = self.text[..at].encode_utf16().count();
        UriFault { reason: reason.to_owned(), index, input: self.text.to_owned() }
    }
}

fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.!~*'()".contains(c)
}

fn is_path(c: char) -> bool {
    is_unreserved(c) || ":@&=+$,;/".contains(c)
}

fn is_uric(c: char) -> bool {
    is_path(c) || "?[]".contains(c)
}

fn is_authority(c: char) -> bool {
    is_unreserved(c) || "$,;:@&=+[]".contains(c)
}

/// Java takes whatever is neither ASCII nor a blank nor a control.
fn is_visible_elsewhere(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn uris_are_taken_apart() {
        let apart = |text: &'static str| parse(text).map(|uri| (uri.scheme, uri.path, uri.fragment)).expect(text);
        assert_eq!(apart("/srv/a.py?x=1#f"), (None, "/srv/a.py", Some("f")));
        assert_eq!(apart("//srv/apps/job.py"), (None, "/apps/job.py", None));
        assert_eq!(apart("file:/srv/a.py"), (Some("file"), "/srv/a.py", None));
        assert_eq!(apart("s3a://bucket_1/a%20b.py#x"), (Some("s3a"), "/a%20b.py", Some("x")));
        assert_eq!(apart("abfs://c@a.dfs.core.windows.net/日本.jar"), (Some("abfs"), "/日本.jar", None));
        assert_eq!(apart("mailto:x@y"), (Some("mailto"), "", None));
        assert_eq!(apart("job.py"), (None, "job.py", None));
        assert_eq!(apart("file:///a"), (Some("file"), "/a", None));
        assert_eq!(apart(""), (None, "", None));
        assert_eq!(parse("/a%20%C3%A9").expect("a URI").decoded_path(), "/a é");
    }

    #[test]
    fn faults_are_in_javas_words() {
        assert_eq!(
            fault("s3a://bucket/key with.py"),
            "Illegal character in path at index 16: s3a://bucket/key with.py"
        );
        assert_eq!(fault("::bad"), "Expected scheme name at index 0: ::bad");
        assert_eq!(fault("hdfs:"), "Expected scheme-specific part at index 5: hdfs:");
        assert_eq!(fault("C:\\jobs\\x.py"), "Illegal character in opaque part at index 2: C:\\jobs\\x.py");
        assert_eq!(fault(" /a"), "Illegal character in path at index 0:  /a");
        assert_eq!(fault("1a:/b"), "Illegal character in scheme name at index 0: 1a:/b");
        assert_eq!(fault("h_t:/b"), "Illegal character in scheme name at index 1: h_t:/b");
        assert_eq!(fault("/🚀 b"), "Illegal character in path at index 3: /🚀 b");
        assert_eq!(fault("/a%2"), "Malformed escape pair at index 2: /a%2");
        assert_eq!(fault("/a#b c"), "Illegal character in fragment at index 4: /a#b c");
        assert_eq!(fault("/a?b c"), "Illegal character in query at index 4: /a?b c");
        assert_eq!(fault("s3://b ucket/a"), "Illegal character in authority at index 5: s3://b ucket/a");
        assert_eq!(fault("hdfs://"), "Expected authority at index 7: hdfs://");
    }
}
