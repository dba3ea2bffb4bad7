//! An explanation for programs: one JSON object, whose names stay.

use std::collections::BTreeMap;

use batchlingua_core::FieldClass;
use batchlingua_router::{Explanation, Policy, RouteMatch, Row, Taken, Told, Upstream, Verdict};
use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use super::Explained;

/// The object.
pub fn json(explained: &Explained) -> Value {
    let Explanation { listener, dialect, principal, asked, route, upstream, rows, unmapped, verdict } =
        &explained.explanation;
    let fields = |fields: &[(&'static str, Told)]| {
        fields.iter().map(|(name, told)| ((*name).to_owned(), value(told))).collect::<Map<_, _>>()
    };
    let mut object = json!({
        "request_line": explained.line,
        "listener": listener.as_str(),
        "dialect": dialect.as_ref().map(|dialect| dialect.as_str()),
        "principal": principal.as_ref().map(|who| json!({"name": &*who.name, "verified": who.verified})),
        "operation": asked.as_ref().map(|asked| json!({"name": asked.name, "fields": fields(&asked.fields)})),
        "route": route.as_ref().map(taken),
        "upstream": upstream.as_ref().map(sent),
        "fates": rows.iter().map(fate).collect::<Vec<_>>(),
        "unmapped": unmapped,
    });
    let rest = match verdict {
        Verdict::Sent(backend) => json!({"outcome": "sent", "backend": backend.as_str()}),
        Verdict::Refused { why, answer: response } => {
            json!({"outcome": "refused", "why": why, "answer": answer(response)})
        }
        Verdict::Answered(response) => json!({"outcome": "answered", "answer": answer(response)}),
        Verdict::Relayed(backend) => json!({"outcome": "relayed", "backend": backend.as_str()}),
        Verdict::Asks { backends, strangers } => {
            let names =
                |names: &[batchlingua_core::BackendName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            json!({"outcome": "asks", "backends": names(backends), "unknown_ids_at": names(strangers)})
        }
    };
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    object
}

fn value(told: &Told) -> Value {
    match told {
        Told::Text(text) => json!(text),
        Told::Number(number) => json!(number),
        Told::List(list) => json!(list),
        Told::Pairs(pairs) => {
            pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>().into()
        }
    }
}

fn taken(taken: &Taken) -> Value {
    json!({
        "number": taken.number,
        "of": taken.of,
        "only_backend": taken.is_only_backend,
        "match": conditions(&taken.rule.matches).into_iter().collect::<BTreeMap<_, _>>(),
        "backend": taken.rule.to.as_str(),
    })
}

/// What a rule asks for, by the names of the configuration.
pub(super) fn conditions(matches: &RouteMatch) -> Vec<(String, String)> {
    let text = |name: &str, text: Option<&str>| text.map(|text| (name.to_owned(), text.to_owned()));
    let RouteMatch { listener, dialect, project, queue, user, name, headers } = matches;
    let mut told: Vec<_> = [
        text("listener", listener.as_ref().map(|name| name.as_str())),
        text("dialect", dialect.as_ref().map(|name| name.as_str())),
        text("project", project.as_deref()),
        text("queue", queue.as_deref()),
        text("user", user.as_deref()),
        text("name", name.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect();
    told.extend(headers.iter().map(|(name, glob)| (format!("header.{name}"), glob.clone())));
    told
}

fn sent(upstream: &Upstream) -> Value {
    let body = serde_json::from_str(&upstream.body).unwrap_or_else(|_| json!(upstream.body));
    json!({"head": upstream.head, "body": body})
}

fn fate(row: &Row) -> Value {
    json!({
        "client": row.client,
        "model": row.model,
        "class": row.class.map(FieldClass::as_str),
        "fate": row.fate,
        "detail": row.detail,
        "policy": row.policy.map(Policy::as_str),
    })
}

fn answer(response: &Response<Bytes>) -> Value {
    let headers = response.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), json!(value))
    });
    json!({
        "status": response.status().as_u16(),
        "headers": headers.collect::<Map<_, _>>(),
        "body": String::from_utf8_lossy(response.body()),
    })
}
