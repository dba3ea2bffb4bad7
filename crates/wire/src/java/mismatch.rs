//! What Jackson says of a value of a wrong shape.

use crate::{JsonFault, Kind, Value};

/// Of a value that stands where one of this type belongs.
pub fn mismatch(wanted: &str, value: Value<'_>) -> String {
    let (given, token) = match value.kind() {
        Kind::Null => ("Null value", "VALUE_NULL"),
        Kind::Bool if value.raw() == "true" => ("Boolean value", "VALUE_TRUE"),
        Kind::Bool => ("Boolean value", "VALUE_FALSE"),
        Kind::Integer => ("Integer value", "VALUE_NUMBER_INT"),
        Kind::Float => ("Floating-point value", "VALUE_NUMBER_FLOAT"),
        Kind::Text => ("String value", "VALUE_STRING"),
        Kind::Array => ("Array value", "START_ARRAY"),
        Kind::Object => ("Object value", "START_OBJECT"),
    };
    format!("Cannot deserialize value of type `{wanted}` from {given} (token `JsonToken.{token}`)")
}

/// Of a text where an object or a list belongs; an empty or blank one is refused as a coercion.
pub fn mismatched_text(class: &str, target: &str, text: &str) -> String {
    let blank = match text {
        "" => "empty String (\"\")",
        text if text.chars().all(|c| c <= ' ') => "blank String (all whitespace)",
        text => return no_creator(class, "String", &format!("String value ('{text}')")),
    };
    format!("Cannot coerce {blank} to {target} (but could if coercion was enabled using `CoercionConfig`)")
}

/// Of a document that is no object. A text with a fault inside has no better words than that.
pub fn mismatched_root(class: &str, value: Value<'_>) -> Result<String, JsonFault> {
    let raw = value.raw();
    Ok(match value.kind() {
        Kind::Array | Kind::Object | Kind::Null => mismatch(class, value),
        Kind::Text => mismatched_text(class, &format!("`{class}` value"), &value.text()?),
        Kind::Bool => no_creator(class, "boolean/Boolean", &format!("boolean value ({raw})")),
        Kind::Float => no_creator(class, "double/Double", &format!("Number value ({raw})")),
        Kind::Integer => {
            let argument = match (raw.parse::<i32>(), raw.parse::<i64>()) {
                (Ok(_), _) => "int/Int",
                (_, Ok(_)) => "long/Long",
                _ => "BigInteger",
            };
            no_creator(class, argument, &format!("Number value ({raw})"))
        }
    })
}

fn no_creator(class: &str, argument: &str, given: &str) -> String {
    format!(
        "Cannot construct instance of `{class}` (although at least one Creator exists): \
         no {argument}-argument constructor/factory method to deserialize from {given}"
    )
}
