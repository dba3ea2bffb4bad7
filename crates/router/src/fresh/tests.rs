use batchlingua_core::{BatchState, Uuid};

use super::*;

fn row() -> Row {
    let id = BatchId { uuid: Uuid::from_u128(1), ordinal: 1, native: Some("n".into()) };
    Arc::new(Batch::new(id, BatchState::Running, Arc::default()))
}

fn looks() -> Arc<Looks> {
    Arc::new(Looks::new(Duration::from_secs(1), 1 << 20))
}

fn angle(dialect: &str) -> Angle {
    Angle { detail: Detail::State, dialect: dialect.into(), caller: None }
}

fn ask(looks: &Arc<Looks>, row: &Row) -> Flight {
    match looks.way(&"n".into(), angle("d"), row) {
        Way::Ask(flight, _) => flight,
        Way::Known(_) | Way::Wait(_) => panic!("somebody has asked already"),
    }
}

fn is_known(looks: &Arc<Looks>, row: &Row) -> bool {
    matches!(looks.way(&"n".into(), angle("d"), row), Way::Known(_))
}

fn seen(row: &Row) -> Result<Shown> {
    let keep = Some(Keep { row: row.clone(), for_good: false });
    Ok(Shown { batch: row.clone(), stale_seconds: None, keep })
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_an_action_is_not_shown_after_it() {
    let (looks, row) = (looks(), row());
    let flight = ask(&looks, &row);
    looks.forget(&"n".into());
    flight.land(seen(&row));
    assert!(!is_known(&looks, &row));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_has_changed_is_asked_for_anew() {
    let (looks, row) = (looks(), row());
    ask(&looks, &row).land(seen(&row));
    assert!(is_known(&looks, &row));
    let changed = Arc::new(Batch::clone(&row));
    assert!(matches!(looks.way(&"n".into(), angle("d"), &changed), Way::Ask(..)));
}

#[tokio::test(start_paused = true)]
async fn who_changes_a_row_waits_for_no_look_that_began_before() {
    let (looks, row) = (looks(), row());
    let old = ask(&looks, &row);
    assert!(matches!(looks.way(&"n".into(), angle("d"), &row), Way::Wait(_)));
    let changed = Arc::new(Batch::clone(&row));
    let new = ask(&looks, &changed);
    old.land(seen(&row));
    assert!(matches!(looks.way(&"n".into(), angle("d"), &changed), Way::Wait(_)), "the new one is under way");
    new.land(seen(&changed));
    assert!(is_known(&looks, &changed));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_given_up_keeps_nobody_waiting() {
    let (looks, row) = (looks(), row());
    let Way::Ask(flight, waiting) = looks.way(&"n".into(), angle("d"), &row) else { panic!("nobody has asked") };
    drop(flight);
    assert!(waiting.shown().await.is_err());
    drop(ask(&looks, &row));
    assert_eq!(looks.kept().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn other_dialects_have_views_of_their_own_and_all_of_them_are_counted() {
    let (looks, row) = (looks(), row());
    for number in 0..2 * VIEWS {
        let dialect = format!("d{number}");
        let Way::Ask(flight, _) = looks.way(&"n".into(), angle(&dialect), &row) else { panic!("{dialect}") };
        flight.land(seen(&row));
    }
    assert_eq!(looks.kept().bytes, VIEWS * LOOK_BYTES);
    looks.forget(&"n".into());
    assert_eq!(looks.kept().bytes, 0);
}
