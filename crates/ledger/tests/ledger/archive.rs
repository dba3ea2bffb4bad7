//! What an operator does to a ledger, on both durable engines and from one to the other.

use batchlingua_core::{
    BatchRef, BatchState, ByHand, KeptLog, Millis, Observation, Phase, Retention, Room, RowId, Times, Verdict,
};
use batchlingua_ledger::{Archive, LedgerError, Options};

use crate::house::{Engine, House, START, intent, keyed, named, observation, scope, seen, text, with_spec};

const DURABLE: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// Everything that there is to be carried: kinds of ids, a log, a key, a hidden row, one that gave its id up, an open submit, a lost integer.
async fn lived(engine: Engine) -> House {
    let house = House::new(engine);
    let entry = house.accepted(named("n"), "17").await;
    let log = KeptLog { from: 3, total: 5, lines: vec!["x".into(), "y\0".into()] };
    house.observe(Observation { log: Some(log), ..observation(entry.row, BatchState::Failed) }).await;
    house.ledger.hide(&[entry.row], &"kylin".into()).await.expect("rows can be hidden");
    house.ledger.retire(entry.row).await.expect("it gives its id up");
    house
        .bind("there", seen("6f1d8e0c-1b9e-4b55-8c62-0242ac130003", BatchState::Running))
        .await
        .expect("a row is made");
    let (_, lease) = house.intend(keyed("k", 1)).await;
    house.settle(&lease, Verdict::Failed("password=hunter2".into())).await;
    let (_, lease) = house.intend(with_spec(|spec| spec.conf.set("spark.some.password", "hunter2"))).await;
    house.settle(&lease, Verdict::Ambiguous).await;
    house
}

/// The commands are no tasks.
fn as_a_command<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).expect("the work is done")
}

fn exported(house: &House) -> (u64, String) {
    let url = house.url();
    let export = || {
        let mut archive = Archive::look(&url, &Options::default()).expect("it can be looked at beside the proxy");
        let mut out = Vec::new();
        let count = archive.export(&mut out).expect("it is exported");
        (count, String::from_utf8(out).expect("JSON is text"))
    };
    as_a_command(export)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_the_same_after_it_has_moved() {
    for (from, to) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        // As its proxy left it: one that runs has written some integers as given that nobody got yet.
        let house = lived(DURABLE[from]).await.closed(|_| ());
        let before = house.ledger.dump(None, 9).await.expect("rows are read");
        let (count, lines) = exported(&house);
        assert_eq!((count, lines.lines().count()), (4, 5));
        assert!(!lines.contains("hunter2"), "{lines}");
        let there = House::new(DURABLE[to]);
        let there = there.closed(|url| {
            let mut archive = Archive::take(url, &Options::default()).expect("nobody else has it");
            assert_eq!(archive.import(&mut lines.as_bytes()).expect("it is taken up"), 4);
            let again = archive.import(&mut lines.as_bytes()).expect_err("it has rows by now").to_string();
            assert!(again.contains("empty"), "{again}");
        });
        assert_eq!(exported(&there).1, lines, "{:?} to {:?}", DURABLE[from], DURABLE[to]);
        assert_eq!(format!("{before:?}"), format!("{:?}", there.ledger.dump(None, 9).await.expect("rows are read")));
        for entry in &before[..2] {
            for wanted in [BatchRef::Uuid(entry.batch.id.uuid), BatchRef::Ordinal(entry.batch.id.ordinal)] {
                assert_eq!(there.find(wanted.clone()).await.map(|found| found.row), Some(entry.row), "{wanted}");
            }
        }
        assert!(there.find_in(text("17~1"), &scope("kylin")).await.is_none());
        assert_eq!(there.ledger.kept_log(RowId(1)).await.expect("logs are read").map(|log| log.lines.len()), Some(2));
        let (next, _) = there.intend(intent()).await;
        assert_eq!((next.row, next.batch.id.ordinal), (RowId(5), 5), "it counts on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_export_leaves_nothing() {
    for engine in DURABLE {
        let house = lived(Engine::Sqlite).await;
        let (_, lines) = exported(&house);
        let cut = &lines[..lines.len() - 20];
        let twice = format!("{lines}{}\n", lines.lines().last().expect("there are lines"));
        for (what, why) in [("", "line 1"), ("{}\n", "no export"), (cut, "line 5"), (twice.as_str(), "line 6")] {
            House::new(engine).closed(|url| {
                let mut archive = Archive::take(url, &Options::default()).expect("nobody else has it");
                let refused = archive.import(&mut what.as_bytes()).expect_err("it is refused").to_string();
                assert!(refused.contains(why), "{engine:?}: {refused}");
                let mut rows = 0;
                archive
                    .each(|_| {
                        rows += 1;
                        true
                    })
                    .expect("it can be read");
                assert_eq!(rows, 0, "{engine:?}: {why}");
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_settles_what_no_machine_can_and_nothing_else() {
    for engine in DURABLE {
        for (settled, phase) in [(ByHand::Accepted("99".into()), Phase::Accepted), (ByHand::Failed, Phase::Failed)] {
            let house = lived(engine).await.closed(|url| {
                let mut archive = Archive::take(url, &Options::default()).expect("nobody else has it");
                let rows: Vec<RowId> =
                    archive.open_intents().expect("it is read").iter().map(|entry| entry.row).collect();
                assert_eq!(rows, [RowId(4)], "what went through or failed is not among them");
                let open = archive.find("4").expect("it is read").expect("it is there");
                assert_eq!(archive.settle(open.row, &settled).expect("it is open").phase, phase);
                assert!(archive.open_intents().expect("it is read").is_empty());
                let known = archive.find("99").expect("it is read").map(|entry| entry.row);
                assert_eq!(known, (phase == Phase::Accepted).then_some(RowId(4)), "by its backend's own id");
                let again = archive.settle(open.row, &settled).expect_err("it is settled").to_string();
                assert!(again.contains(phase.as_str()), "{again}");
                let ended = archive.settle(RowId(1), &ByHand::Failed).expect_err("it was accepted").to_string();
                assert!(ended.contains("accepted"), "{ended}");
                assert!(matches!(archive.settle(RowId(77), &settled), Err(LedgerError::NoRow(_))));
            });
            let found = house.find(text("99")).await.map(|entry| (entry.row, entry.batch.state));
            assert_eq!(found, (phase == Phase::Accepted).then_some((RowId(4), BatchState::Queued)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_drops_what_has_ended_and_keeps_the_rest() {
    for engine in DURABLE {
        lived(engine).await.closed(|url| {
            let mut archive = Archive::take(url, &Options::default()).expect("nobody else has it");
            let mut compact = |ended_before, room| {
                archive.compact(&Retention { ended_before, room, limit: 1 }).expect("rows can be dropped")
            };
            assert_eq!(compact(START, None), 0, "nothing is so old");
            assert_eq!(compact(Millis(START.0 + 1), None), 2, "two have ended");
            assert!(
                archive.find("2").expect("it is read").is_some() && archive.find("1").expect("it is read").is_none()
            );
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_makes_room_and_lets_the_first_ends_go() {
    for engine in DURABLE {
        let house = House::new(engine);
        for n in 0..5 {
            let entry = house.accepted(named(&format!("n{n}")), &format!("job-{n}")).await;
            let (state, ended) =
                if n == 2 { (BatchState::Running, None) } else { (BatchState::Failed, Some(Millis(START.0 + n))) };
            let times = Times { ended, ..Times::default() };
            house.observe(Observation { times, ..observation(entry.row, state) }).await;
        }
        house.closed(|url| {
            let mut archive = Archive::take(url, &Options::default()).expect("nobody else has it");
            let mut compact = |rows, ended_before| {
                let room = Some(Room { rows, ended_before: Millis(START.0 + ended_before) });
                archive.compact(&Retention { ended_before: START, room, limit: 2 }).expect("rows can be dropped")
            };
            assert_eq!(compact(5, 9), 0, "there is room");
            assert_eq!(compact(0, 0), 0, "none has been there for long enough");
            assert_eq!(compact(4, 9), 1);
            assert_eq!(compact(0, 4), 2, "the last end is too new, and one has not ended");
            for (id, is_there) in
                [("job-0", false), ("job-1", false), ("job-2", true), ("job-3", false), ("job-4", true)]
            {
                assert_eq!(archive.find(id).expect("it is read").is_some(), is_there, "{engine:?}: {id}");
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_proxy_keeps_its_file_to_itself_and_shares_its_database() {
    let house = lived(Engine::Sqlite).await;
    let refused = Archive::take(&house.url(), &Options::default()).err().expect("it is in use").to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    assert_eq!(exported(&house).0, 4);
    let house = lived(Engine::Postgres).await;
    as_a_command(|| {
        let mut archive = Archive::take(&house.url(), &Options::default()).expect("it takes its place in the row");
        archive.settle(RowId(4), &ByHand::Failed).expect("it is open");
    });
    let claimed = house.ledger.claim(&crate::house::holder("x"), 9).await.expect("claims are answered");
    assert!(claimed.is_empty(), "nobody looks for it any more");
}
