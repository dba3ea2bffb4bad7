//! Who sees which rows, which of them a filter means, and in which order: over rows in memory.
//!
//! SQLite says the same in its own words in `sqlite/list.rs`; a test gives both the same rows and questions.

use std::cmp::Ordering;

use batchlingua_core::{
    Batch, BatchId, BatchSpec, DialectName, ExtensionFilter, Filter, Millis, Order, Phase, Scope, SortKey,
};

use crate::row::Row;

/// Whether clients in this scope can ask for the row by an id. An open intent is there for who knows its id; a submit that did not go
/// through is there for nobody.
pub(crate) fn shows(scope: &Scope, row: &Row) -> bool {
    let backends = scope.backends.as_ref().is_none_or(|backends| backends.contains(&row.entry.backend));
    let projects = match (&scope.projects, &row.batch().project) {
        (None, _) => true,
        (Some(projects), Some(project)) => projects.contains(project),
        (Some(_), None) => scope.unscoped,
    };
    let phase = row.entry.phase.is_open() || row.entry.phase == Phase::Accepted;
    phase && backends && projects && !row.hidden.contains(&scope.dialect)
}

/// Whether lists in this scope have the row. Nobody knows yet whether an open intent became a batch, so lists do not have it.
pub(crate) fn lists(scope: &Scope, row: &Row) -> bool {
    row.entry.phase == Phase::Accepted && shows(scope, row) && ended_from(row, scope.ended_from)
}

fn ended_from(row: &Row, from: Option<Millis>) -> bool {
    match (row.batch().times.ended, from) {
        (Some(ended), Some(from)) => ended >= from,
        (None, _) | (_, None) => true,
    }
}

/// Whether a new batch of the dialect cannot have this row's name: the dialect lists it, or will if it goes through.
pub(crate) fn holds_name(row: &Row, name: &str, dialect: &DialectName, from: Millis) -> bool {
    let alive = row.entry.phase.is_open() || row.entry.phase == Phase::Accepted;
    let listed = row.entry.dialect.as_ref().is_none_or(|came_by| came_by == dialect) && !row.hidden.contains(dialect);
    row.batch().spec.name.as_deref() == Some(name) && alive && listed && ended_from(row, Some(from))
}

/// Whether a repeated submit of that name by that principal means this row: it lives, or will if it goes through, and is to live on.
pub(crate) fn lives_under(row: &Row, name: &str, principal: &str) -> bool {
    let batch = row.batch();
    let alive = row.entry.phase.is_open() || (row.entry.phase == Phase::Accepted && batch.times.ended.is_none());
    let ours = row.principal.as_ref().is_some_and(|of| &*of.name == principal);
    batch.spec.name.as_deref() == Some(name) && alive && ours && !batch.cancel_asked
}

/// Whether the cancel of this batch has not come to its end.
pub(crate) fn is_unended_cancel(row: &Row) -> bool {
    row.entry.phase == Phase::Accepted && row.batch().cancel_asked && !row.batch().state.is_end()
}

pub(crate) fn matches(filter: &Filter, batch: &Batch<BatchId>) -> bool {
    let spec = &batch.spec;
    let is = |wanted: &Option<String>, has: Option<&str>| wanted.is_none() || wanted.as_deref() == has;
    filter.states.is_none_or(|states| states.contains(batch.state))
        && filter.kinds.as_ref().is_none_or(|kinds| kinds.contains(&spec.kind))
        && filter.id.as_ref().is_none_or(|id| has_id(batch, id))
        && is(&filter.user, batch.user())
        && is(&filter.owner, batch.owner.as_ref().map(|owner| &*owner.name))
        && is(&filter.name, spec.name.as_deref())
        && filter.program.as_ref().is_none_or(|program| program == spec.program())
        && filter
            .queue
            .as_ref()
            .is_none_or(|queue| spec.queue.as_ref().is_some_and(|has| has.eq_ignore_ascii_case(queue)))
        && filter.extension.as_ref().is_none_or(|wanted| has_extension(spec, wanted))
        && filter.contains.as_ref().is_none_or(|text| contains(batch, text))
        && filter.created_from.is_none_or(|from| batch.times.created >= from)
        && filter.created_before.is_none_or(|before| batch.times.created < before)
        && filter.modified_from.is_none_or(|from| batch.times.modified >= from)
        && filter.ended_to.is_none_or(|to| batch.times.ended.is_some_and(|ended| ended <= to))
}

fn has_extension(spec: &BatchSpec, wanted: &ExtensionFilter) -> bool {
    let mut given = spec.extensions.iter();
    let given = given.find(|extension| extension.dialect == wanted.dialect && extension.name == wanted.name);
    given.map_or(wanted.or_none, |extension| wanted.values.contains(&extension.value))
}

fn has_id(batch: &Batch<BatchId>, id: &str) -> bool {
    id.parse() == Ok(batch.id.uuid) || batch.id.native.as_ref().is_some_and(|native| native.as_str() == id)
}

/// In the title or an id, whichever of the two ids that are text; capitals of ASCII are no difference.
fn contains(batch: &Batch<BatchId>, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |given: &str| given.to_ascii_lowercase().contains(&text);
    has(batch.spec.title())
        || has(&batch.id.uuid.to_string())
        || batch.id.native.as_ref().is_some_and(|native| has(native.as_str()))
}

/// The order of a list. What is equal is in the order of its creation; what has no name, project or queue comes last either way.
pub(crate) fn order(order: Order, a: &Row, b: &Row, now: Millis) -> Ordering {
    let directed = |ordering: Ordering| if order.descending { ordering.reverse() } else { ordering };
    let texts = |a: Option<&str>, b: Option<&str>| match (a, b) {
        (Some(a), Some(b)) => directed(a.cmp(b)),
        (a, b) => a.is_none().cmp(&b.is_none()),
    };
    let (x, y) = (a.batch(), b.batch());
    let by_creation = (x.times.created, a.id()).cmp(&(y.times.created, b.id()));
    match order.key {
        SortKey::Created => directed(by_creation),
        SortKey::Modified => directed(x.times.modified.cmp(&y.times.modified)).then(by_creation),
        SortKey::Name => texts(x.spec.name.as_deref(), y.spec.name.as_deref()).then(by_creation),
        SortKey::Queue => texts(x.spec.queue.as_deref(), y.spec.queue.as_deref()).then(by_creation),
        SortKey::Project => {
            let project = |batch: &Batch<BatchId>| batch.project.as_ref().map(|project| project.as_str().to_owned());
            texts(project(x).as_deref(), project(y).as_deref()).then(by_creation)
        }
        SortKey::Title => directed(x.spec.title().cmp(y.spec.title())).then(by_creation),
        SortKey::Id => directed(x.id.uuid.cmp(&y.id.uuid)),
        SortKey::Lifetime => directed(lifetime(x, now).cmp(&lifetime(y, now))).then(by_creation),
        SortKey::Duration => directed(duration(x, now).cmp(&duration(y, now))).then(by_creation),
    }
}

/// How long it ran, or has run; 0 before it ran.
fn duration(batch: &Batch<BatchId>, now: Millis) -> i64 {
    batch.times.started.map_or(0, |started| (batch.times.ended.unwrap_or(now).0 - started.0).max(0))
}

/// How long it was from its creation to its end, or is until now.
fn lifetime(batch: &Batch<BatchId>, now: Millis) -> i64 {
    (batch.times.ended.unwrap_or(now).0 - batch.times.created.0).max(0)
}
