//! Many polled batches cost a backend few calls: one list answers them all, and is believed no further than it goes.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{BatchState, NativeId};
use batchlingua_router::CallLimits;
use batchlingua_testkit::Point;
use futures_util::future::join_all;
use tokio::{task::JoinHandle, time::Instant};

use crate::house::{House, backend};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);
/// More than it takes for a list to be less work.
const MANY: usize = 40;

type Jobs = Vec<(String, NativeId)>;

/// With batches that run, and no walks but those that polls ask for.
async fn house(count: usize, rows: usize) -> (House, Jobs) {
    let (clock, backend) = backend();
    let backend = Arc::new(backend.telling_by_rows().paged(rows));
    let house = House::over(clock, backend, |plans| {
        plans.calls.freshness = CallLimits::default().freshness;
        plans.limits.sweep = 1_000_000 * SECOND;
    });
    let mut jobs = Vec::new();
    for number in 0..count {
        jobs.push(house.running(&format!("job-{number}")).await);
    }
    (house, jobs)
}

/// The same, each of them polled within the last second and seen before that, so that the next who asks begins a round.
async fn watched(count: usize, rows: usize) -> (House, Jobs) {
    let (house, jobs) = house(count, rows).await;
    for _ in 0..4 {
        poll_all(&house, &jobs).await;
        tokio::time::sleep(SECOND / 2 + TICK).await;
    }
    assert!(house.backend.calls(Point::Scan) > 1, "no round was made");
    (house, jobs)
}

async fn poll_all(house: &House, jobs: &Jobs) {
    for (uuid, _) in jobs {
        assert_eq!(house.state(uuid).await, "running");
    }
}

fn polling(house: &House, uuid: &str) -> JoinHandle<String> {
    let (house, uuid) = (house.clone(), uuid.to_owned());
    tokio::spawn(async move { house.state(&uuid).await })
}

fn calls(house: &House) -> u64 {
    house.backend.calls(Point::Get) + house.backend.calls(Point::Scan)
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_watched_batches_cost_one_call_a_second() {
    let (house, jobs) = house(400, 400).await;
    let second = || async {
        for tenth in jobs.chunks(40) {
            for (uuid, _) in tenth {
                assert_eq!(house.state(uuid).await, "running");
            }
            tokio::time::sleep(TICK).await;
        }
    };
    second().await;
    let before = calls(&house);
    for _ in 0..3 {
        second().await;
    }
    let each = calls(&house) - before;
    assert!(each <= 3, "{each} calls in 3 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_few_batches_are_looked_at_one_by_one() {
    let (house, jobs) = house(10, 100).await;
    let (gets, scans) = (house.backend.calls(Point::Get), house.backend.calls(Point::Scan));
    for _ in 0..3 {
        poll_all(&house, &jobs).await;
        tokio::time::sleep(SECOND + TICK).await;
    }
    assert_eq!(house.backend.calls(Point::Scan), scans);
    assert_eq!(house.backend.calls(Point::Get), gets + 30);
}

/// As many pages as there are batches that are watched are no gain.
#[tokio::test(start_paused = true)]
async fn a_list_that_is_more_work_is_not_read() {
    let (house, jobs) = house(MANY, 1).await;
    let second = || async {
        poll_all(&house, &jobs).await;
        tokio::time::sleep(SECOND + TICK).await;
    };
    for _ in 0..2 {
        second().await;
    }
    let (gets, scans) = (house.backend.calls(Point::Get), house.backend.calls(Point::Scan));
    second().await;
    assert_eq!((house.backend.calls(Point::Get), house.backend.calls(Point::Scan)), (gets + MANY as u64, scans));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_in_a_list_is_looked_at_by_himself_and_lives() {
    let (house, jobs) = watched(MANY, 100).await;
    let (missed, native) = &jobs[7];
    house.backend.leave_out(native);
    let gets = house.backend.calls(Point::Get);
    poll_all(&house, &jobs).await;
    let told = house.get(&format!("/jobs/{missed}/state")).await;
    assert_eq!((told.text_of("state").as_str(), told.header("batchlingua-stale")), ("running", None));
    assert_eq!(house.backend.calls(Point::Get), gets + 1, "one look of its own");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_seen_by_all_who_wait() {
    let (house, jobs) = watched(MANY, 100).await;
    for (at, (_, native)) in jobs.iter().enumerate() {
        house.backend.advance(native, if at % 2 == 0 { BatchState::Succeeded } else { BatchState::Failed });
    }
    let polls: Vec<_> = jobs.iter().map(|(uuid, _)| polling(&house, uuid)).collect();
    for (at, told) in join_all(polls).await.into_iter().enumerate() {
        assert_eq!(told.expect("an answer"), if at % 2 == 0 { "succeeded" } else { "failed" });
    }
}

/// A log that does not come holds up the batch whose end it is, and for as long as a log may; not what is told of the others.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_log_of_anothers_end() {
    let (house, jobs) = watched(MANY, 100).await;
    let [(ended, first), (moved, second), ..] = &jobs[..] else { panic!("many jobs") };
    house.backend.advance(first, BatchState::Succeeded);
    house.backend.advance(second, BatchState::Paused);
    house.backend.hold(Point::Log);
    let (began, ended) = (Instant::now(), polling(&house, ended));
    assert_eq!(house.state(moved).await, "paused");
    tokio::time::sleep(SECOND + TICK).await;
    poll_all(&house, &jobs[2..].to_vec()).await;
    assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    assert_eq!(ended.await.expect("an answer"), "succeeded");
}

/// A round leaves ends to looks of their own: it has not seen to all that a list shows.
#[tokio::test(start_paused = true)]
async fn a_list_after_a_round_shows_the_ends_that_nobody_polls_for() {
    let (house, jobs) = watched(MANY, 100).await;
    house.backend.advance(&jobs[0].1, BatchState::Succeeded);
    // Longer than a walk that all of it came from is good for.
    for _ in 0..5 {
        poll_all(&house, &jobs[1..].to_vec()).await;
        tokio::time::sleep(SECOND / 2 + TICK).await;
    }
    let listed = house.get("/jobs?state=succeeded").await;
    assert_eq!(listed.json["rows"].as_array().map(Vec::len), Some(1));
}

/// An end is for good: what a backend says otherwise of it later is no end that is still to be written.
#[tokio::test(start_paused = true)]
async fn after_a_round_that_left_nothing_a_list_needs_no_walk() {
    let (house, jobs) = watched(MANY, 100).await;
    let (ended, native) = &jobs[0];
    house.backend.advance(native, BatchState::Succeeded);
    assert_eq!(house.state(ended).await, "succeeded");
    house.backend.edit(native, |batch| batch.state = BatchState::Failed);
    for _ in 0..5 {
        poll_all(&house, &jobs[1..].to_vec()).await;
        tokio::time::sleep(SECOND / 2 + TICK).await;
    }
    let scans = house.backend.calls(Point::Scan);
    assert_eq!(house.get("/jobs?state=succeeded").await.json["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.backend.calls(Point::Scan), scans);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_an_action_is_not_told_what_was_read_before_it() {
    let (house, jobs) = watched(MANY, 100).await;
    let (first, paused) = (&jobs[0].0, &jobs[1].0);
    house.backend.hold(Point::ScanAnswer);
    let first = polling(&house, first);
    house.backend.until_held(Point::ScanAnswer, 1).await;
    assert_eq!(house.act("pause", paused).await, "accepted");
    let after = polling(&house, paused);
    house.settle_down().await;
    house.backend.release(Point::ScanAnswer);
    assert_eq!(first.await.expect("an answer"), "running");
    assert_eq!(after.await.expect("an answer"), "paused");
    assert_eq!(house.notebook.lines("state ").last().map(String::as_str), Some("state paused"), "nor is it written");
}

#[tokio::test(start_paused = true)]
async fn where_no_list_is_given_everybody_has_his_own_look_and_lists_are_left_alone() {
    let (house, jobs) = watched(MANY, 100).await;
    house.backend.set_walkable(false);
    poll_all(&house, &jobs).await;
    let (gets, scans) = (house.backend.calls(Point::Get), house.backend.calls(Point::Scan));
    house.backend.set_walkable(true);
    tokio::time::sleep(SECOND + TICK).await;
    poll_all(&house, &jobs).await;
    assert_eq!((house.backend.calls(Point::Get), house.backend.calls(Point::Scan)), (gets + MANY as u64, scans));
    tokio::time::sleep(10 * SECOND).await;
    for _ in 0..2 {
        poll_all(&house, &jobs).await;
        tokio::time::sleep(SECOND + TICK).await;
    }
    assert!(house.backend.calls(Point::Scan) > scans, "they are read again");
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_sees_with_its_own_credentials_is_in_no_list_of_ours() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend.telling_by_rows().able(|can| can.caller_credentials = true));
    let house = House::over(clock, backend, |plans| plans.calls.freshness = CallLimits::default().freshness);
    let mut jobs = Vec::new();
    for number in 0..MANY {
        jobs.push(house.running(&format!("job-{number}")).await);
    }
    let gets = house.backend.calls(Point::Get);
    for _ in 0..3 {
        poll_all(&house, &jobs).await;
        tokio::time::sleep(SECOND + TICK).await;
    }
    assert_eq!(house.backend.calls(Point::Get), gets + 3 * MANY as u64);
}
