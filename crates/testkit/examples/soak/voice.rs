//! The three dialects that submit, as clients speak them.

use batchlingua_testkit::faults::{End, Speech};
use serde_json::{Value, json};

use crate::audit::Shown;

/// What DLI's clients name.
pub(crate) const PROJECT: &str = "0123456789abcdef0123456789abcdef";

/// The call that submits this, and its body.
pub(crate) fn submit(voice: Speech, label: &str, named: bool, own_id: Option<&str>) -> (String, Value) {
    let (path, mut body) = match voice {
        Speech::Livy => ("/batches", json!({"file": "hdfs:///soak/job.py", "args": [label]})),
        Speech::Kyuubi => (
            "/api/v1/batches",
            json!({"batchType": "PYSPARK", "resource": "hdfs:///soak/job.py", "className": "", "args": [label], "conf": {}}),
        ),
        Speech::Dli => {
            let body =
                json!({"file": "obs://soak/job.py", "className": "", "queue": "q1", "args": [label], "conf": {}});
            return (format!("POST /v2.0/{PROJECT}/batches"), with_name(body, label, named));
        }
    };
    if let Some(id) = own_id {
        body["conf"]["kyuubi.batch.id"] = json!(id);
    }
    (format!("POST {path}"), with_name(body, label, named))
}

fn with_name(mut body: Value, label: &str, named: bool) -> Value {
    if named {
        body["name"] = json!(label);
    }
    body
}

/// The path of one batch.
pub(crate) fn path(voice: Speech, id: &str) -> String {
    match voice {
        Speech::Livy => format!("/batches/{id}"),
        Speech::Kyuubi => format!("/api/v1/batches/{id}"),
        Speech::Dli => format!("/v2.0/{PROJECT}/batches/{id}"),
    }
}

/// The id that an answer shows.
pub(crate) fn id(body: &Value) -> Option<String> {
    match body.get("id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The application that it shows.
pub(crate) fn app(body: &Value) -> Option<String> {
    body.get("appId")?.as_str().map(str::to_owned)
}

/// Where it says that the batch stands.
pub(crate) fn shown(voice: Speech, body: &Value) -> Option<Shown> {
    let word = body.get("state")?.as_str()?;
    Some(match (voice, word) {
        (Speech::Livy | Speech::Dli, "starting") | (Speech::Kyuubi, "PENDING") => Shown::Waiting,
        (Speech::Livy | Speech::Dli, "running") | (Speech::Kyuubi, "RUNNING") => Shown::Running,
        (Speech::Livy | Speech::Dli, "success") | (Speech::Kyuubi, "FINISHED") => Shown::Ended(End::Succeeded),
        (Speech::Livy, "dead") => Shown::Ended(End::Failed),
        (Speech::Livy, "killed") | (Speech::Kyuubi, "CANCELED") => Shown::Ended(End::Cancelled),
        (Speech::Livy, "error") => Shown::Unknown,
        (Speech::Kyuubi, "ERROR") if body["appState"] == "UNKNOWN" => Shown::Unknown,
        (Speech::Kyuubi, "ERROR") => Shown::Ended(End::Failed),
        (Speech::Dli, "dead") => Shown::Dead,
        _ => return None,
    })
}

/// What a list of Kylin's jobs says: names and where each stands.
pub(crate) fn kylin_rows(body: &Value) -> Vec<(String, Shown)> {
    let rows = ["/data/value", "/data/jobs", "/data"].iter().find_map(|at| body.pointer(at)?.as_array());
    let row = |row: &Value| {
        let name = row.get("name").or_else(|| row.get("job_name")).and_then(Value::as_str)?;
        let shown = match row.get("job_status")?.as_str()? {
            "PENDING" => Shown::Waiting,
            "RUNNING" => Shown::Running,
            "FINISHED" => Shown::Ended(End::Succeeded),
            "ERROR" => Shown::Error,
            "DISCARDED" => Shown::Ended(End::Cancelled),
            _ => return None,
        };
        Some((name.to_owned(), shown))
    };
    rows.into_iter().flatten().filter_map(row).collect()
}
