//! A request taken apart just far enough to be put together wrongly.

/// Request line, header lines and body as bytes.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) line: Vec<u8>,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Raw {
    /// Whatever the bytes are: what has no end of a head is all head.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 4..]));
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default().to_vec();
        let pair = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(at + 1..).unwrap_or_default().trim_ascii();
            (line[..at].to_vec(), value.to_vec())
        };
        Self { line, headers: lines.map(pair).collect(), body: body.to_vec() }
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let mut out = [&self.line[..], b"\r\n"].concat();
        for (name, value) in &self.headers {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }

    pub(super) fn is(name: &[u8], wanted: &str) -> bool {
        name.eq_ignore_ascii_case(wanted.as_bytes())
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !Self::is(n, name));
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With a body, its length right.
    pub(super) fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len().to_string();
        let framed = self.without("Content-Length").without("Transfer-Encoding").with("Content-Length", length);
        Self { body, ..framed }
    }

    /// With these bytes in place of the method.
    pub(super) fn with_method(mut self, method: &[u8]) -> Self {
        let rest = self.line.iter().position(|byte| *byte == b' ').map_or(Vec::new(), |at| self.line[at..].to_vec());
        self.line = [method, &rest].concat();
        self
    }

    pub(super) fn target(&self) -> &[u8] {
        self.line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
    }

    /// With these bytes in place of the target.
    pub(super) fn with_target(mut self, target: &[u8]) -> Self {
        let mut words: Vec<&[u8]> = self.line.split(|byte| *byte == b' ').collect();
        match words.get_mut(1) {
            Some(word) => *word = target,
            None => words.push(target),
        }
        self.line = words.join(&b' ');
        self
    }
}
