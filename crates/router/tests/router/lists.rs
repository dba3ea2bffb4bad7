//! Lists: from the ledger, with right totals, whatever the backends do.

use std::{collections::HashMap, sync::Arc, time::Duration};

use batchlingua_core::BatchState;
use batchlingua_testkit::Point;
use serde_json::json;

use crate::house::{Answer, House, backend};

const SECOND: Duration = Duration::from_secs(1);

fn names(page: &Answer) -> Vec<String> {
    let rows = page.json["rows"].as_array().expect("rows");
    rows.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn filters_windows_and_totals_agree() {
    let house = House::new();
    for n in 0..10 {
        house.running(&format!("n{n}")).await;
    }
    house.backend.advance(&"mem-3".into(), BatchState::Succeeded);
    house.backend.advance(&"mem-7".into(), BatchState::Failed);
    tokio::time::sleep(20 * SECOND).await;
    let page = house.get("/jobs?from=2&size=3").await;
    assert_eq!((names(&page), page.json["total"].as_u64()), (vec!["n2".into(), "n3".into(), "n4".into()], Some(10)));
    let page = house.get("/jobs?state=running&from=3&size=3").await;
    assert_eq!((names(&page), page.json["total"].as_u64()), (vec!["n4".into(), "n5".into(), "n6".into()], Some(8)));
    let page = house.get("/jobs?state=succeeded,failed").await;
    assert_eq!(names(&page), ["n3", "n7"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_not_older_than_its_freshness_and_one_walk_serves_all() {
    let house = House::new();
    house.running("a").await;
    tokio::time::sleep(5 * SECOND).await;
    house.backend.hold(Point::Scan);
    let walks = house.backend.calls(Point::Scan);
    house.backend.advance(&"mem-0".into(), BatchState::Succeeded);
    let lists: Vec<_> = (0..50)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.get("/jobs?state=succeeded").await })
        })
        .collect();
    house.backend.until_held(Point::Scan, 1).await;
    house.settle_down().await;
    house.backend.release(Point::Scan);
    for list in lists {
        assert_eq!(list.await.expect("an answer").json["total"], 1);
    }
    assert_eq!(house.backend.calls(Point::Scan) - walks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_or_hangs_makes_a_list_older_and_no_error() {
    let house = House::new();
    house.running("a").await;
    tokio::time::sleep(15 * SECOND).await;
    house.backend.set_reachable(false);
    tokio::time::sleep(3_600 * SECOND).await;
    let page = house.get("/jobs").await;
    assert_eq!((page.status.as_u16(), names(&page)), (200, vec!["a".to_owned()]));

    house.backend.set_reachable(true);
    house.backend.hold(Point::Scan);
    tokio::time::sleep(15 * SECOND).await;
    let began = tokio::time::Instant::now();
    assert_eq!(house.get("/jobs").await.status, 200);
    assert!(began.elapsed() <= 5 * SECOND, "{:?}", began.elapsed());
}

fn cheap(telling: bool) -> House {
    let (clock, backend) = backend();
    let backend = backend.able(|can| can.cheap_reads = true);
    House::over(clock, Arc::new(if telling { backend.telling_changes() } else { backend }), |_| {})
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_a_backend_at_hand_is_fresh_in_every_row() {
    let house = cheap(false);
    for n in 0..300 {
        house.running(&format!("n{n}")).await;
    }
    let page = house.get("/jobs?size=300").await;
    let rows = page.json["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 300);
    let running = rows.iter().filter(|row| row["state"] == "running").count();
    assert_eq!(running, 300);
    assert_eq!(house.notebook.lines("call get throttled"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_is_shown_as_last_seen() {
    let house = cheap(false);
    let (_, native) = house.running("a").await;
    house.running("b").await;
    assert_eq!(house.get("/jobs?tails=1").await.json["total"], 2);
    house.backend.write_log(&"mem-1".into(), ["line"]);
    house.backend.forget(&native);
    let page = house.get("/jobs?tails=1").await;
    assert_eq!((names(&page), &page.json["rows"][1]["tail"]), (vec!["a".into(), "b".into()], &json!(["line"])));
    house.backend.set_reachable(false);
    tokio::time::sleep(3_600 * SECOND).await;
    let page = house.get("/jobs?tails=1").await;
    assert_eq!((page.status.as_u16(), names(&page).len()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn ended_batches_leave_the_lists_and_stay_under_their_ids() {
    let house =
        House::with(|plans| plans.limits.list_for = HashMap::from([("plain".into(), Duration::from_secs(600))]));
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    assert_eq!(house.get("/jobs").await.json["total"], 1);
    tokio::time::sleep(601 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 0);
    assert_eq!(house.state(&uuid).await, "succeeded");
}
