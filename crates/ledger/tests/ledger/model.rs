//! Random histories. Memory is the model of SQLite, and the rule of core is the model of both.

use std::{collections::HashSet, sync::Arc, time::Duration};

use batchlingua_core::{
    Batch, BatchKind, BatchRef, BatchSpec, BatchState, Bound, Claim, Error, ErrorKind, Filter, KeyClaim, Lease,
    ListQuery, Marker, Millis, NativeIdentity, NativeIds, NewIntent, Observation, Order, Phase, Principal, Replay,
    Result, Retention, Revival, RowId, Scope, SortKey, Standing, Times, Uuid, Verdict, Window,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tokio::runtime::Runtime;

use crate::house::{Engine, House, START, called, holder, intent, observation, scope, seen, text};

const ENGINES: [Engine; 3] = [Engine::Memory, Engine::Sqlite, Engine::SqliteUncached];

fn config(cases: u32) -> ProptestConfig {
    // A failure prints its shortest history; there is nothing to keep beside it.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made")
}

fn state() -> impl Strategy<Value = BatchState> {
    select(BatchState::ALL.to_vec())
}

fn revival() -> impl Strategy<Value = Revival> {
    select(vec![Revival::Never, Revival::AfterFailure])
}

/// Row, state, attempt, revival and reason.
type Sight = (usize, BatchState, Option<u32>, Revival, Option<u8>);

/// Name and application of what was seen.
type Looks = (Option<u8>, Option<u8>);

fn looks() -> impl Strategy<Value = Looks> {
    (option::of(0..3u8), option::weighted(0.3, 0..2u8))
}

/// One thing that is done to a ledger; numbers choose among what there is, so that most of it meets something.
#[derive(Clone, Debug)]
enum Deed {
    Intend { key: Option<(u8, u8)>, stored: Option<u8>, name: Option<u8>, unique: bool, who: u8, dialect: u8 },
    MaySend(usize),
    Settle(usize, u8, Option<u8>, Looks),
    Claim(u8, usize),
    Bind { backend: u8, natives: Vec<(u8, bool, Looks)>, state: BatchState },
    Retire(usize),
    MayBeOurs(usize, u8, Looks),
    Observe(Vec<Sight>),
    Cancel(Vec<usize>),
    Hide(Vec<usize>, u8),
    Expire(i64),
    Go(u64),
    Find(u8, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let sight = (0..8usize, state(), option::of(1..4u32), revival(), option::of(0..3u8));
    prop_oneof![
        6 => (option::of((0..3u8, 0..2u8)), option::weighted(0.3, 0..3u8), option::of(0..3u8), any::<bool>(), 0..2u8, 0..2u8)
            .prop_map(|(key, stored, name, unique, who, dialect)| Deed::Intend { key, stored, name, unique, who, dialect }),
        2 => (0..8usize).prop_map(Deed::MaySend),
        6 => (0..8usize, 0..5u8, option::of(0..6u8), looks())
            .prop_map(|(lease, verdict, native, looks)| Deed::Settle(lease, verdict, native, looks)),
        1 => (0..2u8, 0..3usize).prop_map(|(who, limit)| Deed::Claim(who, limit)),
        5 => (0..2u8, vec((0..6u8, any::<bool>(), looks()), 1..4), state())
            .prop_map(|(backend, natives, state)| Deed::Bind { backend, natives, state }),
        1 => (0..8usize).prop_map(Deed::Retire),
        1 => (0..8usize, 0..6u8, looks()).prop_map(|(row, native, looks)| Deed::MayBeOurs(row, native, looks)),
        6 => vec(sight, 1..4).prop_map(Deed::Observe),
        1 => vec(0..8usize, 1..3).prop_map(Deed::Cancel),
        1 => (vec(0..8usize, 1..3), 0..2u8).prop_map(|(rows, dialect)| Deed::Hide(rows, dialect)),
        1 => (-200..10i64).prop_map(Deed::Expire),
        2 => (1..90u64).prop_map(Deed::Go),
        3 => (0..3u8, 0..6u8).prop_map(|(how, which)| Deed::Find(how, which)),
    ]
}

const DIALECTS: [&str; 2] = ["livy", "kyuubi"];

/// What the ids of each backend are worth. All intents go to the first, whose clients hold them.
const NUMBERINGS: [NativeIds; 2] = [NativeIds::Reused { adopt: true }, NativeIds::Unique];

fn sight_of(native: &str, state: BatchState, (name, app): Looks, ids: NativeIds) -> NativeIdentity {
    let mut batch = Batch::new(native.into(), state, Arc::default());
    let name = name.map(|name| format!("name{name}"));
    batch.spec = Arc::new(BatchSpec { name, ..BatchSpec::default() });
    batch.app.id = app.map(|app| format!("app{app}"));
    NativeIdentity { ids, batch: Arc::new(batch), ..seen(native, state) }
}

/// Whatever happened: an id is one row's, and finds it. A submit that did not go through has left its uuid to the retry.
async fn check_ids(life: &Life) -> Result<(), TestCaseError> {
    let rows = life.house.ledger.dump(None, 1000).await.expect("rows are read");
    let mut known = HashSet::new();
    for entry in rows.iter().filter(|entry| entry.phase.is_open() || entry.phase == Phase::Accepted) {
        let id = &entry.batch.id;
        let native = id.native.as_ref().map(|native| format!("{native} of {}", entry.backend));
        for id in [Some(id.uuid.to_string()), Some(id.ordinal.to_string()), native].into_iter().flatten() {
            prop_assert!(known.insert(id.clone()), "{} belongs to two rows: {:?}", id, rows);
        }
        let scope = Scope { backends: Some(vec![entry.backend.clone()]), ..scope("none") };
        let native = id.native.as_ref().map(|native| text(native.as_str()));
        for wanted in [Some(BatchRef::Uuid(id.uuid)), Some(BatchRef::Ordinal(id.ordinal)), native].into_iter().flatten()
        {
            let found = life.house.find_in(wanted.clone(), &scope).await.map(|entry| entry.row);
            prop_assert_eq!(found, Some(entry.row), "by {}", wanted);
        }
    }
    Ok(())
}

/// A ledger and what its history has given out so far.
struct Life {
    house: House,
    leases: Vec<Lease>,
    made: u32,
}

impl Life {
    fn new(engine: Engine) -> Self {
        Self { house: House::new(engine), leases: Vec::new(), made: 0 }
    }

    /// What the ledger answered, as text.
    async fn live(&mut self, deed: &Deed) -> String {
        let house = &self.house;
        let ledger = &house.ledger;
        let rows = |rows: &[usize]| rows.iter().map(|row| RowId(*row as i64 + 1)).collect::<Vec<_>>();
        match deed {
            Deed::Intend { .. } => {
                self.made += 1;
                let intended = ledger.intend(new_intent(deed, self.made)).await;
                if let Ok(batchlingua_core::Intended::Fresh(_, lease)) = &intended {
                    self.leases.push(lease.clone());
                }
                told(intended)
            }
            Deed::MaySend(lease) => match self.leases.get(*lease) {
                Some(lease) => told(ledger.may_send(lease).await),
                None => String::new(),
            },
            Deed::Settle(lease, verdict, native, looks) => match self.leases.get(*lease) {
                Some(lease) => told(ledger.settle(lease, verdict_of(*verdict, *native, *looks, lease)).await),
                None => String::new(),
            },
            Deed::Claim(who, limit) => {
                let claimed = ledger.claim(&holder(["one", "two"][usize::from(*who)]), *limit).await;
                for (entry, lease) in claimed.iter().flatten() {
                    let place = self.leases.iter_mut().find(|lease| lease.row == entry.row);
                    *place.expect("what is claimed was intended") = lease.clone();
                }
                told(claimed)
            }
            Deed::Bind { backend, natives, state } => {
                let sight = |(native, foreign, looks): &(u8, bool, Looks)| NativeIdentity {
                    foreign: *foreign,
                    ..sight_of(&native_id(*native), *state, *looks, NUMBERINGS[usize::from(*backend)])
                };
                let seen: Vec<_> = natives.iter().map(sight).collect();
                let bound: Result<Vec<Bound>> =
                    ledger.bind(&["here", "there"][usize::from(*backend)].into(), &seen).await;
                told(bound)
            }
            Deed::Retire(row) => told(ledger.retire(RowId(*row as i64 + 1)).await),
            Deed::MayBeOurs(row, native, looks) => {
                let seen = sight_of(&native_id(*native), BatchState::Running, *looks, NUMBERINGS[0]);
                told(ledger.may_be_ours(RowId(*row as i64 + 1), &seen).await)
            }
            Deed::Observe(seen) => {
                let sight =
                    |(row, state, attempt, revival, why): &(usize, BatchState, Option<u32>, Revival, Option<u8>)| {
                        Observation {
                            attempt: *attempt,
                            revival: *revival,
                            diagnostic: why.map(|why| format!("why{why}")),
                            times: Times { started: why.map(|why| Millis(why.into())), ..Times::default() },
                            ..observation(RowId(*row as i64 + 1), *state)
                        }
                    };
                told(ledger.observe(&seen.iter().map(sight).collect::<Vec<_>>()).await)
            }
            Deed::Cancel(asked) => told(ledger.ask_cancel(&rows(asked)).await),
            Deed::Hide(hidden, dialect) => {
                told(ledger.hide(&rows(hidden), &DIALECTS[usize::from(*dialect)].into()).await)
            }
            Deed::Expire(before) => {
                let ended_before = Millis(batchlingua_core::Clock::now(&*house.clock).0 + before * 1000);
                told(ledger.expire(&Retention { ended_before, room: None, limit: 2 }).await)
            }
            Deed::Go(seconds) => {
                house.clock.go(Duration::from_secs(*seconds));
                String::new()
            }
            Deed::Find(how, which) => {
                let wanted = match how {
                    0 => text(&native_id(*which)),
                    1 => called(&format!("name{which}")),
                    _ => BatchRef::Ordinal((*which).into()),
                };
                told(ledger.find(&wanted, &scope(DIALECTS[usize::from(*which) % 2])).await)
            }
        }
    }
}

fn told<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.detail(),
    }
}

/// Some are uuids, and of those some are those of our own intents.
fn native_id(which: u8) -> String {
    match which {
        0 => stored_uuid(0).to_string(),
        1 => Uuid::from_u128(7).to_string(),
        which => which.to_string(),
    }
}

fn stored_uuid(which: u8) -> Uuid {
    Uuid::from_u128(0xa000 + u128::from(which))
}

fn new_intent(deed: &Deed, made: u32) -> NewIntent {
    let Deed::Intend { key, stored, name, unique, who, dialect } = deed else { panic!("only intents are intended") };
    let name = name.map(|name| format!("name{name}"));
    let first = |(value, fingerprint): (u8, u8)| KeyClaim {
        value: format!("key{value}"),
        replay: Replay::FirstAnswer,
        fingerprint: [fingerprint; 32],
    };
    let same = |uuid: Uuid| KeyClaim { value: uuid.to_string(), replay: Replay::StoredBatch, fingerprint: [0; 32] };
    let stored = stored.map(stored_uuid);
    NewIntent {
        marker: Marker { uuid: stored.unwrap_or(Uuid::from_u128(made.into())), name: name.clone() },
        dialect: DIALECTS[usize::from(*dialect)].into(),
        principal: Principal::unverified(["ana", "bob"][usize::from(*who)]),
        project: made.is_multiple_of(2).then(|| format!("p{}", made % 3).into()),
        spec: Arc::new(BatchSpec { name, queue: Some(format!("q{}", made % 2)), ..BatchSpec::default() }),
        key: stored.map(same).or(key.map(first)),
        unique_name: unique.then_some(START),
        claim: Claim { holder: holder("one"), lease: Duration::from_secs(60) },
        at_once: made.is_multiple_of(3),
        ..intent()
    }
}

fn verdict_of(verdict: u8, native: Option<u8>, looks: Looks, lease: &Lease) -> Verdict {
    let native = native.map_or_else(|| format!("of row {}", lease.row.0), native_id);
    match verdict {
        0 => Verdict::Refused(Error::new(ErrorKind::BackendRejected, "no")),
        1 => Verdict::Failed("gone".to_owned()),
        2 => Verdict::Ambiguous,
        _ => Verdict::Accepted(Box::new(sight_of(&native, BatchState::Starting, looks, NUMBERINGS[0]))),
    }
}

fn query() -> impl Strategy<Value = (ListQuery, Scope)> {
    let keys = [
        SortKey::Created,
        SortKey::Modified,
        SortKey::Name,
        SortKey::Project,
        SortKey::Queue,
        SortKey::Title,
        SortKey::Id,
        SortKey::Duration,
        SortKey::Lifetime,
    ];
    let filter = (
        option::weighted(0.3, vec(state(), 0..4)),
        option::weighted(0.2, 0..3u8),
        option::weighted(0.2, select(vec!["NAME", "a000", "1", "x"])),
        option::weighted(0.2, 0..2u8),
        option::weighted(0.2, 0..100i64),
        option::weighted(0.2, 0..300i64),
    )
        .prop_map(|(states, name, contains, who, created, ended)| Filter {
            states: states.map(|states| states.into_iter().collect()),
            kinds: contains.map(|_| vec![BatchKind::Jar]),
            owner: who.map(|who| ["ana", "bob"][usize::from(who)].to_owned()),
            name: name.map(|name| format!("name{name}")),
            contains: contains.map(str::to_owned),
            queue: created.map(|_| "Q1".to_owned()),
            extension: None,
            id: name.filter(|_| ended.is_some()).map(|name| format!("native{name}")),
            user: who.filter(|_| name.is_none()).map(|who| ["ana", "eva"][usize::from(who)].to_owned()),
            program: ended.filter(|seconds| seconds % 2 == 0).map(|_| "a.jar".to_owned()),
            created_before: ended.filter(|seconds| seconds % 3 == 0).map(|seconds| Millis(START.0 + seconds * 1000)),
            modified_from: ended.filter(|seconds| seconds % 5 == 0).map(|seconds| Millis(START.0 + seconds * 500)),
            created_from: created.map(|seconds| Millis(START.0 + seconds * 1000)),
            ended_to: ended.map(|seconds| Millis(START.0 + seconds * 1000)),
        });
    let scope = (
        select(DIALECTS.to_vec()),
        option::weighted(0.3, vec(select(vec!["here", "there"]), 0..2)),
        option::weighted(0.4, vec(select(vec!["p0", "p1", "p2"]), 0..3)),
        any::<bool>(),
        option::weighted(0.4, 0..300i64),
    )
        .prop_map(|(dialect, backends, projects, unscoped, ended)| Scope {
            dialect: dialect.into(),
            backends: backends.map(|names| names.into_iter().map(Into::into).collect()),
            projects: projects.map(|names| names.into_iter().map(Into::into).collect()),
            unscoped,
            ended_from: ended.map(|seconds| Millis(START.0 + seconds * 1000)),
        });
    (filter, select(keys.to_vec()), any::<bool>(), 0..4u64, 0..6u64, scope).prop_map(
        |(filter, key, descending, from, size, scope)| {
            let (order, window) = (Order { key, descending }, Window { from, size });
            (ListQuery { filter, order, window, tails: false }, scope)
        },
    )
}

/// How many lists are asked for after each deed.
const POLLERS: usize = 4;

/// What such a client asks for now: what its lists leave out by its age moves with the clock.
fn asked_now(house: &House, (query, scope): &(ListQuery, Scope)) -> (ListQuery, Scope) {
    let gone = batchlingua_core::Clock::now(&*house.clock).0 - START.0;
    let moved = |floor: Option<Millis>| floor.map(|floor| Millis(floor.0 + gone - 150_000));
    let Filter { created_from, modified_from, .. } = query.filter;
    let filter =
        Filter { created_from: moved(created_from), modified_from: moved(modified_from), ..query.filter.clone() };
    (ListQuery { filter, ..query.clone() }, Scope { ended_from: moved(scope.ended_from), ..scope.clone() })
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn all_engines_tell_the_same_of_any_history(deeds in vec(deed(), 1..50), queries in vec(query(), 1..10)) {
        runtime().block_on(async {
            let mut lives = ENGINES.map(Life::new);
            for deed in &deeds {
                let [memory, files, uncached] = &mut lives;
                let model = memory.live(deed).await;
                prop_assert_eq!(&model, &files.live(deed).await, "{:?}", deed);
                prop_assert_eq!(&model, &uncached.live(deed).await, "{:?}, uncached", deed);
                // Clients that list again and again, whatever happens.
                for asked in queries.iter().take(POLLERS) {
                    let (query, scope) = asked_now(&memory.house, asked);
                    let model = told(memory.house.ledger.page(&query, &scope).await);
                    let kept = told(files.house.ledger.page(&query, &scope).await);
                    prop_assert_eq!(&model, &kept, "{:?} {:?} after {:?}", query, scope, deed);
                    prop_assert_eq!(&model, &told(uncached.house.ledger.page(&query, &scope).await));
                }
            }
            for life in &lives {
                check_ids(life).await?;
            }
            for (query, scope) in &queries {
                let [memory, files, uncached] = &lives;
                let model = told(memory.house.ledger.page(query, scope).await);
                prop_assert_eq!(&model, &told(files.house.ledger.page(query, scope).await), "{:?} {:?}", query, scope);
                prop_assert_eq!(&model, &told(uncached.house.ledger.page(query, scope).await));
            }
            let [memory, files, _] = lives;
            let model = told(memory.house.ledger.dump(None, 1000).await);
            prop_assert_eq!(&model, &told(files.house.ledger.dump(None, 1000).await));
            let after = files.house.restart(|_| {});
            prop_assert_eq!(&model, &told(after.ledger.dump(None, 1000).await));
            Ok(())
        })?;
    }

    #[test]
    fn a_batch_stands_where_the_order_of_states_puts_it(
        seen in vec((state(), option::of(1..5u32), revival()), 1..40)
    ) {
        runtime().block_on(async {
            for engine in ENGINES {
                let house = House::new(engine);
                let entry = house.accepted(intent(), "j").await;
                let mut model = Standing::NEW;
                for (state, attempt, revival) in &seen {
                    let told = Observation { attempt: *attempt, revival: *revival, ..observation(entry.row, *state) };
                    house.clock.go(Duration::from_secs(1));
                    let answered = house.observe(told.clone()).await;
                    let next = model.advance(*state, *attempt, *revival);
                    let left_unknown = model.state == BatchState::Unknown;
                    prop_assert!(
                        left_unknown || (next.attempt, next.state.rank()) >= (model.attempt, model.state.rank()),
                        "{:?} after {:?}", next, model
                    );
                    model = next;
                    let found = house.find(text("j")).await.expect("it is there");
                    for shown in [&answered, &found] {
                        let standing = Standing { attempt: shown.batch.attempt, state: shown.batch.state };
                        prop_assert_eq!(standing, model);
                        prop_assert_eq!(shown.batch.times.ended.is_some(), model.state.is_end());
                    }
                    let modified = answered.batch.times.modified;
                    house.clock.go(Duration::from_secs(1));
                    let again = house.observe(Observation { revival: Revival::Never, ..told }).await;
                    let moved = model.advance(*state, *attempt, Revival::Never) != model;
                    model = model.advance(*state, *attempt, Revival::Never);
                    prop_assert_eq!(again.batch.times.modified == modified, !moved, "only what is new is written");
                }
            }
            Ok(())
        })?;
    }
}

proptest! {
    // Each case costs a database several seconds of a slow machine.
    #![proptest_config(config(12))]

    #[test]
    fn a_postgres_database_tells_the_same_as_memory(deeds in vec(deed(), 1..40), queries in vec(query(), 1..10)) {
        runtime().block_on(async {
            let shared = House::with(Engine::Memory, |options| options.shared = true);
            let mut memory = Life { house: shared, leases: Vec::new(), made: 0 };
            let mut lives = [Engine::Postgres, Engine::PostgresUncached].map(Life::new);
            for deed in &deeds {
                let model = memory.live(deed).await;
                for life in &mut lives {
                    prop_assert_eq!(&model, &life.live(deed).await, "{:?}", deed);
                }
            }
            for life in &lives {
                check_ids(life).await?;
                for (query, scope) in &queries {
                    let model = told(memory.house.ledger.page(query, scope).await);
                    prop_assert_eq!(&model, &told(life.house.ledger.page(query, scope).await), "{:?} {:?}", query, scope);
                }
                let model = told(memory.house.ledger.dump(None, 1000).await);
                prop_assert_eq!(&model, &told(life.house.ledger.dump(None, 1000).await));
            }
            Ok(())
        })?;
    }
}
