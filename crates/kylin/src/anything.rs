//! No request whatever gets past both the model and an answer in Kylin's shapes, and no batch whatever is shown in another.

use std::sync::Arc;

use batchlingua_core::{BatchSpec, BatchState, Effect, Millis, Operation, Outcome, Page, Times};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{
    ANY, AS_JSON, ID, Made, PUBLIC, V2, V4, asker, asks, batch, controlled, dialect, encoded, face, lenient, make_for,
    typed,
};

fn requests() -> impl Strategy<Value = (String, String, Vec<u8>)> {
    let path = prop_oneof![
        Just("GET /kylin/api/jobs".to_owned()),
        Just("PUT /kylin/api/jobs/status".to_owned()),
        Just("DELETE /kylin/api/jobs".to_owned()),
        Just(format!("GET /kylin/api/jobs/{ID}/detail")),
        "(GET|PUT|DELETE|POST) /kylin/api/(jobs|user)(/[a-z0-9_-]{0,40}){0,4}",
    ];
    let name = "(time_filter|timeFilter|status|statuses|page_offset|page_size|pageSize|offset|limit|sort_by|reverse|key|project|job_ids|action|x)";
    let value = "(-?[0-9]{1,11}|0x[0-9a-f]{1,9}|RUNNING|PAUSE|true|%[0-9A-F]{2}|[a-z,]{0,5})";
    let query = proptest::collection::vec((name, value).prop_map(|(name, value)| format!("{name}={value}")), 0..5);
    let query = query.prop_map(|pairs| pairs.join("&"));
    let accept = proptest::sample::select(vec![PUBLIC, V4, V2, ANY, AS_JSON, "Accept: ;q=x,,/", "X: y"]);
    let object = "\\{(\"(action|project|job_ids|statuses)\":(\"[A-Zé\\\\]{0,6}\"|null|[0-9]{1,3}|\\[\"a\"\\]|\\[null\\]|\\{\\}),?){0,4}\\}";
    let body =
        prop_oneof![3 => object.prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 0..40)];
    (path, query, accept, body)
        .prop_map(|(path, query, accept, body)| (format!("{path}?{query}"), accept.to_owned(), body))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_request_is_taken_or_refused_in_one_of_kylins_shapes((line, accept, body) in requests(), strict: bool) {
        let dialect = dialect(json!({"strict": strict}));
        let request = typed(&line, &[&accept, "Content-Type: application/json"], &body);
        match make_for(&dialect, &request, face(), Some(asker("ana", true))) {
            Made::Asks(head, operation) => {
                // What is asked can be answered, whatever comes of it.
                let outcome = match operation {
                    Operation::List(query) => {
                        prop_assert!(query.window.size <= 10_000);
                        Outcome::Page(Page { rows: vec![batch(BatchState::Failed).into()], total: None, next: None })
                    }
                    Operation::Control(..) => controlled(BatchState::Paused, Ok(Effect::Accepted)),
                    Operation::Get(..) | Operation::Log(..) | Operation::Submit(_) => {
                        Outcome::Batch(batch(BatchState::Unknown).into())
                    }
                };
                let answer = encoded(&dialect, &head, outcome);
                prop_assert_eq!(answer.status, 200);
                prop_assert!(!answer.json().is_null());
            }
            Made::Answer(answer) if [404, 405].contains(&answer.status) => {
                prop_assert_eq!(answer.json()["status"].as_u64(), Some(answer.status.into()));
            }
            Made::Answer(answer) if answer.status == 406 => prop_assert!(answer.body.is_empty()),
            Made::Answer(answer) if answer.status == 200 => {}
            Made::Answer(answer) => {
                let (status, _) = answer.refused();
                prop_assert!([400, 500].contains(&status), "{status}");
            }
        }
    }

    #[test]
    fn any_batch_is_shown_with_the_keys_of_the_reference(
        texts in proptest::collection::vec(proptest::option::of(any::<String>()), 5),
        times in proptest::collection::vec(any::<i32>(), 4),
        state in proptest::sample::select(BatchState::ALL.to_vec()),
    ) {
        let dialect = lenient();
        let mut shown = batch(state);
        shown.spec = BatchSpec { name: texts[0].clone(), file: texts[1].clone(), ..BatchSpec::default() }.into();
        shown.project = texts[2].clone().map(Into::into);
        (shown.app.id, shown.diagnostic) = (texts[3].clone(), texts[4].clone());
        let at = |at: usize| Millis(times[at].into());
        shown.times = Times { created: at(0), started: Some(at(1)), ended: Some(at(2)), modified: at(3) };
        let (head, _) = asks(&dialect, "GET /kylin/api/jobs?time_filter=4", &[PUBLIC], "");
        let page = Page { rows: vec![Arc::new(shown.clone())], total: Some(1), next: None };
        let json = encoded(&dialect, &head, Outcome::Page(page)).json();
        let job = &json["data"]["value"][0];
        let keys: Vec<&str> = job.as_object().expect("a job").keys().map(String::as_str).collect();
        prop_assert_eq!(keys, [
            "id", "last_modified", "duration", "total_duration", "exec_start_time", "steps", "job_status", "job_name",
            "data_range_start", "data_range_end", "target_model", "target_segments", "step_ratio", "create_time",
            "wait_time", "target_subject", "target_subject_error", "project", "submitter", "exec_end_time",
            "discard_safety", "tag", "snapshot_data_range", "job_scheduler_mode", "segments", "version",
            "related_segment", "progress",
        ]);
        prop_assert_eq!(&job["data_range_end"], &json!(i64::MAX));
        let spans: Vec<i64> = ["wait_time", "duration", "total_duration"].iter().filter_map(|key| job[*key].as_i64()).collect();
        prop_assert!(spans.iter().all(|span| *span >= 0) && spans[0] + spans[1] == spans[2]);
        let ratio = job["step_ratio"].as_f64().expect("a number");
        let is_right = if state == BatchState::Succeeded { ratio == 1.0 } else { (0.0..=0.99).contains(&ratio) };
        prop_assert!(is_right, "{state} {ratio}");
        let (head, _) = asks(&dialect, &format!("GET /kylin/api/jobs/{ID}/detail?project=p"), &[PUBLIC], "");
        let json = encoded(&dialect, &head, Outcome::Batch(shown.into())).json();
        let step = &json["data"][0];
        let is_error = job["job_status"] == "ERROR";
        prop_assert_eq!((&step["step_status"], step["failed_msg"].is_string()), (&job["job_status"], is_error));
    }
}
