//! What is shown of a request without its secrets.
//!
//! A body is masked by its structure: a value goes by the name of its member, an argument by the option before it. What is no JSON is masked
//! line by line. All else stays as it will be sent, number texts and the order of members included; only the white space between is made
//! for reading.

use batchlingua_core::redact::{self, MASK};
use batchlingua_wire::{Kind, Value};

/// A body as people may see it.
pub(super) fn body(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let json = Value::parse(&text).ok().filter(|value| value.rest().trim().is_empty());
    match json {
        Some(value) => {
            let mut out = String::with_capacity(text.len() + text.len() / 4);
            write(&mut out, value, "", 0);
            out
        }
        None => text.lines().map(redact::line).collect::<Vec<_>>().join("\n"),
    }
}

/// The value of a key as people may see it.
pub(super) fn value(key: &str, value: &str) -> String {
    match redact::conf_value(key, value) {
        MASK => MASK.to_owned(),
        plain => redact::line(plain),
    }
}

/// The JSON text of a member, on one line.
pub(super) fn json(name: &str, text: &str) -> String {
    match redact::is_secret_key(name) {
        true => MASK.to_owned(),
        false => body(text.as_bytes()).lines().map(str::trim).collect::<Vec<_>>().join(" "),
    }
}

/// Arguments as people may see them. What follows `--conf` is a pair, whose value may have any characters.
pub(super) fn args(args: &[String]) -> Vec<String> {
    let mut shown = redact::args(args);
    for at in 1..args.len() {
        if args[at - 1] == "--conf"
            && let Some((key, given)) = args[at].split_once('=')
        {
            shown[at] = format!("{key}={}", value(key, given));
        }
    }
    shown
}

fn write(out: &mut String, json: Value<'_>, key: &str, depth: usize) {
    match json.kind() {
        Kind::Object => {
            let members = json.members().map(|members| members.0).unwrap_or_default();
            block(out, ['{', '}'], depth, members.len(), |out, at| {
                let member = &members[at];
                quote(out, &member.name);
                out.push_str(": ");
                // Whatever lies below a secret's name is part of it.
                let key = if redact::is_secret_key(key) { key } else { &member.name };
                write(out, member.value, key, depth + 1);
            });
        }
        Kind::Array => list(out, json, key, depth),
        Kind::Text => match json.text() {
            Ok(text) => quote(out, &value(key, &text)),
            Err(_) => quote(out, MASK),
        },
        Kind::Integer | Kind::Float if redact::is_secret_key(key) => quote(out, MASK),
        Kind::Integer | Kind::Float | Kind::Bool | Kind::Null => out.push_str(json.raw()),
    }
}

fn list(out: &mut String, json: Value<'_>, key: &str, depth: usize) {
    let items = json.items().unwrap_or_default();
    let texts: Option<Vec<String>> = items.iter().map(|item| Some(text_of(item)?.into_owned())).collect();
    let masked = texts.map(|texts| args(&texts)).filter(|_| !redact::is_secret_key(key));
    block(out, ['[', ']'], depth, items.len(), |out, at| match &masked {
        Some(texts) => quote(out, &texts[at]),
        None => write(out, items[at], key, depth + 1),
    });
}

fn text_of<'a>(item: &Value<'a>) -> Option<std::borrow::Cow<'a, str>> {
    (item.kind() == Kind::Text).then(|| item.text().ok()).flatten()
}

fn block(out: &mut String, [open, close]: [char; 2], depth: usize, count: usize, item: impl Fn(&mut String, usize)) {
    out.push(open);
    for at in 0..count {
        out.push_str(if at == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        item(out, at);
    }
    if count > 0 {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

/// A text as JSON has it.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_all_but_its_secrets() {
        let sent = r#"{"file":"/a.jar","n":1.50,"args":["--password","s3cr3t","--day","1"],"conf":{"spark.x.secret":"s3cr3t","spark.y":"a\"b"},
            "token":53123,"keys":{"password":["s3cr3t",{"deep":"s3cr3t"}]},"e":[],"o":{},"url":"jdbc://u:s3cr3t@h/db"}"#;
        let shown = body(sent.as_bytes());
        assert!(!shown.contains("s3cr3t") && !shown.contains("53123"), "{shown}");
        for kept in ["\"n\": 1.50", "\"--day\",\n    \"1\"", r#""spark.y": "a\"b""#, "\"e\": []", "\"o\": {}", "@h/db"]
        {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert!(Value::parse(&shown).is_ok(), "{shown}");
    }

    #[test]
    fn a_pair_after_conf_is_masked_to_its_end() {
        let given = ["--conf", "spark.a.password=s3cr3t,s3cr3t", "--conf", "spark.b=1,2"].map(str::to_owned);
        assert_eq!(
            args(&given)[1..],
            [format!("spark.a.password={MASK}"), "--conf".to_owned(), "spark.b=1,2".to_owned()]
        );
    }

    #[test]
    fn what_is_no_json_is_masked_by_lines() {
        assert_eq!(body(b"a=1\npassword=s3cr3t\n"), format!("a=1\npassword={MASK}"));
        assert_eq!(body(b"{\"a\":1} and more"), "{\"a\":1} and more");
        assert_eq!(body(b""), "");
    }
}
