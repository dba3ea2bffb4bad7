//! What a client may make wrong in a call, part by part and without chance: the method, the id, the path's escapes, each parameter of the
//! query, each member of the body and the body's coding, each header. Where a wrong thing has to be told by its name, the case says so.

use std::io::Write as _;

use batchlingua_testkit::mutate::Case;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::tables::{BODIES, HEADERS, IDS, MEMBERS, METHODS, VALUES};

/// A call as a client may make it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// `{id}` stands for a batch's id.
    pub(super) path: &'static str,
    /// The parameters that it has, with a good value for each.
    pub(super) query: Vec<(&'static str, &'static str)>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Option<Value>,
    /// Members of the body that the product does not name when they are wrong.
    pub(super) unnamed: &'static [&'static str],
}

/// A request that is wrong somewhere.
pub(super) struct Bad {
    pub(super) case: Case,
    /// What the answer must name: the field that is wrong.
    pub(super) told: Option<String>,
}

/// Nobody has this batch.
pub(super) const UNKNOWN: &str = "0f6c1b1e-0000-4000-8000-000000000000";

impl Call {
    pub(super) fn new(name: &'static str, method: &'static str, path: &'static str) -> Self {
        let headers = vec![("Host", "localhost"), ("Accept", "application/json")];
        Self { name, method, path, query: Vec::new(), headers, body: None, unnamed: &[] }
    }

    pub(super) fn query(mut self, query: &[(&'static str, &'static str)]) -> Self {
        self.query = query.to_vec();
        self
    }

    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.headers.retain(|(name, _)| *name != "Accept");
        self.headers.push(("Accept", accept));
        self
    }

    pub(super) fn json(mut self, body: Value) -> Self {
        self.headers.push(("Content-Type", "application/json"));
        self.body = Some(body);
        self
    }

    pub(super) fn unnamed(mut self, members: &'static [&'static str]) -> Self {
        self.unnamed = members;
        self
    }

    fn good_path(&self) -> String {
        self.path.replace("{id}", UNKNOWN)
    }

    fn good_query(&self) -> String {
        let pairs: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    fn good_body(&self) -> Vec<u8> {
        self.body.as_ref().map(Value::to_string).unwrap_or_default().into_bytes()
    }

    fn good_headers(&self) -> Vec<u8> {
        self.headers.iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()).collect()
    }

    fn target(&self) -> String {
        self.good_path() + &self.good_query()
    }

    /// As a client may send it.
    pub(super) fn good(&self) -> Vec<u8> {
        self.with_target(self.target())
    }

    /// Its head, with a body promised that never comes. `None`: it has none.
    pub(super) fn head_alone(&self) -> Option<Vec<u8>> {
        self.body.as_ref()?;
        let line = format!("{} {} HTTP/1.1\r\n", self.method, self.target());
        Some([line.as_bytes(), &self.good_headers(), b"Content-Length: 1000\r\n\r\n"].concat())
    }

    /// Framed rightly, whatever the parts are.
    fn of(&self, method: &str, target: impl AsRef<[u8]>, headers: &[u8], body: &[u8]) -> Vec<u8> {
        let length = if body.is_empty() && self.body.is_none() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1\r\n", headers, length.as_bytes(), b"\r\n", body].concat()
    }

    fn with_target(&self, target: impl AsRef<[u8]>) -> Vec<u8> {
        self.of(self.method, target, &self.good_headers(), &self.good_body())
    }

    fn with_body(&self, body: impl AsRef<[u8]>) -> Vec<u8> {
        self.of(self.method, self.target(), &self.good_headers(), body.as_ref())
    }

    /// All that can be wrong with it.
    pub(super) fn wrong(&self) -> Vec<Bad> {
        let mut all = self.wrong_head();
        if self.body.is_some() {
            self.bodies(&mut |what, request| all.push(self.bad(what, request)));
            self.members(&mut |what, request| all.push(self.bad(what, request)));
        }
        all.extend(self.named());
        all
    }

    /// All that can be wrong with what comes before its body.
    pub(super) fn wrong_head(&self) -> Vec<Bad> {
        let mut all = Vec::new();
        let mut add = |what: &str, request: Vec<u8>| all.push(self.bad(what, request));
        for method in METHODS.into_iter().filter(|method| *method != self.method) {
            add(&format!("method {method}"), self.of(method, self.target(), &self.good_headers(), &self.good_body()));
        }
        self.targets(&mut add);
        self.headers(&mut add);
        all
    }

    fn bad(&self, what: &str, request: Vec<u8>) -> Bad {
        let case = Case { name: format!("{}: {what}", self.name), writes: vec![request] };
        Bad { case, told: None }
    }

    fn targets(&self, add: &mut impl FnMut(&str, Vec<u8>)) {
        if self.path.contains("{id}") {
            let long = "a".repeat(5_000);
            for id in IDS.into_iter().chain([long.as_str()]) {
                let shown: String = id.chars().take(60).collect();
                add(&format!("id {shown}"), self.with_target(self.path.replace("{id}", id) + &self.good_query()));
            }
        }
        let path = self.good_path();
        for suffix in [
            "/",
            "//",
            "/x",
            "/%zz",
            "/%00",
            "/%c0%ae%c0%ae/",
            "/../../../etc/passwd",
            "/..%2f",
            "/\u{ff}",
            ";a=1",
            "%20",
        ] {
            add(&format!("path with {suffix}"), self.with_target(path.clone() + suffix + &self.good_query()));
        }
        let whole = self.target();
        for (what, target) in [
            ("twice the slash", format!("/{whole}")),
            ("upper case", whole.to_uppercase()),
            ("a star", "*".to_owned()),
            ("no target", String::new()),
            ("no slash", whole[1..].to_owned()),
            ("another host's", format!("http://evil.example{whole}")),
            ("a fragment", format!("{whole}#x")),
            ("65 KB", format!("/{}", "a".repeat(65_000))),
            ("66 KB", format!("/{}", "a".repeat(66_000))),
        ] {
            add(&format!("target: {what}"), self.with_target(target));
        }
        for (name, _) in &self.query {
            for value in VALUES {
                let others = self.query.iter().filter(|(other, _)| other != name);
                let pairs = others.map(|(name, value)| format!("{name}={value}")).chain([format!("{name}={value}")]);
                let query: Vec<String> = pairs.collect();
                add(&format!("{name}={value}"), self.with_target(format!("{path}?{}", query.join("&"))));
            }
        }
        let (first, _) = self.query.first().copied().unwrap_or(("unknown", ""));
        for query in [
            "?",
            "?&&",
            "?=",
            "?=1&==2",
            "?%zz=1",
            "?%ff=%ff",
            "?unknown=%F0%9F%9A%80",
            "??",
            "?a?b=c",
            &format!("?{first}"),
            &format!("?{first}=1&{first}=2&{first}=x"),
            &format!("?{first}={}", "9".repeat(4_000)),
            &format!("?{}", "a=1&".repeat(10_000)),
        ] {
            let shown: String = query.chars().take(40).collect();
            add(&format!("query {shown}"), self.with_target(format!("{path}{query}")));
        }
    }

    fn headers(&self, add: &mut impl FnMut(&str, Vec<u8>)) {
        let of = |headers: &[u8]| self.of(self.method, self.target(), headers, &self.good_body());
        for (what, line) in HEADERS {
            match line.strip_prefix(b"-") {
                Some(b"Host") => add(what, of(&self.without_header("Host"))),
                Some(line) if line.starts_with(b"Content-Length") => {
                    let text = [self.method, " ", &self.target(), " HTTP/1.1\r\n"].concat();
                    let headers = [&self.good_headers()[..], line, b"\r\n"].concat();
                    add(what, [text.as_bytes(), &headers, b"\r\n", &self.good_body()].concat());
                }
                Some(line) => {
                    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
                    let others = self.without_header(&String::from_utf8_lossy(name));
                    add(what, of(&[&others[..], line, b"\r\n"].concat()));
                }
                None => add(what, of(&[&self.good_headers()[..], line, b"\r\n"].concat())),
            }
        }
        for count in [101, 1_000, 20_000] {
            let many: Vec<u8> = (0..count).flat_map(|at| format!("X-{at}: 1\r\n").into_bytes()).collect();
            add(&format!("{count} headers"), of(&[self.good_headers(), many].concat()));
        }
        for size in [9_000, 70_000, 1_100_000] {
            let value = "a".repeat(size);
            let names = ["X-Huge", "Cookie", "X-Auth-Token", "Authorization", "Accept"];
            // No head may be so long, whatever is in it.
            let names = if size > 1_000_000 { &names[..1] } else { &names[..] };
            for name in names {
                let line = format!("{name}: {value}\r\n");
                add(&format!("{name} of {size} bytes"), of(&[&self.good_headers()[..], line.as_bytes()].concat()));
            }
            add(
                &format!("a name of {size} bytes"),
                of(&[&self.good_headers()[..], value.as_bytes(), b": 1\r\n"].concat()),
            );
        }
    }

    fn without_header(&self, unwanted: &str) -> Vec<u8> {
        let kept = self.headers.iter().filter(|(name, _)| *name != unwanted);
        kept.flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()).collect()
    }

    fn bodies(&self, add: &mut impl FnMut(&str, Vec<u8>)) {
        for body in BODIES {
            add(&format!("body {body:?}"), self.with_body(body));
        }
        let good = self.good_body();
        let text = String::from_utf8_lossy(&good).into_owned();
        let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        let half = good.len() / 2;
        for (what, body) in [
            ("a mark and UTF-8", [b"\xef\xbb\xbf", &good[..]].concat()),
            ("two marks", [b"\xef\xbb\xbf\xef\xbb\xbf", &good[..]].concat()),
            ("UTF-16", little.clone()),
            ("UTF-16, big", big.clone()),
            ("a mark and UTF-16", [b"\xff\xfe", &little[..]].concat()),
            ("the wrong mark", [b"\xff\xfe", &big[..]].concat()),
            ("UTF-16 with a half character", little[..little.len() - 1].to_vec()),
            ("a lone surrogate of UTF-16", [&little[..2], b"\x3d\xd8", &little[2..]].concat()),
            ("UTF-32", utf32.clone()),
            ("UTF-32 beyond Unicode", [&utf32[..], b"\x7f\xff\xff\xff"].concat()),
            ("a byte that is no UTF-8", [&good[..half], b"\xff", &good[half..]].concat()),
            ("a long form of a slash", [&good[..half], b"\xc0\xaf", &good[half..]].concat()),
            ("a surrogate in UTF-8", [&good[..half], b"\xed\xa0\x80", &good[half..]].concat()),
            ("a cut character", [&good[..half], b"\xf0\x9f\x9a"].concat()),
            ("half of it", good[..half].to_vec()),
            ("nul behind it", [&good[..], b"\0"].concat()),
            ("another behind it", [&good[..], &good[..]].concat()),
            ("a megabyte of blanks", [&b" ".repeat(1 << 20)[..], &good].concat()),
            ("lists without end", b"[".repeat(200_000)),
            ("objects without end", b"{\"a\":".repeat(200_000)),
            ("17 MB", b"[".iter().copied().chain(b"1,".repeat(9 << 20)).collect()),
        ] {
            add(&format!("body: {what}"), self.with_body(body));
        }
        let headers = [&self.good_headers()[..], b"Content-Encoding: gzip\r\n"].concat();
        let packed = gzip(&good);
        let torn = packed[..packed.len() - 6].to_vec();
        for (what, body) in [("torn gzip", torn), ("64 MB in gzip", gzip(&vec![b' '; 64 << 20])), ("plain", good)] {
            add(&format!("gzip: {what}"), self.of(self.method, self.target(), &headers, &body));
        }
    }

    fn members(&self, add: &mut impl FnMut(&str, Vec<u8>)) {
        let Some(object) = self.body.as_ref().and_then(Value::as_object) else { return };
        let (long, huge) = (format!("\"{}\"", "n".repeat(70_000)), format!("\"{}\"", "n".repeat(1_100_000)));
        let deep = [65, 129, 10_000].map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        let digits = "9".repeat(5_000);
        let large = [long.as_str(), &huge, &digits].into_iter().chain(deep.iter().map(String::as_str));
        for name in object.keys() {
            for value in MEMBERS.into_iter().chain(large.clone()) {
                let shown: String = value.chars().take(30).collect();
                add(&format!("{name} is {shown:?}"), self.with_body(with_member(object, name, value)));
            }
            let mut without = object.clone();
            without.remove(name);
            add(&format!("without {name}"), self.with_body(Value::Object(without).to_string()));
            let twice = self.good_body();
            let twice = [&twice[..twice.len() - 1], format!(",{}:[{{}}]}}", json!(name)).as_bytes()].concat();
            add(&format!("{name} twice"), self.with_body(twice));
        }
    }

    /// A value that no reader can mend, at each member: the answer has to name it.
    fn named(&self) -> Vec<Bad> {
        let Some(object) = self.body.as_ref().and_then(Value::as_object) else { return Vec::new() };
        let wrong = |(name, good): (&String, &Value)| {
            let wrong = if good.is_object() { json!([1]) } else { json!({"a": 1}) };
            let request = self.with_body(with_member(object, name, &wrong.to_string()));
            let case = Case { name: format!("{}: {name} is {wrong}", self.name), writes: vec![request] };
            Bad { case, told: Some(name.clone()).filter(|name| !self.unnamed.contains(&name.as_str())) }
        };
        object.iter().map(wrong).collect()
    }
}

/// The object with this text as one member's value, JSON or not.
fn with_member(object: &Map<String, Value>, name: &str, value: &str) -> String {
    let member = |(key, old): (&String, &Value)| {
        let value = if key == name { value.to_owned() } else { old.to_string() };
        format!("{}:{value}", json!(key))
    };
    format!("{{{}}}", object.iter().map(member).collect::<Vec<_>>().join(","))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
