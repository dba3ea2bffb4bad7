//! What the golden files do not show one by one: what creates are taken for, what is shown, how failures are told, and that no request
//! whatever gets past both the model and an answer in DLI's shape.

mod anything;
mod creates;
mod failures;
mod shown;
mod through;

use std::sync::Arc;

use batchlingua_core::{
    Batch, BatchId, BatchSpec, BatchState, Extension, Notes, Operation, Outcome, Reply, Submission,
};
use batchlingua_wire::Dialect;
use serde_json::{Value, json};

use crate::support::{Answer, asks, dialect, typed};

const ID: &str = "5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01";

fn create(body: &str) -> Vec<u8> {
    typed("POST /v2.0/p1/batches", &[], body.as_bytes())
}

fn submission(settings: Value, request: &[u8]) -> Submission {
    match asks(&dialect(settings), request).1 {
        Operation::Submit(submission) => *submission,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn spec(body: &str) -> BatchSpec {
    submission(json!({}), &create(body)).spec
}

fn extension(name: &str, value: &str) -> Extension {
    Extension { dialect: "dli".into(), name: name.into(), value: value.into() }
}

fn encoded(request: &str, outcome: Outcome<BatchId>) -> Answer {
    let dialect = dialect(json!({}));
    let (head, _) = asks(&dialect, &typed(request, &[], b"{\"file\": \"a.py\"}"));
    Answer::of(dialect.encode(&head, &Reply { outcome, notes: Notes::default() }))
}

fn batch(state: BatchState, spec: BatchSpec) -> Batch<BatchId> {
    let id = BatchId { uuid: ID.parse().expect("a uuid"), ordinal: 7, native: Some("9".into()) };
    Batch::new(id, state, Arc::new(spec))
}

fn call(line: &str) -> String {
    format!("{line} /v2.0/p1/batches/{ID}")
}
