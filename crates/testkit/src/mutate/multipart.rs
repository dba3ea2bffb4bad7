//! Damage to forms, framed rightly, so that it reaches whoever takes a form apart; and the forms themselves, since who tests uploads needs
//! to write them as wrongly as this does.

use super::{Damage, Raw, Rng, json};

/// A form with its parts, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What stands between the parts.
    pub boundary: Vec<u8>,
    /// In their order.
    pub parts: Vec<Part>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its header lines, each with its line end.
    pub head: Vec<u8>,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Part {
    /// With this Content-Disposition, and nothing else said of it.
    pub fn new(disposition: impl AsRef<[u8]>, content: impl Into<Vec<u8>>) -> Self {
        let head = [b"Content-Disposition: ", disposition.as_ref(), b"\r\n"].concat();
        Self { head, content: content.into() }
    }

    /// A value.
    pub fn value(name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self::new(format!("form-data; name=\"{name}\""), content)
    }

    /// A file under the client's name for it.
    pub fn file(name: &str, file_name: impl AsRef<[u8]>, content: impl Into<Vec<u8>>) -> Self {
        let start = format!("form-data; name=\"{name}\"; filename=\"");
        Self::new([start.as_bytes(), file_name.as_ref(), b"\""].concat(), content)
    }

    /// With one more header line.
    #[must_use]
    pub fn with(mut self, line: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(line.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }
}

impl Form {
    /// Of these parts, with a boundary that none of them holds.
    pub fn new(parts: impl Into<Vec<Part>>) -> Self {
        Self { boundary: b"5f2d8c1e-part".to_vec(), parts: parts.into() }
    }

    /// What the request's Content-Type says of it.
    pub fn content_type(&self) -> Vec<u8> {
        [b"multipart/form-data; boundary=", &self.boundary[..]].concat()
    }

    /// All of it up to its last boundary.
    pub fn without_end(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            out.extend([b"--", &self.boundary[..], b"\r\n", &part.head, b"\r\n", &part.content, b"\r\n"].concat());
        }
        out
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        [self.without_end(), b"--".to_vec(), self.boundary.clone(), b"--\r\n".to_vec()].concat()
    }

    /// The form that a request holds.
    pub(super) fn of(request: &Raw) -> Option<Self> {
        let (_, content_type) = request.headers.iter().find(|(name, _)| Raw::is(name, "Content-Type"))?;
        let text = std::str::from_utf8(content_type).ok()?;
        let boundary = text.strip_prefix("multipart/form-data;")?.trim().strip_prefix("boundary=")?;
        let boundary = boundary.trim_matches('"').as_bytes().to_vec();
        let between = [b"\r\n--", &boundary[..]].concat();
        // As if a line stood before the first boundary, too.
        let body = [b"\r\n", &request.body[..]].concat();
        let mut parts = Vec::new();
        for piece in split(&body, &between).into_iter().skip(1) {
            let Some(piece) = piece.strip_prefix(b"\r\n") else { break };
            // A head without any line has its end at once.
            let end = piece.windows(4).position(|window| window == b"\r\n\r\n")?;
            parts.push(Part { head: piece[..end + 2].to_vec(), content: piece[end + 4..].to_vec() });
        }
        (!parts.is_empty()).then_some(Self { boundary, parts })
    }
}

fn split<'a>(bytes: &'a [u8], between: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(between.len()).position(|window| window == between) {
        pieces.push(&rest[..at]);
        rest = &rest[at + between.len()..];
    }
    pieces.push(rest);
    pieces
}

pub(super) const KINDS: &[(&str, Damage)] = &[
    ("a form cut", |request, rng| {
        let body = Form::of(request)?.body();
        framed(request, body[..rng.below(body.len())].to_vec())
    }),
    ("a form that is left", |request, rng| {
        let body = Form::of(request)?.body();
        let whole = request.clone().with_body(body.clone());
        Some(vec![whole.head(), body[..rng.below(body.len())].to_vec()])
    }),
    ("a form without its end", |request, _| framed(request, Form::of(request)?.without_end())),
    ("a form with another boundary", |request, _| {
        let form = Form::of(request)?;
        let other = Form { boundary: [&form.boundary[..], b"x"].concat(), parts: Vec::new() };
        framed(&typed(request, &other.content_type()), form.body())
    }),
    ("a form with an odd boundary", |request, rng| {
        let form = Form::of(request)?;
        let long = [b"multipart/form-data; boundary=", &b"b".repeat(2_000)[..]].concat();
        let twice = [&form.content_type()[..], b"; boundary=other"].concat();
        let odd: [&[u8]; 9] = [
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b"multipart/form-data; boundary=\"\"",
            b"multipart/form-data; boundary=\"a",
            b"multipart/form-data; boundary=a b",
            b"multipart/form-data; boundary=caf\xe9",
            b"multipart/form-data; border=x",
            &long,
            &twice,
        ];
        framed(&typed(request, rng.pick(&odd)), form.body())
    }),
    ("a form of very many parts", |request, rng| {
        let mut form = Form::of(request)?;
        let (count, is_file) = (rng.pick(&[101, 1_000, 10_000]), rng.below(2) == 0);
        let many = (0..count).map(|at| match is_file {
            true => Part::file(&format!("f{at}"), "f", ""),
            false => Part::value(&format!("v{at}"), "1"),
        });
        let at = rng.below(form.parts.len() + 1);
        form.parts.splice(at..at, many);
        framed(request, form.body())
    }),
    ("a form with a part gone", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        form.parts.remove(at);
        framed(request, form.body())
    }),
    ("a form with a part twice", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        let again = Part { content: b"again".to_vec(), ..form.parts[at].clone() };
        form.parts.insert(rng.below(form.parts.len() + 1), again);
        framed(request, form.body())
    }),
    ("a form in another order", |request, _| {
        let mut form = Form::of(request).filter(|form| form.parts.len() > 1)?;
        form.parts.rotate_left(1);
        framed(request, form.body())
    }),
    ("a form with an odd part name", |request, rng| {
        let long = [b"form-data; name=\"", &b"n".repeat(5_000)[..], b"\""].concat();
        let odd: [&[u8]; 10] = [
            b"form-data",
            b"form-data; name=",
            b"form-data; name=\"\"",
            b"form-data; name=batchRequest; name=resourceFile",
            b"form-data; name=\"a\\\"b\"",
            b"form-data; name*=UTF-8''batchRequest",
            b"form-data; name=\"caf\xe9\"",
            b"attachment; name=\"batchRequest\"",
            b"form-data; name=\"open",
            &long,
        ];
        disposed(request, rng, &odd)
    }),
    ("a form with an odd file name", |request, rng| {
        let long = b"f".repeat(4 << 10);
        let odd: [&[u8]; 17] = [
            b"",
            b".",
            b"..",
            b"../../../../etc/passwd",
            b"..\\..\\evil.exe",
            b"/etc/passwd",
            b"C:\\x\\a.jar",
            b"\\\\host\\share\\a.jar",
            b"a\0.jar",
            b"%2e%2e%2fa.jar",
            b"..%00/a.jar",
            b"~/.ssh/authorized_keys",
            b"\xe2\x80\xae\xf0\x9f\x9a\x80.py",
            b"caf\xe9.jar",
            b"a\tb;c=\\\"d\\\".jar",
            b"a.jar\"; filename=\"b.jar",
            &long,
        ];
        let start = b"form-data; name=\"resourceFile\"; filename=\"".as_slice();
        disposed(request, rng, &odd.map(|name| [start, name, b"\""].concat()))
    }),
    ("a form with an odd part head", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        let many: Vec<u8> = (0..1_000).flat_map(|at| format!("X-{at}: 1\r\n").into_bytes()).collect();
        let odd: [Vec<u8>; 8] = [
            [b"X-Huge: ", &b"a".repeat(300_000)[..], b"\r\n"].concat(),
            many,
            b"no colon at all\r\n".to_vec(),
            b"X-Nul: a\0b\r\n".to_vec(),
            b"X-Folded: a\r\n b\r\n".to_vec(),
            b"Content-Length: 99999999999\r\n".to_vec(),
            b"Content-Transfer-Encoding: base64\r\n".to_vec(),
            b"X-Bare: a\n".to_vec(),
        ];
        let part = &mut form.parts[at];
        part.head = match rng.below(8) {
            0 => Vec::new(),
            _ => [&part.head[..], &rng.pick(&odd)].concat(),
        };
        framed(request, form.body())
    }),
    ("a form with a part of another type", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        let odd =
            ["", "text/plain", "application/json; charset=utf-16", "multipart/form-data", "a/b/c", "application/jsonx"];
        let line = format!("Content-Type: {}", rng.pick(&odd));
        let kept = String::from_utf8_lossy(&form.parts[at].head).into_owned();
        let kept: String = kept.split_inclusive("\r\n").filter(|line| !line.starts_with("Content-Type")).collect();
        form.parts[at] = Part { head: kept.into_bytes(), content: form.parts[at].content.clone() }.with(line);
        framed(request, form.body())
    }),
    ("a form within a form", |request, rng| {
        let mut form = Form::of(request)?;
        let mut inner = form.clone();
        // With the same boundary the inner form's end is the outer one's.
        if rng.below(2) == 0 {
            inner.boundary = b"inner".to_vec();
        }
        let kind = [b"Content-Type: multipart/mixed; boundary=", &inner.boundary[..]].concat();
        let at = rng.below(form.parts.len() + 1);
        form.parts.insert(at, Part::value("inner", inner.body()).with(kind));
        framed(request, form.body())
    }),
    ("a form with a boundary in a part", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        let boundary = form.boundary.clone();
        let odd: [Vec<u8>; 6] = [
            [b"\r\n--", &boundary[..], b"--"].concat(),
            [b"\r\n--", &boundary[..], b"x\r\n"].concat(),
            [b"\r\n--", &boundary[..boundary.len() - 1], b"\r\n"].concat(),
            [b"\n--", &boundary[..], b"\r\n"].concat(),
            [b"\r\n--", &boundary[..], b" \t \r\n"].concat(),
            [b"\r\n--", &boundary[..], b"\r\n\r\n"].concat(),
        ];
        let content = &mut form.parts[at].content;
        let to = rng.below(content.len() + 1);
        content.splice(to..to, rng.pick(&odd));
        framed(request, form.body())
    }),
    ("a form with much in a part", |request, rng| {
        let (mut form, at) = picked(request, rng)?;
        form.parts[at].content.extend(b"y".repeat(rng.pick(&[70_000, 3_000_000])));
        framed(request, form.body())
    }),
    ("a form with something around it", |request, rng| {
        let body = Form::of(request)?.body();
        let odd: [&[u8]; 4] = [b"x", b"\r\n\r\n", b"--", b"Content-Type: application/json\r\n\r\n{}\r\n"];
        let (before, after) = if rng.below(2) == 0 { (rng.pick(&odd), &b""[..]) } else { (&b""[..], rng.pick(&odd)) };
        framed(request, [before, &body, after].concat())
    }),
    ("a form with bare line ends", |request, rng| {
        let body = Form::of(request)?.body();
        let text = String::from_utf8_lossy(&body);
        let odd = [text.replace("\r\n", "\n"), text.replace("\r\n", "\r"), text.replacen("\r\n", "\n", 1)];
        framed(request, rng.pick(&odd).into_bytes())
    }),
    ("a form with damaged JSON", |request, rng| {
        let mut form = Form::of(request)?;
        let at = form.parts.iter().position(|part| part.content.starts_with(b"{"))?;
        let inner = request.clone().with_body(form.parts[at].content.clone());
        let (_, damage) = rng.pick(json::KINDS);
        form.parts[at].content = Raw::parse(&damage(&inner, rng)?.concat()).body;
        framed(request, form.body())
    }),
];

/// The form of the request, and which of its parts is damaged.
fn picked(request: &Raw, rng: &mut Rng) -> Option<(Form, usize)> {
    let form = Form::of(request)?;
    let at = rng.below(form.parts.len());
    Some((form, at))
}

/// With one of these in place of what some part is said to be. What else is said of it stays.
fn disposed(request: &Raw, rng: &mut Rng, odd: &[impl AsRef<[u8]>]) -> Option<Vec<Vec<u8>>> {
    let (mut form, at) = picked(request, rng)?;
    let part = &form.parts[at];
    let rest = part.head.windows(2).position(|window| window == b"\r\n").map_or(&[][..], |end| &part.head[end + 2..]);
    let mut damaged = Part::new(&odd[rng.below(odd.len())], part.content.clone());
    damaged.head.extend_from_slice(rest);
    form.parts[at] = damaged;
    framed(request, form.body())
}

fn typed(request: &Raw, content_type: &[u8]) -> Raw {
    request.clone().without("Content-Type").with("Content-Type", content_type)
}

fn framed(request: &Raw, body: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    Some(vec![request.clone().with_body(body).bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_apart_as_it_was_put_together() {
        let form = Form::new([
            Part::file("f", "a.jar", "jar\r\nbytes"),
            Part::value("v", "{}").with("Content-Type: application/json"),
        ]);
        let request = Raw::parse(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n");
        let request = typed(&request, &form.content_type()).with_body(form.body());
        assert_eq!(Form::of(&request), Some(form));
        assert_eq!(Form::of(&request.without("Content-Type")), None);
    }
}
