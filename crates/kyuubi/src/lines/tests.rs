use batchlingua_core::{Backend, ErrorKind, Intent, LogQuery, LogSource, Missing};
use batchlingua_testkit::{Reply, context, intent, marker};
use futures_util::TryStreamExt;
use serde_json::json;

use super::*;
use crate::fake::Scene;

/// A batch with a log of so many lines.
async fn scene(lines: usize) -> (Scene, NativeId) {
    let scene = Scene::of("1.12.0", json!({"max_answer": "64KiB"})).await;
    let spec = batchlingua_core::BatchSpec {
        file: Some("/a.jar".into()),
        class_name: Some("A".into()),
        ..batchlingua_core::BatchSpec::default()
    };
    let intent: Intent = intent(marker(), spec);
    let plan = scene.backend.plan(intent).expect("a plan");
    let id = scene.backend.submit(&context(), plan).await.expect("accepted").id;
    scene.world().batches[0].log = (0..lines).map(|line| format!("line {line}")).collect();
    (scene, id)
}

async fn read(scene: &Scene, id: &NativeId, lines: Lines) -> Result<Log> {
    scene.backend.log(&context(), id, &LogQuery { lines, source: LogSource::Default }).await
}

async fn page(scene: &Scene, id: &NativeId, wanted: Lines) -> (u64, Option<u64>, Vec<String>) {
    let log = read(scene, id, wanted).await.expect("a log");
    let LogBody::Lines(lines) = log.body else { panic!("lines") };
    (log.from, log.total, lines)
}

/// The calls that this took.
async fn calls<T>(scene: &Scene, work: impl Future<Output = T>) -> (T, usize) {
    let before = scene.origin.asked().len();
    let done = work.await;
    (done, scene.origin.asked().len() - before)
}

#[tokio::test]
async fn the_end_of_a_long_log_is_found_without_reading_it() {
    for lines in [0, 1, 999, 1_000, 1_001, 4_999, 5_000, 5_001, 77_777, 300_000] {
        let (scene, id) = scene(lines).await;
        let ((from, total, tail), first) = calls(&scene, page(&scene, &id, Lines::Tail(3))).await;
        let end = lines as u64;
        assert_eq!((from, total), (end.saturating_sub(3), Some(end)), "{lines}");
        assert_eq!(tail, scene.world().batches[0].log[lines.saturating_sub(3)..]);
        // Twice the logarithm, and what is read in the end.
        assert!(first <= 2 * (lines / 1_000 + 2).ilog2() as usize + 5, "{first} calls for {lines} lines");
        let (_, again) = calls(&scene, page(&scene, &id, Lines::Tail(3))).await;
        assert!(again <= 2, "{again} calls for what is known");
    }
}

#[tokio::test]
async fn a_log_that_is_followed_costs_one_call_a_look() {
    let (scene, id) = scene(10).await;
    let mut next = 0;
    for grown in [10, 25, 25, 60] {
        scene.world().batches[0].log = (0..grown).map(|line| format!("line {line}")).collect();
        let ((_, total, lines), calls) = calls(&scene, page(&scene, &id, Lines::From(next, 100))).await;
        next += lines.len() as u64;
        assert_eq!((next, total, calls), (grown, Some(grown), 1));
    }
    // Past the end it has to be looked for, once.
    assert_eq!(page(&scene, &id, Lines::From(1_000, 5)).await, (1_000, Some(60), vec![]));
}

#[tokio::test]
async fn a_kyuubi_client_pays_for_no_total() {
    let (scene, id) = scene(500).await;
    let ctx = Context { dialect: NAME.into(), ..context() };
    let query = LogQuery { lines: Lines::From(0, 100), source: LogSource::Default };
    let (log, calls) = calls(&scene, scene.backend.log(&ctx, &id, &query)).await;
    assert_eq!((log.expect("a log").total, calls), (None, 1));
}

#[tokio::test]
async fn a_log_that_became_shorter_is_found_again() {
    let (scene, id) = scene(20_000).await;
    assert_eq!(page(&scene, &id, Lines::Tail(1)).await.1, Some(20_000));
    for lines in [12_345, 3, 0] {
        scene.world().batches[0].log.truncate(lines);
        let (from, total, tail) = page(&scene, &id, Lines::Tail(2)).await;
        let end = lines as u64;
        assert_eq!((from, total, tail.len()), (end.saturating_sub(2), Some(end), lines.min(2)));
    }
}

#[tokio::test]
async fn a_large_answer_is_asked_for_in_smaller_ones_and_a_huge_line_is_told() {
    let (scene, id) = scene(0).await;
    let mut log: Vec<String> = (0..300).map(|line| format!("{line} {}", "x".repeat(1_000))).collect();
    log[7] = "y".repeat(70_000);
    scene.world().batches[0].log = log.clone();
    log[7] = TOO_LONG.to_owned();
    let (_, total, lines) = page(&scene, &id, Lines::From(0, 500)).await;
    assert_eq!((total, lines == log), (Some(300), true));
    assert_eq!(page(&scene, &id, Lines::HeadAndTail(10)).await.2, [&log[..10], &log[290..]].concat());
}

#[tokio::test]
async fn an_answer_is_bounded_whatever_is_asked() {
    let (scene, id) = scene(25_000).await;
    let (from, total, lines) = page(&scene, &id, Lines::Tail(u32::MAX)).await;
    assert_eq!((from, total, lines.len()), (15_000, Some(25_000), 10_000));
    assert_eq!(page(&scene, &id, Lines::From(3, u32::MAX)).await.2.len(), 10_000);
    assert_eq!(page(&scene, &id, Lines::From(u64::MAX, 7)).await, (u64::MAX, Some(25_000), vec![]));
}

/// As recorded in `v2`: it is the same line whatever is asked.
#[tokio::test]
async fn what_stands_in_for_a_log_is_one_line() {
    for word in ["scheduling", "submitting"] {
        let (scene, id) = scene(0).await;
        let line = format!("Batch {id} is waiting for {word}");
        let answer = json!({"logRowSet": [line], "rowCount": 1}).to_string();
        let faults = (0..50).map(|_| ("GET /api/v1/batches/", Reply::json(200, &answer)));
        scene.world().faults.extend(faults);
        assert_eq!(page(&scene, &id, Lines::Tail(5)).await, (0, Some(1), vec![line.clone()]));
        assert_eq!(page(&scene, &id, Lines::From(0, 0)).await, (0, Some(1), vec![]));
        assert_eq!(page(&scene, &id, Lines::From(1, 100)).await, (1, Some(1), vec![]));
        assert_eq!(page(&scene, &id, Lines::HeadAndTail(5)).await.2, std::slice::from_ref(&line));
        assert_eq!(whole(&scene, &id).await.expect("it ends"), format!("{line}\n"));
    }
}

async fn whole(scene: &Scene, id: &NativeId) -> Result<String> {
    let LogBody::Stream(stream) = read(scene, id, Lines::All).await?.body else { panic!("a stream") };
    let bytes: Vec<u8> = stream.map_ok(|piece| piece.to_vec()).try_concat().await?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn all_of_a_log_is_fetched_as_it_is_read() {
    let (scene, id) = scene(3_500).await;
    let before = scene.origin.asked().len();
    let LogBody::Stream(mut stream) = read(&scene, &id, Lines::All).await.expect("a log").body else {
        panic!("a stream")
    };
    assert_eq!(scene.origin.asked().len() - before, 1, "the first page, to see that there is a log");
    stream.try_next().await.expect("a page").expect("lines");
    assert_eq!(scene.origin.asked().len() - before, 1);
    stream.try_next().await.expect("a page").expect("lines");
    assert_eq!(scene.origin.asked().len() - before, 2);
    let text = whole(&scene, &id).await.expect("all of it");
    assert!(text.lines().eq(scene.world().batches[0].log.iter().map(String::as_str)));
    // A page that fails ends the stream with an error: it is never taken for the end.
    let LogBody::Stream(mut stream) = read(&scene, &id, Lines::All).await.expect("a log").body else {
        panic!("a stream")
    };
    stream.try_next().await.expect("a page");
    scene.world().faults.push(("GET /api/v1/batches/", Reply::whole(502, "text/html", "<html>")));
    assert!(stream.try_next().await.is_err());
}

#[tokio::test]
async fn a_log_that_is_gone_is_told_as_such() {
    let (scene, id) = scene(5).await;
    for lines in [Lines::Tail(1), Lines::From(0, 1), Lines::HeadAndTail(1), Lines::All] {
        let gone = format!(r#"{{"message":"No local log found for batch: {id}"}}"#);
        scene.world().faults.push(("GET /api/v1/batches/", Reply::json(404, gone)));
        let error = read(&scene, &id, lines).await.expect_err("gone");
        assert_eq!(error.kind, ErrorKind::NotFound(Missing::Log), "{lines:?}");
    }
}

#[tokio::test]
async fn a_1_6_that_has_no_line_yet_has_an_empty_log() {
    let scene = Scene::of("1.6.1-incubating", json!({})).await;
    scene.backend.probe(&context()).await.expect("a version");
    let spec = batchlingua_core::BatchSpec {
        file: Some("/a.jar".into()),
        class_name: Some("A".into()),
        ..batchlingua_core::BatchSpec::default()
    };
    let plan = scene.backend.plan(intent(marker(), spec)).expect("a plan");
    let id = scene.backend.submit(&context(), plan).await.expect("accepted").id;
    scene.world().faults.push(("GET /api/v1/batches/", Reply::json(404, "Error getting operation log for batchId: x")));
    assert_eq!(page(&scene, &id, Lines::Tail(5)).await, (0, Some(0), vec![]));
}

#[test]
fn remembered_ends_are_bounded() {
    let ends = Ends::new();
    for batch in 0..=MOST_ENDS.get() {
        ends.set(&NativeId::from(batch.to_string()), 7);
    }
    assert_eq!((ends.of(&"0".into()), ends.of(&"1".into())), (0, 7));
}
