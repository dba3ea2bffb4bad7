use batchlingua_core::Uuid;
use serde_json::json;

use super::*;

const ID: &str = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1";

fn job(changes: serde_json::Value) -> Result<Batch<NativeId>, Fault> {
    let mut object = json!({
        "id": ID, "job_status": "RUNNING", "project": "retail", "submitter": "ANALYST", "target_subject": "orders_daily",
        "target_model": "c0ffee00-1111-2222-3333-444455556666", "job_name": "INC_BUILD", "create_time": 1_000, "exec_start_time": 0, "exec_end_time": 0,
        "last_modified": 2_000, "steps": null,
    });
    changes.as_object().into_iter().flatten().for_each(|(name, value)| object[name] = value.clone());
    Reader::new().job(&object.to_string())
}

fn millis(times: Times) -> (i64, Option<i64>, Option<i64>, i64) {
    (times.created.0, times.started.map(|at| at.0), times.ended.map(|at| at.0), times.modified.0)
}

#[test]
fn a_job_is_read_as_the_reference_maps_it() {
    let seen = job(json!({})).expect("a job");
    assert_eq!((seen.id.as_str(), seen.state, seen.attempt), (ID, BatchState::Running, 1));
    assert_eq!((seen.spec.title(), seen.spec.program()), ("orders_daily", "c0ffee00-1111-2222-3333-444455556666"));
    assert_eq!((seen.user(), seen.project.as_ref().map(|project| project.as_str())), (Some("ANALYST"), Some("retail")));
    assert_eq!((seen.spec.queue.as_ref(), seen.spec.file.as_ref()), (None, None));
    let kinds: Vec<_> = seen.spec.extensions.iter().map(|kind| (kind.name.as_str(), kind.value.as_str())).collect();
    assert_eq!(kinds, [("job_name", "\"INC_BUILD\"")]);
    let native = seen.native.expect("its own object");
    assert_eq!((native.dialect.as_str(), native.word.as_str()), ("kylin", "RUNNING"));
}

#[test]
fn not_yet_is_zero_and_an_end_is_one_only_of_what_has_ended() {
    let of = |changes| millis(job(changes).expect("a job").times);
    assert_eq!(of(json!({})), (1_000, None, None, 2_000));
    assert_eq!(of(json!({"exec_start_time": 1_500, "exec_end_time": 1_900})), (1_000, Some(1_500), None, 2_000));
    assert_eq!(of(json!({"job_status": "STOPPED", "exec_end_time": 1_900})).2, None);
    assert_eq!(of(json!({"job_status": "ERROR", "exec_end_time": 1_900})).2, Some(1_900));
    assert_eq!(of(json!({"job_status": "DISCARDED"})).2, Some(2_000), "it ended before it began");
    assert_eq!(of(json!({"last_modified": 0})).3, 1_000);
}

#[test]
fn a_word_that_nobody_knows_is_a_live_state() {
    for word in ["SUSPENDED", "running", "SKIP"] {
        let seen = job(json!({"job_status": word})).expect("a job");
        assert_eq!((seen.state, seen.native.map(|native| native.word)), (BatchState::Running, Some(word.to_owned())));
    }
}

#[test]
fn what_is_no_job_is_none() {
    for (changes, says) in [
        (json!({"id": 7}), "string"),
        (json!({"id": ""}), "id"),
        (json!({"id": "a,b-1234567"}), "id"),
        (json!({"job_status": null}), "null"),
        (json!({"create_time": "yesterday"}), "i64"),
    ] {
        let fault = job(changes.clone()).expect_err("no job");
        assert!(fault.contains(says), "{changes}: {fault}");
    }
    for text in ["[]", "[\"a\"]", "null", "1", "{}", ""] {
        assert!(Reader::new().job(text).is_err() && Reader::new().instance(text).is_err(), "{text}");
    }
}

#[test]
fn application_and_reason_are_those_of_the_steps() {
    let raw = json!([
        {"id": format!("{ID}_00"), "name": "Detect", "step_status": "FINISHED", "info": {"node_info": "h"}},
        {"id": format!("{ID}_01"), "name": "Load", "step_status": "ERROR", "exec_start_time": 5, "exec_end_time": 9, "create_time": 1,
         "info": {"yarn_application_id": "application_1_2", "yarn_application_tracking_url": "http://rm/a", "n": 7},
         "failed_msg": "no disk: password=hunter2\n\tat org.example", "failed_reason": "KE-1"},
        {"id": format!("{ID}_02"), "name": "Publish", "step_status": "ERROR", "failed_msg": "later", "info": {"yarn_application_id": "other"}},
        {"id": "another", "name": null, "step_status": "WARNING", "info": null},
    ]);
    let failed = job(json!({"job_status": "ERROR"})).expect("a job");
    let seen = Reader::new().with_steps(failed, &raw.to_string(), true).expect("its steps");
    assert_eq!((seen.app.id.as_deref(), seen.app.url.as_deref()), (Some("application_1_2"), Some("http://rm/a")));
    let why = seen.diagnostic.expect("a reason");
    assert!(why.starts_with("step 'Load' failed: no disk") && !why.contains("hunter2") && !why.contains('\n'), "{why}");
    let steps: Vec<_> = seen.steps.iter().map(|step| (step.id.as_str(), step.state)).collect();
    let ids = ["00", "01", "02"].map(|number| format!("{ID}_{number}"));
    let states = [BatchState::Succeeded, BatchState::Failed, BatchState::Failed];
    let mut wanted: Vec<_> = ids.iter().map(String::as_str).zip(states).collect();
    wanted.push(("another", BatchState::Succeeded));
    assert_eq!(steps, wanted);
    assert_eq!(millis(seen.steps[1].times), (1, Some(5), Some(9), 9));
    let native = seen.native.expect("its own object");
    let shown: serde_json::Value = serde_json::from_slice(&native.object).expect("JSON");
    assert_eq!(shown["steps"], raw, "as they came");
    let running = Reader::new().with_steps(job(json!({})).expect("a job"), &raw.to_string(), false).expect("its steps");
    assert_eq!((running.diagnostic, running.steps.len()), (None, 0), "what lives has not failed");
    assert!(Reader::new().with_steps(job(json!({})).expect("a job"), "{}", false).is_err());
    assert!(Reader::new().with_steps(job(json!({})).expect("a job"), "null", false).is_ok());
}

#[test]
fn an_older_job_says_by_seconds_when_it_was_made() {
    let object = json!({
        "uuid": ID, "last_modified": 90_000, "name": "BUILD CUBE - orders - 1", "projectName": "retail", "duration": 20,
        "related_cube": "orders", "exec_start_time": 60_000, "exec_end_time": 80_000, "mr_waiting": 7, "submitter": "ANALYST",
        "job_status": "ERROR",
        "steps": [{"id": format!("{ID}-00"), "name": "Hive", "step_status": "ERROR", "exec_start_time": 60_000, "info": {}}],
    });
    let seen = Reader::new().instance(&object.to_string()).expect("a job");
    assert_eq!(millis(seen.times), (53_000, Some(60_000), Some(80_000), 90_000));
    assert_eq!((seen.spec.title(), seen.steps[0].id.as_str()), ("orders", format!("{ID}_00").as_str()));
    assert_eq!(seen.diagnostic.as_deref(), Some("step 'Hive' failed: its log says why"));
    let waiting =
        json!({"uuid": ID, "last_modified": 90_000, "job_status": "PENDING", "name": "BUILD", "exec_start_time": 0});
    let seen = Reader::new().instance(&waiting.to_string()).expect("a job");
    assert_eq!((millis(seen.times), seen.project), ((90_000, None, None, 90_000), None));
}

#[test]
fn only_what_could_be_sent_back_is_an_id() {
    for id in [ID, &format!("{ID}-{ID}"), "a1234567", &Uuid::nil().to_string()] {
        assert!(is_id(id), "{id}");
    }
    for no_id in [
        "",
        "7",
        "overview",
        "statistics",
        "a/../b-1234567",
        "a,b-1234567",
        "a b-1234567",
        "1?x=12345",
        "\u{fc}1234567",
        &"1".repeat(201),
    ] {
        assert!(!is_id(no_id), "{no_id}");
    }
}
