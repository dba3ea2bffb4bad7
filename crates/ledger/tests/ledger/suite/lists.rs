//! Who sees what, and in which order.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    BatchKind, BatchRef, BatchSpec, BatchState, Extension, ExtensionFilter, Filter, ListQuery, NewIntent, Observation,
    Order, Principal, RowId, Scope, SortKey, Times, Window,
};

use crate::house::{House, START, called, intent, named, observation, scope, text, with_spec};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn a_scope_shows_its_backends_and_projects(house: House) {
    let of = |project: Option<&str>| NewIntent { project: project.map(Into::into), ..intent() };
    let p = house.accepted(of(Some("p")), "a").await.row;
    let q = house.accepted(of(Some("q")), "b").await.row;
    let none = house.accepted(of(None), "c").await.row;
    let there = house.accepted(NewIntent { backend: "there".into(), ..of(Some("p")) }, "d").await.row;
    let natives = [(p, "a"), (q, "b"), (none, "c"), (there, "d")];
    let all = scope("kylin");
    let within = |names: &[&str]| Some(names.iter().map(|name| (*name).into()).collect());
    for (scope, shown) in [
        (all.clone(), vec![p, q, none, there]),
        (Scope { projects: within(&["p"]), ..all.clone() }, vec![p, none, there]),
        (Scope { projects: within(&["p"]), unscoped: false, ..all.clone() }, vec![p, there]),
        (Scope { projects: within(&["p", "q"]), unscoped: false, ..all.clone() }, vec![p, q, there]),
        (Scope { projects: Some(vec![]), ..all.clone() }, vec![none]),
        (Scope { projects: Some(vec![]), unscoped: false, ..all.clone() }, vec![]),
        (Scope { unscoped: false, ..all.clone() }, vec![p, q, none, there]),
        (Scope { backends: Some(vec!["there".into()]), ..all.clone() }, vec![there]),
        (Scope { backends: Some(vec!["there".into(), "here".into()]), ..all.clone() }, vec![p, q, none, there]),
        (Scope { backends: Some(vec![]), ..all.clone() }, vec![]),
    ] {
        assert_eq!(house.listed_in(Filter::default(), &scope).await, shown, "{scope:?}");
        for (row, native) in natives {
            let found = house.find_in(text(native), &scope).await.map(|entry| entry.row);
            assert_eq!(found, shown.contains(&row).then_some(row), "{scope:?} {native}");
        }
    }
}

pub(crate) async fn a_hidden_batch_is_there_for_other_dialects(house: House) {
    let entry = house.accepted(named("n"), "a").await;
    let other = house.accepted(intent(), "b").await;
    house.ledger.hide(&[entry.row], &"livy".into()).await.expect("rows can be hidden");
    house.ledger.hide(&[entry.row], &"livy".into()).await.expect("rows can be hidden twice");
    let (livy, kylin) = (scope("livy"), scope("kylin"));
    for wanted in [BatchRef::Uuid(entry.batch.id.uuid), BatchRef::Ordinal(1), text("a"), called("n")] {
        assert!(house.find_in(wanted.clone(), &livy).await.is_none(), "{wanted}");
        assert!(house.find_in(wanted.clone(), &kylin).await.is_some(), "{wanted}");
        for part in ["liv", "ivy"] {
            assert!(house.find_in(wanted.clone(), &scope(part)).await.is_some(), "a part of the name is another name");
        }
    }
    assert_eq!(house.listed_in(Filter::default(), &livy).await, [other.row]);
    for dialect in ["kylin", "liv", "ivy"] {
        assert_eq!(house.listed_in(Filter::default(), &scope(dialect)).await, [entry.row, other.row]);
    }
    house.ledger.hide(&[entry.row], &"kylin".into()).await.expect("rows can be hidden");
    assert!(house.find_in(text("a"), &livy).await.is_none() && house.find_in(text("a"), &kylin).await.is_none());
    assert_eq!(house.listed_in(Filter::default(), &kylin).await, [other.row]);
}

pub(crate) async fn ended_batches_leave_lists_but_are_found_by_id(house: House) {
    let live = house.accepted(intent(), "a").await.row;
    let ended = house.accepted(intent(), "b").await.row;
    house.observe(observation(ended, BatchState::Succeeded)).await;
    let from = |ended_from| Scope { ended_from: Some(ended_from), ..scope("livy") };
    let (then, later) = (from(START), from(START.plus(Duration::from_millis(1))));
    assert_eq!(house.listed_in(Filter::default(), &then).await, [live, ended]);
    assert_eq!(house.listed_in(Filter::default(), &later).await, [live]);
    assert_eq!(house.page(&ListQuery::default(), &later).await.total, Some(1));
    assert!(house.find_in(text("b"), &later).await.is_some());
}

/// A total that was counted holds until the first batch is too old, and no longer.
pub(crate) async fn a_total_falls_when_the_first_batch_is_too_old(house: House) {
    for native in ["a", "b", "c"] {
        let row = house.accepted(intent(), native).await.row;
        house.clock.go(MINUTE);
        house.observe(observation(row, BatchState::Succeeded)).await;
    }
    let one = ListQuery { window: Window { from: 0, size: 1 }, ..ListQuery::default() };
    let mut totals = Vec::new();
    for minutes in 0..=4 {
        let after = Scope { ended_from: Some(START.plus(MINUTE * minutes)), ..scope("livy") };
        totals.push(house.page(&one, &after).await.total);
    }
    assert_eq!(totals, [3, 3, 2, 1, 0].map(Some));
}

pub(crate) async fn each_filter_means_what_it_says(house: House) {
    let spec = BatchSpec { queue: Some("q".into()), kind: BatchKind::Sql, ..BatchSpec::default() };
    let first = house.accepted(named("Daily_Report"), "Job-A").await;
    house.clock.go(MINUTE);
    let second = house.accepted(NewIntent { spec: Arc::new(spec), ..intent() }, "job-b").await;
    let third = house.accepted(NewIntent { principal: Principal::unverified("bob"), ..intent() }, "job-c").await;
    house.observe(observation(first.row, BatchState::Running)).await;
    house.clock.go(MINUTE);
    house.observe(observation(third.row, BatchState::Failed)).await;
    let (a, b, c) = (first.row, second.row, third.row);
    let own = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let states = |states: &[BatchState]| Some(states.iter().copied().collect());
    let uuid_part = first.batch.id.uuid.to_string().to_ascii_uppercase();
    for (filter, shown) in [
        (none(), vec![a, b, c]),
        (Filter { states: states(&[BatchState::Running, BatchState::Failed]), ..none() }, vec![a, c]),
        (Filter { states: states(&[]), ..none() }, vec![]),
        (Filter { kinds: Some(vec![BatchKind::Sql]), ..none() }, vec![b]),
        (Filter { owner: own("ana"), ..none() }, vec![a, b]),
        (Filter { owner: own("an"), ..none() }, vec![]),
        (Filter { name: own("Daily_Report"), ..none() }, vec![a]),
        (Filter { name: own("daily_report"), ..none() }, vec![]),
        (Filter { contains: own("daily_r"), ..none() }, vec![a]),
        (Filter { contains: own("dailyXr"), ..none() }, vec![]),
        (Filter { contains: own("JOB-"), ..none() }, vec![a, b, c]),
        (Filter { contains: own("%"), ..none() }, vec![]),
        (Filter { contains: own(&uuid_part), ..none() }, vec![a]),
        (Filter { queue: own("q"), ..none() }, vec![b]),
        (Filter { created_from: Some(START.plus(MINUTE)), ..none() }, vec![b, c]),
        (Filter { ended_to: Some(START.plus(2 * MINUTE)), ..none() }, vec![c]),
        (Filter { ended_to: Some(START.plus(MINUTE)), ..none() }, vec![]),
    ] {
        assert_eq!(house.listed(filter.clone()).await, shown, "{filter:?}");
    }
}

pub(crate) async fn fields_of_one_dialect_are_asked_for(house: House) {
    let extension = |dialect: &str, name: &str, value: &str| Extension {
        dialect: dialect.into(),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let of = |extensions| NewIntent { spec: Arc::new(BatchSpec { extensions, ..BatchSpec::default() }), ..intent() };
    let built = house.accepted(of(vec![extension("kylin", "job_name", "\"BUILD\"")]), "a").await.row;
    house.clock.go(MINUTE);
    let others = vec![extension("dli", "job_name", "\"BUILD\""), extension("kylin", "tag", "\"BUILD\"")];
    let other = house.accepted(of(others), "b").await.row;
    house.clock.go(MINUTE);
    let merged = house.accepted(of(vec![extension("kylin", "job_name", "\"MERGE\"")]), "c").await.row;
    for (values, or_none, shown) in [
        (vec!["\"BUILD\""], false, vec![built]),
        (vec!["\"BUILD\"", "\"MERGE\""], false, vec![built, merged]),
        (vec!["\"build\""], false, vec![]),
        (vec!["\"MERGE\""], true, vec![other, merged]),
        (vec![], true, vec![other]),
        (vec![], false, vec![]),
    ] {
        let values = values.into_iter().map(str::to_owned).collect();
        let wanted = ExtensionFilter { dialect: "kylin".into(), name: "job_name".into(), values, or_none };
        let filter = Filter { extension: Some(wanted), ..Filter::default() };
        assert_eq!(house.listed(filter.clone()).await, shown, "{filter:?}");
    }
}

pub(crate) async fn programs_titles_users_and_ids_are_asked_for(house: House) {
    let of = |set: fn(&mut BatchSpec)| with_spec(set);
    let class = house
        .accepted(
            of(|spec| {
                spec.class_name = Some("org.example.Etl".into());
                spec.file = Some("hdfs:///apps/etl.jar".into());
                spec.queue = Some("Nightly".into());
            }),
            "job-a",
        )
        .await;
    house.clock.go(MINUTE);
    let file = house
        .accepted(
            of(|spec| {
                spec.file = Some("/srv/jobs/Rollup.py".into());
                spec.kind = BatchKind::Python;
                spec.run_as = Some("etl".into());
            }),
            "job-b",
        )
        .await;
    house.clock.go(MINUTE);
    house.observe(observation(class.row, BatchState::Running)).await;
    let (a, b) = (class.row, file.row);
    let own = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let upper = class.batch.id.uuid.to_string().to_ascii_uppercase();
    for (filter, shown) in [
        (Filter { program: own("org.example.Etl"), ..none() }, vec![a]),
        (Filter { program: own("/srv/jobs/Rollup.py"), ..none() }, vec![b]),
        (Filter { program: own("/srv/jobs/rollup.py"), ..none() }, vec![]),
        (Filter { program: own("hdfs:///apps/etl.jar"), ..none() }, vec![]),
        (Filter { contains: own("example.etl"), ..none() }, vec![a]),
        (Filter { contains: own("rollup"), ..none() }, vec![b]),
        (Filter { contains: own("srv"), ..none() }, vec![]),
        (Filter { user: own("etl"), ..none() }, vec![b]),
        (Filter { user: own("ana"), ..none() }, vec![a]),
        (Filter { owner: own("ana"), ..none() }, vec![a, b]),
        (Filter { id: own(&upper), ..none() }, vec![a]),
        (Filter { id: own("job-b"), ..none() }, vec![b]),
        (Filter { id: own("job-"), ..none() }, vec![]),
        (Filter { queue: own("NIGHTLY"), ..none() }, vec![a]),
        (Filter { queue: own("nightly_"), ..none() }, vec![]),
        (Filter { kinds: Some(vec![BatchKind::Python, BatchKind::Sql]), ..none() }, vec![b]),
        (Filter { kinds: Some(vec![]), ..none() }, vec![]),
        (Filter { created_before: Some(START.plus(MINUTE)), ..none() }, vec![a]),
        (Filter { created_before: Some(START), ..none() }, vec![]),
        (Filter { modified_from: Some(START.plus(MINUTE)), ..none() }, vec![a, b]),
        (Filter { modified_from: Some(START.plus(2 * MINUTE)), ..none() }, vec![a]),
    ] {
        assert_eq!(house.listed(filter.clone()).await, shown, "{filter:?}");
    }
}

pub(crate) async fn all_conditions_must_hold(house: House) {
    let in_queue = |queue: &str, name: &str| {
        with_spec(|spec| (spec.queue, spec.name) = (Some(queue.to_owned()), Some(name.to_owned())))
    };
    house.accepted(in_queue("q", "n"), "a").await;
    let both = house.accepted(in_queue("q", "m"), "b").await;
    house.accepted(in_queue("r", "m"), "c").await;
    let filter =
        Filter { queue: Some("q".into()), name: Some("m".into()), owner: Some("ana".into()), ..Filter::default() };
    let scope = Scope {
        backends: Some(vec!["here".into()]),
        projects: Some(vec!["p".into()]),
        ended_from: Some(START),
        ..scope("livy")
    };
    assert_eq!(house.listed_in(filter, &scope).await, [both.row]);
}

pub(crate) async fn each_order_sorts_as_told(house: House) {
    let made = |name: Option<&str>, queue: Option<&str>, project: Option<&str>| NewIntent {
        project: project.map(Into::into),
        ..with_spec(|spec| {
            spec.name = name.map(str::to_owned);
            spec.queue = queue.map(str::to_owned);
        })
    };
    let a = house.accepted(made(Some("n"), Some("q"), None), "a").await.row;
    let b = house.accepted(made(None, Some("r"), Some("p")), "b").await.row;
    house.clock.go(MINUTE);
    let c = house.accepted(made(Some("m"), None, Some("o")), "c").await.row;
    let d = house.accepted(made(Some("n"), Some("q"), Some("p")), "d").await.row;
    let ran = async |row, started: u64, ended: Option<u64>| {
        let at = |minutes: u64| START.plus(MINUTE * u32::try_from(minutes).expect("a few"));
        let state = if ended.is_some() { BatchState::Succeeded } else { BatchState::Running };
        let times = Times { started: Some(at(started)), ended: ended.map(at), ..Times::default() };
        house.observe(Observation { times, ..observation(row, state) }).await;
    };
    house.clock.go(MINUTE);
    ran(a, 0, Some(1)).await;
    house.clock.go(MINUTE);
    ran(c, 0, None).await;
    house.clock.go(10 * MINUTE);
    ran(b, 0, Some(5)).await;
    for (key, up, down) in [
        (SortKey::Created, [a, b, c, d], [d, c, b, a]),
        (SortKey::Modified, [d, a, c, b], [b, c, a, d]),
        (SortKey::Name, [c, a, d, b], [a, d, c, b]),
        (SortKey::Queue, [a, d, b, c], [b, a, d, c]),
        (SortKey::Project, [c, b, d, a], [b, d, c, a]),
        (SortKey::Duration, [d, a, b, c], [c, b, a, d]),
        // From the first minute: a ended in the first, b in the fifth, the others go on since the second.
        (SortKey::Lifetime, [a, b, c, d], [c, d, b, a]),
        // Without a name it is what stands for one.
        (SortKey::Title, [b, c, a, d], [a, d, c, b]),
    ] {
        for (descending, expected) in [(false, up), (true, down)] {
            let shown = house.ordered(Order { key, descending }, Window::default()).await;
            assert_eq!(shown, expected, "{key:?} {descending}");
        }
    }
}

pub(crate) async fn a_window_cuts_and_the_total_stays(house: House) {
    let mut rows = Vec::new();
    for at in 0..5 {
        rows.push(house.accepted(intent(), &at.to_string()).await.row);
    }
    house.intend(intent()).await;
    for (from, size, shown) in [
        (0, 2, &rows[..2]),
        (2, 2, &rows[2..4]),
        (4, 2, &rows[4..]),
        (5, 2, &[]),
        (0, 0, &[]),
        (1, u64::MAX, &rows[1..]),
        (u64::MAX, 1, &[]),
    ] {
        let query = ListQuery { window: Window { from, size }, ..ListQuery::default() };
        let page = house.page(&query, &scope("livy")).await;
        assert_eq!(page.rows.iter().map(|entry| entry.row).collect::<Vec<RowId>>(), shown, "{from} {size}");
        assert_eq!((page.total, page.next), (Some(5), None));
    }
}
