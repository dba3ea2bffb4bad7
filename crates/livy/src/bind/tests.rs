//! What the recordings do not show of binding and of broken texts.

use proptest::prelude::*;

use super::*;
use crate::dto::CreateBatch;

fn read(body: &[u8], max_depth: usize) -> Result<Option<CreateBatch>> {
    super::read(body, max_depth)
}

/// What Livy says of a body, without the sources.
fn said(body: &[u8]) -> String {
    let error = read(body, 64).expect_err("a fault");
    let native = error.native.expect("Livy's own words");
    assert_eq!(native.status, 400);
    let text: String = serde_json::from_slice(&native.body).expect("a JSON string");
    text.replace("(org.eclipse.jetty.server.HttpInputOverHTTP)", "()").replace("org.apache.livy.server.batch.", "")
}

/// What is wrong with the syntax is held to the recordings; here is what they do not show.
#[test]
fn syntax_faults_are_told_in_jacksons_words() {
    let values = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
    let chain = "(through reference chain: CreateBatchRequest";
    for (body, what, column, path) in [
        ("{", "Unexpected end-of-input: expected close marker for Object (start marker at [Source: (); line: 1, column: 1])".to_owned(), 2, String::new()),
        ("{\"args\":[\"a\"", "Unexpected end-of-input: expected close marker for Array (start marker at [Source: (); line: 1, column: 9])".into(), 13, format!("{chain}[\"args\"])")),
        ("{\"file\"", "Unexpected end-of-input within/between Object entries".into(), 8, String::new()),
        ("{\"file\":", "Unexpected end-of-input within/between Object entries".into(), 9, String::new()),
        ("{\"", "Unexpected end-of-input: was expecting closing '\"' for name".into(), 3, String::new()),
        ("{\"file\" 1}", "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value".into(), 10, String::new()),
        ("{\"file\":\"a\" \"b\"", "Unexpected character ('\"' (code 34)): was expecting comma to separate Object entries".into(), 14, String::new()),
        ("{\"file\":\"a\",}", "Unexpected character ('}' (code 125)): was expecting double-quote to start field name".into(), 14, String::new()),
        ("{\"args\":[1,]}", "Unexpected character (']' (code 93)): expected a value".into(), 13, format!("{chain}[\"args\"])")),
        ("{\"args\":[1}", "Unexpected close marker '}': expected ']' (for Array starting at [Source: (); line: 1, column: 9])".into(), 12, format!("{chain}[\"args\"])")),
        ("]", "Unexpected close marker ']': expected '}' (for root starting at [Source: (); line: 1, column: 0])".into(), 2, String::new()),
        ("{\"file\":tru}", format!("Unrecognized token 'tru': was expecting {values}"), 13, String::new()),
        ("{\"file\":nulls}", format!("Unrecognized token 'nulls': was expecting {values}"), 15, String::new()),
        ("{\"file\":None}", format!("Unrecognized token 'None': was expecting {values}"), 14, String::new()),
        ("{\"file\":'a'}", format!("Unexpected character (''' (code 39)): expected a valid value {values}"), 10, String::new()),
        ("{\"file\":,}", "Unexpected character (',' (code 44)): expected a value".into(), 10, String::new()),
        ("{\"driverCores\":-}", "Unexpected character ('}' (code 125)) in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value".into(), 18, String::new()),
        ("{\"driverCores\":-Infinity}", "Non-standard token '-Infinity': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow".into(), 25, String::new()),
        ("{\"driverCores\":1.}", "Unexpected character ('}' (code 125)) in numeric value: Decimal point not followed by a digit".into(), 19, String::new()),
        ("{\"driverCores\":1e", "Unexpected end-of-input in FIELD_NAME".into(), 18, String::new()),
        ("{\"driverCores\":+1}", "Unexpected character ('+' (code 43)) in numeric value: JSON spec does not allow numbers to have plus signs: enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow".into(), 18, String::new()),
        ("{\"file\":\"\\x\"}", "Unrecognized character escape 'x' (code 120)".into(), 12, format!("{chain}[\"file\"])")),
        ("{\"file\":\"\\u00g0\"}", "Unexpected character ('g' (code 103)): expected a hex-digit for character escape sequence".into(), 15, format!("{chain}[\"file\"])")),
        ("{\"conf\":{\"k\":\"\\", "Unexpected end-of-input in character escape sequence".into(), 16, format!("{chain}[\"conf\"]->com.fasterxml.jackson.module.scala.deser.GenericMapFactoryDeserializerResolver$BuilderWrapper[\"k\"])")),
        ("{\"args\":[\"a\",\"\n", "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value".into(), 16, format!("{chain}[\"args\"]->com.fasterxml.jackson.module.scala.deser.GenericFactoryDeserializerResolver$BuilderWrapper[1])")),
        ("{\u{1}", "Illegal character ((CTRL-CHAR, code 1)): only regular white space (\\r, \\n, \\t) is allowed between tokens".into(), 3, String::new()),
        ("{\"é\":\"x\", \"file", "Unrecognized field \"é\" (class CreateBatchRequest)".into(), 0, String::new()),
    ] {
        let said = said(body.as_bytes());
        if column == 0 {
            assert!(said.starts_with(&what), "{body:?} gave {said:?}");
            continue;
        }
        let path = if path.is_empty() { path } else { format!(" {path}") };
        assert_eq!(said, format!("{what}\n at [Source: (); line: 1, column: {column}]{path}"), "{body:?}");
    }
}

#[test]
fn what_came_before_the_fault_is_told_first() {
    for (body, start) in [
        ("{\"args\": \"x\", oops", "Cannot deserialize value of type `scala"),
        ("{\"ttl\": \"10", "Unrecognized field \"ttl\""),
        ("{\"ttl\": [1, oops", "Unrecognized field \"ttl\""),
        ("{\"ttl\": tru", "Unrecognized token 'tru'"),
        ("{\"file\": {\"a\": oops", "Cannot deserialize value of type `java.lang.String` from Object"),
        ("{\"args\": [[oops", "Cannot deserialize value of type `java.lang.String` from Array"),
        ("[oops", "Cannot deserialize value of type `CreateBatchRequest` from Array"),
        ("{\"args\": \"x", "Unexpected end-of-input in VALUE_STRING"),
    ] {
        let said = said(body.as_bytes());
        assert!(said.starts_with(start), "{body:?} gave {said:?}");
    }
}

#[test]
fn places_are_counted_as_jackson_counts_them() {
    for (body, place) in [
        (&b"\xef\xbb\xbf{\"args\":1}"[..], "line: 1, column: 12]"),
        (b"\xef\xbb\xbf\n{\"args\":1}", "line: 2, column: 9]"),
        (b"{\"name\":\"\xc3\xa9\",\"args\":1}", "line: 1, column: 21]"),
        (b"{\r\n\"a\":\r1}", "line: 3, column: 2]"),
        (b"{\r\n\r\n  oops", "line: 3, column: 4]"),
        (b"{\"name\":\"\xff", "line: 1, column: 11]"),
    ] {
        let said = said(body);
        assert!(said.contains(place), "{body:?} gave {said:?}");
    }
}

#[test]
fn wrong_roots_are_told_what_they_are() {
    for (body, start) in [
        (
            "true",
            "Cannot construct instance of `CreateBatchRequest` (although at least one Creator exists): no boolean/Boolean-argument constructor/factory method to deserialize from boolean value (true)\n",
        ),
        (
            "1.5",
            "Cannot construct instance of `CreateBatchRequest` (although at least one Creator exists): no double/Double-argument constructor/factory method to deserialize from Number value (1.5)\n",
        ),
        (
            "4294967296",
            "Cannot construct instance of `CreateBatchRequest` (although at least one Creator exists): no long/Long-argument",
        ),
        (
            "99999999999999999999",
            "Cannot construct instance of `CreateBatchRequest` (although at least one Creator exists): no BigInteger-argument",
        ),
        ("\"\"", "Cannot coerce empty String (\"\") to `CreateBatchRequest` value"),
        ("\" \"", "Cannot coerce blank String (all whitespace) to `CreateBatchRequest` value"),
    ] {
        let said = said(body.as_bytes());
        assert!(said.starts_with(start), "{body:?} gave {said:?}");
    }
    assert_eq!(read(b"null", 64).expect("a value"), None);
    assert!(read(b"{} trailing [[[[", 2).expect("a value").is_some());
}

#[test]
fn a_nesting_that_no_shape_takes_is_refused_by_its_shape_and_else_by_its_depth() {
    let deep = |member: &str| format!("{{\"{member}\":{}", "[".repeat(5_000));
    assert!(said(deep("args").as_bytes()).starts_with("Cannot deserialize value"));
    assert!(said(deep("ttl").as_bytes()).starts_with("Unrecognized field"));
    assert!(
        said(deep("driverCores").as_bytes()).starts_with("Depth (65) exceeds the maximum allowed nesting depth (64)")
    );
}

/// Text that is JSON but for a few bytes.
fn broken_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            " ",
            "\n",
            "\\",
            "\\u12",
            "\\ud83d",
            "true",
            "nul",
            "-",
            "01",
            "1.5e",
            "2",
            "\"file\"",
            "\"args\":",
            "\"conf\":{",
            "\"a\":\"b\"",
            "\"ttl\"",
            "é",
            "\u{0}",
            "'",
            "//",
            "NaN",
            "null",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..3),
    ];
    (any::<bool>(), proptest::collection::vec(token, 0..12)).prop_map(|(opened, tokens)| {
        let mut text = if opened { b"{".to_vec() } else { Vec::new() };
        text.extend(tokens.concat());
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The second reader never decides: it finds a fault where the first has found one, or Jackson is the laxer.
    #[test]
    fn both_readers_agree_on_what_is_an_object(text in broken_json()) {
        let found = find_fault(&text, 0, 64, &CreateBatch::CLASS.mapper());
        let text = String::from_utf8(text);
        let is_object = text.as_ref().is_ok_and(|text| Value::parse(text).is_ok_and(|value| value.kind() == Kind::Object));
        if is_object {
            prop_assert_eq!(found, None);
        } else if text.is_ok_and(|text| text.trim_start().starts_with('{')) {
            prop_assert!(found.is_some());
        }
    }

    #[test]
    fn any_bytes_are_bound_or_refused_with_a_fault(text in broken_json()) {
        if let Err(error) = read(&text, 8) {
            let native = error.native.expect("Livy's own words");
            prop_assert!(native.status == 400 && serde_json::from_slice::<String>(&native.body).is_ok());
        }
    }
}
