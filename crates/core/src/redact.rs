//! Secrets are masked by the pattern of their key before anything is stored, logged or shown.
//!
//! The rule errs on the side of masking: a key that merely looks like a secret's costs a reader one value, the other mistake costs a
//! credential.

/// What stands in a secret's place.
pub const MASK: &str = "*********(redacted)";

const MARKS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "authorization",
    "apikey",
    "api_key",
    "api-key",
    "api.key",
    "accesskey",
    "access_key",
    "access-key",
    "access.key",
    "account.key",
    "private_key",
    "private-key",
    "private.key",
];

/// Whether a key of this name holds a secret.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    MARKS.iter().any(|mark| key.contains(mark)) || key == "pwd" || key.ends_with(".pwd")
}

/// The value as it may be shown.
pub fn conf_value<'a>(key: &str, value: &'a str) -> &'a str {
    if is_secret_key(key) || has_secret_inside(value) { MASK } else { value }
}

/// Arguments as they may be shown: `--password x`, `--password=x`, `password=x` and what has one of these inside.
pub fn args(args: &[String]) -> Vec<String> {
    let mut shown = Vec::with_capacity(args.len());
    let mut next_is_secret = false;
    for arg in args {
        let masked = if next_is_secret && !arg.starts_with("--") { MASK.to_owned() } else { line(arg) };
        next_is_secret = arg.starts_with('-') && !arg.contains('=') && is_secret_key(arg);
        shown.push(masked);
    }
    shown
}

/// A line of text as it may be stored: the value after `key=` or `key:` is masked where the key is a secret's, and so is the user part of
/// a URL that has a password.
pub fn line(text: &str) -> String {
    let text = mask_url_passwords(text);
    if !has_secret_inside(&text) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, separator, after)) = split_at_separator(rest) {
        out.push_str(before);
        out.push(separator);
        if is_secret_key(last_key(before)) {
            let (opening, value) = after.split_at(after.len() - after.trim_start_matches([' ', '"', '\'', '\\']).len());
            out.push_str(opening);
            let value = ["Basic ", "Bearer ", "basic ", "bearer "]
                .iter()
                .find_map(|scheme| value.strip_prefix(scheme))
                .unwrap_or(value);
            let end = end_of_value(opening, value);
            if end > 0 {
                out.push_str(MASK);
            }
            rest = &value[end..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Where a value ends that begins after these spaces, quotes and the backslashes that quotes have inside of a text.
fn end_of_value(opening: &str, value: &str) -> usize {
    let quotes = opening.trim_matches([' ', '\\']);
    match quotes.chars().next_back() {
        // It is empty: its quotes are opened and closed already.
        Some(_) if quotes.len() > 1 && value.chars().next().is_none_or(|c| c.is_whitespace() || is_sign(c)) => 0,
        Some(quote) => {
            let depth = opening.trim_end().trim_end_matches(quote).chars().rev().take_while(|c| *c == '\\').count();
            end_of_quoted(value, quote, depth)
        }
        None => end_of_plain(value),
    }
}

/// At the same quote again, with no more backslashes in front of it: with more it is a part of the value. One that is cut off has no end.
fn end_of_quoted(value: &str, quote: char, depth: usize) -> usize {
    let mut backslashes = 0;
    for (at, c) in value.char_indices() {
        match c {
            '\\' => backslashes += 1,
            c if c == quote && backslashes <= depth => return at - backslashes,
            _ => backslashes = 0,
        }
    }
    value.len()
}

/// At a space or a quote, or at a sign between values, if what follows is not more of this one: a password may have such signs in it.
fn end_of_plain(value: &str) -> usize {
    let mut from = 0;
    while let Some(at) = value[from..].find(|c: char| c.is_whitespace() || is_quote(c) || is_sign(c)) {
        let signs = &value[from + at..];
        let after = signs.trim_start_matches(is_sign);
        if after.len() == signs.len() || is_another(after) {
            return from + at;
        }
        from = value.len() - after.len();
    }
    value.len()
}

/// Whether this is no part of the value in front of it: nothing, a space or a quote, or a key with its value.
fn is_another(text: &str) -> bool {
    let key = text.find(|c: char| !is_key_char(c)).map_or(text, |end| &text[..end]);
    match text[key.len()..].chars().next() {
        Some('=' | ':') => !key.is_empty(),
        next => key.is_empty() && next.is_none_or(|c| c.is_whitespace() || is_quote(c)),
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// What stands between values, or after the last one.
fn is_sign(c: char) -> bool {
    matches!(c, ',' | ';' | '&' | '}')
}

fn is_key_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The key that ends the text. `"key": "value"`: the quote that closes a key stands between it and the colon, with a backslash if all of it
/// stands in a text.
fn last_key(before: &str) -> &str {
    let key = before.trim_end_matches(['"', '\'', ' ', '\\']);
    let start =
        key.rfind(|c: char| !is_key_char(c)).map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8));
    &key[start..]
}

fn split_at_separator(text: &str) -> Option<(&str, char, &str)> {
    let at = text.find(['=', ':'])?;
    let separator = text[at..].chars().next()?;
    Some((&text[..at], separator, &text[at + 1..]))
}

fn has_secret_inside(value: &str) -> bool {
    let mut rest = value;
    while let Some((before, _, after)) = split_at_separator(rest) {
        if is_secret_key(last_key(before)) {
            return true;
        }
        rest = after;
    }
    false
}

fn mask_url_passwords(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'')).unwrap_or(tail.len());
        match tail[..end].rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
            Some((user, password)) if !password.is_empty() => {
                out.push_str(user);
                out.push(':');
                out.push_str(MASK);
                rest = &tail[user.len() + 1 + password.len()..];
            }
            _ => rest = tail,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_masked() {
        for key in [
            "spark.hadoop.fs.s3a.secret.key",
            "spark.ssl.keyPassword",
            "MY_TOKEN",
            "fs.azure.account.key.x",
            "aws.accessKey",
            "pwd",
        ] {
            assert_eq!(conf_value(key, "s3cr3t"), MASK, "{key}");
        }
        for key in ["spark.executor.memory", "spark.app.name", "spark.driver.extraJavaOptions"] {
            assert_eq!(conf_value(key, "plain"), "plain", "{key}");
        }
        assert_eq!(conf_value("spark.driver.extraJavaOptions", "-Djavax.net.ssl.trustStorePassword=s3cr3t"), MASK);
    }

    #[test]
    fn arguments_are_masked_in_all_their_spellings() {
        let given = [
            "--password",
            "s3cr3t",
            "--token=s3cr3t",
            "password=s3cr3t",
            "--day",
            "2026-01-31",
            "jdbc://u:s3cr3t@h/db",
        ];
        let shown = args(&given.map(str::to_owned)).join(" ");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("--day 2026-01-31") && shown.contains("@h/db"), "{shown}");
    }

    #[test]
    fn lines_keep_all_but_the_secret() {
        assert_eq!(line("user=ana password=s3cr3t, x=1"), format!("user=ana password={MASK}, x=1"));
        assert_eq!(line("Authorization: Basic c2VjcmV0"), format!("Authorization: {MASK}"));
        assert_eq!(line("12:30:01 INFO started: all well"), "12:30:01 INFO started: all well");
        assert!(!line(r#"{"token": "s3cr3t", "a": 1}"#).contains("s3cr3t"));
    }

    #[test]
    fn a_secret_is_masked_whole_whatever_signs_it_has() {
        for (text, shown) in [
            ("password=s3,cr3t", "password=#"),
            ("password=s3;cr3t&x}y, z", "password=#, z"),
            ("user=ana,password=s3,cr3t,queue=etl", "user=ana,password=#,queue=etl"),
            ("GET /x?token=s3&cr3t&day=1 HTTP/1.1", "GET /x?token=#&day=1 HTTP/1.1"),
            ("{a={password=s3,cr3t}}", "{a={password=#}}"),
            ("password=s3,,cr3t", "password=#"),
            ("password=s3,, cr3t", "password=#,, cr3t"),
            (r#"{"password":"s3, \"c=r3t", "a":"b"}"#, r##"{"password":"#", "a":"b"}"##),
            (r#"{"password": "s3'cr3t"}"#, r##"{"password": "#"}"##),
            ("password='s3 cr3t' x", "password='#' x"),
            ("password=\"s3 cut of", "password=\"#"),
            (
                r#"{"body":"{\"token\":\"s3, \\\"c=r3t\", \"a\":\"b\"}"}"#,
                r##"{"body":"{\"token\":\"#\", \"a\":\"b\"}"}"##,
            ),
            (r#"a,"password=""s3,c=r3t""",b"#, r##"a,"password=""#""",b"##),
            ("password=", "password="),
            (r#""password":"","a":"b""#, r#""password":"","a":"b""#),
        ] {
            assert_eq!(line(text), shown.replace('#', MASK), "{text}");
        }
    }

    #[test]
    fn an_option_without_a_value_does_not_mask_the_next_option() {
        assert_eq!(args(&["--use-token".to_owned(), "--day".to_owned()]), ["--use-token", "--day"]);
    }
}
