//! Lists of several replicas while all of them write: random histories, after each part of which every replica shows what stands in the database.
//! None of them looks there again for what it keeps, so a change that is heard wrongly, or not at all, stays seen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use batchlingua_core::{
    BatchState, Clock, Filter, Intended, Ledger, ListQuery, Millis, Order, Retention, RowId, Scope, SortKey, Window,
};
use batchlingua_ledger::Options;
use futures_util::future::join_all;
use proptest::{collection::vec, prelude::*};

use crate::{
    house::{Engine, House, START, accepted, named, observation, scope, seen},
    postgres::soon,
};

const REPLICAS: usize = 2;

/// One thing that one replica does; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Deed {
    /// A submit that goes through.
    Submit {
        name: u8,
    },
    /// Batches that were seen on the backend.
    Bind {
        natives: Vec<u8>,
        state: BatchState,
    },
    Observe {
        rows: Vec<usize>,
        state: BatchState,
    },
    Hide(usize),
    Expire {
        before: i64,
    },
    Ask(usize),
}

fn state() -> impl Strategy<Value = BatchState> {
    prop_oneof![
        2 => Just(BatchState::Queued),
        3 => Just(BatchState::Running),
        2 => Just(BatchState::Succeeded),
        1 => Just(BatchState::Failed),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..3u8).prop_map(|name| Deed::Submit { name }),
        3 => (vec(any::<u8>(), 1..4), state()).prop_map(|(natives, state)| Deed::Bind { natives, state }),
        6 => (vec(any::<usize>(), 1..4), state()).prop_map(|(rows, state)| Deed::Observe { rows, state }),
        1 => any::<usize>().prop_map(Deed::Hide),
        1 => (0..20_i64).prop_map(|before| Deed::Expire { before }),
        4 => any::<usize>().prop_map(Deed::Ask),
    ]
}

/// Deeds that are done all at once, each by the replica of that number.
type Part = Vec<(usize, Deed)>;

fn parts() -> impl Strategy<Value = Vec<Part>> {
    vec(vec((0..REPLICAS, deed()), 1..12), 1..8)
}

fn questions(now: Millis) -> Vec<(ListQuery, Scope)> {
    let order = |key, descending| Order { key, descending };
    let orders = [
        order(SortKey::Created, false),
        order(SortKey::Created, true),
        order(SortKey::Modified, true),
        order(SortKey::Name, false),
    ];
    let windows = [(0, 3), (2, 3), (140, 3)].map(|(from, size)| Window { from, size });
    let names = [None, Some("n1")].map(|name| Filter { name: name.map(Into::into), ..Filter::default() });
    let recent = Scope { ended_from: Some(now.minus(Duration::from_millis(5))), ..scope("kyuubi") };
    let mut all = Vec::new();
    for order in orders {
        for window in windows {
            for filter in &names {
                for scope in [scope("livy"), recent.clone()] {
                    all.push((ListQuery { filter: filter.clone(), order, window, ..ListQuery::default() }, scope));
                }
            }
        }
    }
    all
}

/// What is seen of a list: which rows in which state, and how many there are in all.
type Shown = (Vec<(RowId, BatchState, Millis)>, Option<u64>);

async fn shown(ledger: &dyn Ledger, (query, scope): &(ListQuery, Scope)) -> Shown {
    let page = ledger.page(query, scope).await.expect("lists are read");
    let row = |entry: &batchlingua_core::Entry| (entry.row, entry.batch.state, entry.batch.times.modified);
    (page.rows.iter().map(row).collect(), page.total)
}

struct Play {
    house: House,
    replicas: Vec<Arc<dyn Ledger>>,
    rows: Vec<RowId>,
    submits: AtomicUsize,
}

impl Play {
    /// With so many batches that were there before.
    async fn new(before: usize, set: impl Fn(&mut Options)) -> Self {
        let house = House::with(Engine::Postgres, &set);
        let replicas: Vec<_> = (0..REPLICAS).map(|_| house.replica(|_| {})).collect();
        let seen: Vec<_> = (0..before).map(|n| seen(&format!("before-{n}"), BatchState::Running)).collect();
        let bound = house.ledger.bind(&"there".into(), &seen).await.expect("the ledger binds");
        assert_eq!(bound.len(), before);
        let rows =
            house.ledger.dump(None, before).await.expect("rows are read").iter().map(|entry| entry.row).collect();
        Self { house, replicas, rows, submits: AtomicUsize::new(0) }
    }

    /// The row that came of it, if one is to have more done to it.
    async fn act(&self, at: usize, deed: Deed) -> Option<RowId> {
        let ledger = &self.replicas[at];
        let row = |rows: &[RowId], n: usize| (!rows.is_empty()).then(|| rows[n % rows.len()]);
        match deed {
            Deed::Submit { name } => {
                let new = ledger.intend(named(&format!("n{name}"))).await.expect("the ledger takes intents");
                let Intended::Fresh(entry, lease) = new else { panic!("it is fresh") };
                let native = format!("submitted-{}", self.submits.fetch_add(1, Ordering::Relaxed));
                ledger.settle(&lease, accepted(&native, BatchState::Queued)).await.expect("the verdict is taken");
                return Some(entry.row);
            }
            Deed::Bind { natives, state } => {
                let seen: Vec<_> = natives.iter().map(|native| seen(&format!("seen-{native}"), state)).collect();
                ledger.bind(&"there".into(), &seen).await.expect("the ledger binds");
            }
            Deed::Observe { rows, state } => {
                let rows = rows.into_iter().filter_map(|n| row(&self.rows, n));
                let seen: Vec<_> = rows.map(|row| observation(row, state)).collect();
                ledger.observe(&seen).await.expect("the ledger observes");
            }
            Deed::Hide(n) => {
                let rows: Vec<_> = row(&self.rows, n).into_iter().collect();
                ledger.hide(&rows, &"livy".into()).await.expect("rows can be hidden");
            }
            Deed::Expire { before } => {
                let ended_before = START.plus(Duration::from_millis(before.unsigned_abs()));
                let keep = Retention { ended_before, room: None, limit: 2 };
                ledger.expire(&keep).await.expect("old rows leave");
            }
            Deed::Ask(n) => {
                let questions = questions(self.house.clock.now());
                shown(&**ledger, &questions[n % questions.len()]).await;
            }
        }
        None
    }

    /// Each replica, sooner or later, shows what one shows that has just begun.
    async fn agree(&self) {
        let fresh = self.house.replica(|_| {});
        for question in questions(self.house.clock.now()) {
            let stands = shown(&*fresh, &question).await;
            for (at, ledger) in self.replicas.iter().enumerate() {
                let same = async || (shown(&**ledger, &question).await == stands).then_some(());
                soon(&format!("replica {at} shows {stands:?} for {question:?}"), same).await;
            }
        }
    }
}

fn play(parts: Vec<Part>, before: usize, set: impl Fn(&mut Options)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut play = Play::new(before, set).await;
        play.agree().await;
        for part in parts {
            play.house.clock.go(Duration::from_millis(1));
            let made = join_all(part.into_iter().map(|(at, deed)| play.act(at, deed))).await;
            play.rows.extend(made.into_iter().flatten());
            play.agree().await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// Lists whose rows are known.
    #[test]
    fn replicas_agree_on_their_lists(parts in parts()) {
        play(parts, 3, |_| {});
    }

    /// Lists that are too long for that: only how many they have is known, and their numbers.
    #[test]
    fn replicas_agree_on_long_lists(parts in parts()) {
        play(parts, 250, |options| options.list_rows = 12);
    }
}
