//! Damage to JSON bodies, framed rightly, so that it reaches the dialect.

use serde_json::{Map, Value, json};

use super::{Damage, Raw, Rng};

pub(super) const KINDS: &[(&str, Damage)] = &[
    ("JSON of a wrong type", |request, rng| {
        let mut object = object(request)?;
        let name = member(&object, rng)?;
        let wrong = [
            Value::Null,
            json!(true),
            json!(0),
            json!(-1.5),
            json!(""),
            json!("text"),
            json!([]),
            json!([null]),
            json!([[1], {"a": 2}]),
            json!({}),
            json!({"a": {"b": 1}}),
            json!({"": null}),
        ];
        let old = object.get(&name).cloned();
        let value = rng.pick(&wrong);
        // The type that it has is not a wrong one.
        if old.as_ref() == Some(&value) {
            return None;
        }
        object.insert(name, value);
        with_json(request, &Value::Object(object))
    }),
    ("JSON with a member gone", |request, rng| {
        let mut object = object(request)?;
        let name = member(&object, rng)?;
        object.remove(&name);
        with_json(request, &Value::Object(object))
    }),
    ("JSON with an unknown member", |request, rng| {
        let mut object = object(request)?;
        let name = rng.pick(&["", "unknown", "__proto__", "proxyUser", "@type", "$ref", "a.b", "FILE"]);
        object.insert(name.to_owned(), json!("x"));
        with_json(request, &Value::Object(object))
    }),
    ("JSON with a member twice", |request, rng| {
        let object = object(request)?;
        let name = member(&object, rng)?;
        let text = serde_json::to_string(&object).ok()?;
        let twice = format!("{},{}:\"again\"}}", text.strip_suffix('}')?, json!(name));
        with_text(request, twice)
    }),
    ("JSON with a huge number", |request, rng| {
        let name = member(&object(request)?, rng)?;
        let digits = "9".repeat(400);
        let huge = ["9223372036854775808", "-9223372036854775809", "1e400", "-0", "1E-400", "4294967296", &digits];
        with_member(request, &name, rng.pick(&huge))
    }),
    ("JSON with a huge text", |request, rng| {
        let name = member(&object(request)?, rng)?;
        let size = rng.pick(&[70_000, 1_100_000]);
        with_member(request, &name, &format!("\"{}\"", "x".repeat(size)))
    }),
    ("JSON with an odd text", |request, rng| {
        let name = member(&object(request)?, rng)?;
        let odd = [
            "\"a\\u0000b\"",
            "\"a\u{0}b\"",
            "\"\\ud83d\"",
            "\"\\udc00\\ud800\"",
            "\"a\nb\"",
            "\"\\x41\"",
            "\"line\\r\\nX-Injected: 1\"",
            "\"../../../etc/passwd\"",
            "\"--conf=spark.master=evil\"",
            "\"\u{202e}\u{feff}\"",
        ];
        with_member(request, &name, rng.pick(&odd))
    }),
    ("JSON that is no UTF-8", |request, rng| {
        let object = object(request)?;
        let text = serde_json::to_vec(&object).ok()?;
        let odd: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"];
        let at = 1 + rng.below(text.len());
        whole(request, [&text[..at], rng.pick(&odd), &text[at..]].concat())
    }),
    ("JSON in another Unicode form", |request, rng| {
        let text = serde_json::to_string(&object(request)?).ok()?;
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf32: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect();
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        let half = utf16[..utf16.len() - 1].to_vec();
        whole(request, rng.pick(&[utf16, utf32, marked, half]))
    }),
    ("JSON too deep", |request, rng| {
        let object = object(request)?;
        let name = member(&object, rng)?;
        let depth = rng.pick(&[65, 129, 10_000, 200_000]);
        let (open, close) = rng.pick(&[("[", "]"), ("{\"a\":", "}")]);
        let closed = if rng.below(2) == 0 { close.repeat(depth) } else { String::new() };
        with_member(request, &name, &format!("{}1{closed}", open.repeat(depth)))
    }),
    ("JSON that is none", |request, rng| {
        object(request)?;
        let odd = [
            "",
            " ",
            "{",
            "}",
            "null",
            "[]",
            "\"text\"",
            "1",
            "{\"file\":}",
            "{'file':'a'}",
            "{\"file\":\"a\",}",
            "{file:1}",
            "// c\n{}",
            "{} {}",
            "NaN",
            "{\"a\":01}",
            "[[[",
            "\u{feff}",
        ];
        with_text(request, rng.pick(&odd))
    }),
    ("JSON cut", |request, rng| {
        let text = serde_json::to_vec(&object(request)?).ok()?;
        whole(request, text[..rng.below(text.len())].to_vec())
    }),
];

fn object(request: &Raw) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&request.body).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn member(object: &Map<String, Value>, rng: &mut Rng) -> Option<String> {
    let names: Vec<_> = object.keys().collect();
    if names.is_empty() { None } else { Some(rng.pick(&names).to_owned()) }
}

/// With this text as a member's value, JSON or not.
fn with_member(request: &Raw, name: &str, value: &str) -> Option<Vec<Vec<u8>>> {
    const HERE: &str = "@@here@@";
    let mut object = object(request)?;
    object.insert(name.to_owned(), json!(HERE));
    let text = serde_json::to_string(&object).ok()?;
    with_text(request, text.replacen(&format!("\"{HERE}\""), value, 1))
}

fn with_json(request: &Raw, value: &Value) -> Option<Vec<Vec<u8>>> {
    with_text(request, serde_json::to_string(value).ok()?)
}

fn with_text(request: &Raw, text: impl AsRef<str>) -> Option<Vec<Vec<u8>>> {
    whole(request, text.as_ref().as_bytes().to_vec())
}

fn whole(request: &Raw, body: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    Some(vec![request.clone().with_body(body).bytes()])
}
