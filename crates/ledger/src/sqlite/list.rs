//! Lists in SQL: what `view` says about rows in memory, said so that SQLite finds the rows by its indexes.

use std::sync::Arc;

use batchlingua_core::{Filter, ListQuery, Millis, Order, RowId, Scope, SortKey, Uuid, Window};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{
    columns::hidden_mark,
    tx::{self, all, one, rows},
    unreadable,
};
use crate::{
    LedgerError,
    cache::Cache,
    kept::{Count, Extent, Floors, Member, Members, Source},
    row::Row,
};

/// Conditions that must all hold, with their values in the order of their places.
struct Where {
    sql: String,
    values: Vec<Value>,
}

impl Where {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    fn and_text(&mut self, condition: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.and(condition, [Value::from(text.to_owned())]);
        }
    }

    fn and_time(&mut self, condition: &str, time: Option<Millis>) {
        if let Some(time) = time {
            self.and(condition, [Value::Integer(time.0)]);
        }
    }

    fn and_one_of<'a>(&mut self, column: &str, or: &str, texts: impl Iterator<Item = &'a str>) {
        let texts: Vec<Value> = texts.map(|text| Value::from(text.to_owned())).collect();
        self.and(&format!("({column} IN ({}){or})", places(texts.len())), texts);
    }
}

fn places(n: usize) -> String {
    vec!["?"; n].join(", ")
}

/// A list that is read.
pub(super) struct Read<'a> {
    pub(super) connection: &'a Connection,
    pub(super) cache: &'a Cache,
    pub(super) query: &'a ListQuery,
    pub(super) scope: &'a Scope,
    pub(super) now: Millis,
}

impl Source for Read<'_> {
    /// The snapshot begins with the first look.
    fn begin(&self) -> Result<(), LedgerError> {
        one::<i64>(self.connection, "SELECT value FROM counters WHERE name = 'ordinal'", []).map(drop)
    }

    fn page(&self) -> Result<Vec<Arc<Row>>, LedgerError> {
        page(self.connection, self.cache, self.query, self.scope, self.now)
    }

    fn with_numbers(&self, rows: Vec<RowId>) -> Result<Vec<Arc<Row>>, LedgerError> {
        with_numbers(self.connection, self.cache, rows)
    }

    fn count(&self) -> Result<Count, LedgerError> {
        count(self.connection, self.query, self.scope)
    }

    fn extent(&self, most: usize) -> Result<Extent, LedgerError> {
        extent(self.connection, self.query, self.scope, most)
    }
}

/// The rows of a window: found by an index, and read only where the cache has not just this version of them.
fn page(
    connection: &Connection,
    cache: &Cache,
    query: &ListQuery,
    scope: &Scope,
    now: Millis,
) -> Result<Vec<Arc<Row>>, LedgerError> {
    let (sql, values) = window(matching(query, scope), query.order, query.window, now);
    let found: Vec<i64> = all(connection, &format!("SELECT row FROM batches WHERE {sql}"), params_from_iter(values))?;
    with_numbers(connection, cache, found.into_iter().map(RowId).collect())
}

/// The rows with these numbers, in their order.
fn with_numbers(connection: &Connection, cache: &Cache, numbers: Vec<RowId>) -> Result<Vec<Arc<Row>>, LedgerError> {
    let mut rows = Vec::with_capacity(numbers.len());
    for row in numbers {
        let revision: Option<i64> = one(connection, "SELECT revision FROM batches WHERE row = ?", [row.0])?;
        let known = revision.and_then(|revision| cache.exactly(row, revision.cast_unsigned()));
        rows.extend(known.map_or_else(|| tx::get(connection, row), |known| Ok(Some(known)))?);
    }
    Ok(rows)
}

/// Which rows there are in all, or only how many, if they are more than so many.
fn extent(connection: &Connection, query: &ListQuery, scope: &Scope, most: usize) -> Result<Extent, LedgerError> {
    let count = count(connection, query, scope)?;
    if usize::try_from(count.total).unwrap_or(usize::MAX) > most {
        return Ok(Extent::Count(count, None));
    }
    let condition = matching(query, scope);
    let sql = format!("SELECT {} FROM batches WHERE {}", Member::COLUMNS, condition.sql);
    let mut statement = connection.prepare_cached(&sql).map_err(unreadable)?;
    let read = statement.query_map(params_from_iter(condition.values), |sql| Member::read(|at| sql.get(at)));
    let members: rusqlite::Result<Vec<Member>> = read.and_then(Iterator::collect);
    Ok(Extent::Members(Members::new(Floors::of(query, scope), members.map_err(unreadable)?)))
}

/// How many there are in all.
fn count(connection: &Connection, query: &ListQuery, scope: &Scope) -> Result<Count, LedgerError> {
    let (condition, asked) = (matching(query, scope), Floors::of(query, scope));
    let sql = format!("SELECT {} FROM batches WHERE {}", asked.counted("NULL"), condition.sql);
    let mut statement = connection.prepare_cached(&sql).map_err(unreadable)?;
    let read = statement.query_row(params_from_iter(condition.values), |sql| Count::read(|at| sql.get(at)));
    read.map_err(unreadable)
}

/// The newest batch of that name that the scope lists.
pub(super) fn newest_named(
    connection: &Connection,
    name: &str,
    scope: &Scope,
) -> Result<Option<Arc<Row>>, LedgerError> {
    let mut condition = listed(scope, Some(name));
    condition.and_text("name = ?", Some(name));
    let newest = Order { key: SortKey::Created, descending: true };
    let (sql, values) = window(condition, newest, Window { from: 0, size: 1 }, Millis::default());
    Ok(rows(connection, &sql, params_from_iter(values))?.into_iter().next())
}

fn matching(query: &ListQuery, scope: &Scope) -> Where {
    let mut condition = listed(scope, query.filter.name.as_deref());
    narrow(&mut condition, &query.filter);
    condition
}

/// The condition with its order and limit.
fn window(condition: Where, order: Order, window: Window, now: Millis) -> (String, Vec<Value>) {
    let sql = format!("{} ORDER BY {} LIMIT ? OFFSET ?", condition.sql, order_by(order));
    let signed = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    // Only how long a batch has run depends on when that is asked.
    let now = matches!(order.key, SortKey::Duration | SortKey::Lifetime).then_some(Value::Integer(now.0));
    let limits = [signed(window.size), signed(window.from)];
    (sql, condition.values.into_iter().chain(now).chain(limits).collect())
}

/// What lists in this scope have; of one name, if they are asked for no others.
fn listed(scope: &Scope, name: Option<&str>) -> Where {
    let mut condition = Where { sql: "phase = 'accepted'".to_owned(), values: Vec::new() };
    condition.and("instr(hidden, ?) = 0", [Value::from(hidden_mark(&scope.dialect))]);
    if let Some(backends) = &scope.backends {
        condition.and_one_of("backend", "", backends.iter().map(|backend| backend.as_str()));
    }
    if let Some(projects) = &scope.projects {
        let unscoped = if scope.unscoped { " OR project IS NULL" } else { "" };
        condition.and_one_of("project", unscoped, projects.iter().map(|project| project.as_str()));
    }
    if let Some(from) = scope.ended_from {
        // Two searches of an index rather than a look at every batch that has ended within the retention.
        let (of, name) = match name {
            Some(name) => ("name = ? AND ", Some(Value::from(name.to_owned()))),
            None => ("", None),
        };
        let recent = format!(
            "row IN (SELECT row FROM batches WHERE {of}ended IS NULL UNION ALL SELECT row FROM batches WHERE {of}ended >= ?)"
        );
        condition.and(&recent, name.clone().into_iter().chain(name).chain([Value::Integer(from.0)]));
    }
    condition
}

fn narrow(condition: &mut Where, filter: &Filter) {
    if let Some(states) = filter.states {
        condition.and_one_of("state", "", states.iter().map(|state| state.as_str()));
    }
    if let Some(kinds) = &filter.kinds {
        condition.and_one_of("kind", "", kinds.iter().map(|kind| kind.as_str()));
    }
    if let Some(id) = &filter.id {
        let uuid = id.parse::<Uuid>().map_or_else(|_| id.clone(), |uuid| uuid.to_string());
        let known = "row IN (SELECT row FROM ids WHERE kind IN ('uuid', 'native') AND text IN (?, ?))";
        condition.and(known, [Value::from(uuid), Value::from(id.clone())]);
    }
    condition.and_text("user = ?", filter.user.as_deref());
    condition.and_text("program = ?", filter.program.as_deref());
    condition.and_text("owner = ?", filter.owner.as_deref());
    condition.and_text("name = ?", filter.name.as_deref());
    condition.and_text("queue = ? COLLATE NOCASE", filter.queue.as_deref());
    condition.and_time("created >= ?", filter.created_from);
    condition.and_time("created < ?", filter.created_before);
    condition.and_time("modified >= ?", filter.modified_from);
    condition.and_time("ended <= ?", filter.ended_to);
    if let Some(wanted) = &filter.extension {
        let values = wanted.values.iter().map(|value| Value::from(value.clone()));
        let of = [wanted.dialect.as_str(), wanted.name.as_str()].map(|text| Value::from(text.to_owned()));
        let is_one = format!(
            "coalesce((SELECT value ->> '$.value' IN ({}) FROM json_each(spec, '$.extensions') \
             WHERE value ->> '$.dialect' = ? AND value ->> '$.name' = ? LIMIT 1), ?)",
            places(wanted.values.len())
        );
        condition.and(&is_one, values.chain(of).chain([Value::from(wanted.or_none)]));
    }
    if let Some(text) = &filter.contains {
        let text = Value::from(text.to_ascii_lowercase());
        let within = "(instr(lower(title), ?) > 0 OR instr(uuid, ?) > 0 OR instr(lower(native), ?) > 0)";
        condition.and(within, [text.clone(), text.clone(), text]);
    }
}

/// What is equal is in the order of its creation; what is absent comes last either way.
fn order_by(order: Order) -> String {
    let direction = if order.descending { "DESC" } else { "ASC" };
    match order.key {
        SortKey::Created => format!("created {direction}, row {direction}"),
        SortKey::Modified => format!("modified {direction}, created, row"),
        SortKey::Name => format!("name {direction} NULLS LAST, created, row"),
        SortKey::Project => format!("project {direction} NULLS LAST, created, row"),
        SortKey::Queue => format!("queue {direction} NULLS LAST, created, row"),
        SortKey::Title => format!("title {direction}, created, row"),
        SortKey::Id => format!("uuid {direction}"),
        SortKey::Lifetime => format!("max(0, coalesce(ended, ?) - created) {direction}, created, row"),
        SortKey::Duration => {
            let ran = "CASE WHEN started IS NULL THEN 0 ELSE max(0, coalesce(ended, ?) - started) END";
            format!("{ran} {direction}, created, row")
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{ListQuery, Scope};

    use super::{super::tests::plan, *};

    fn plans(query: &ListQuery, scope: &Scope) -> (String, String) {
        let condition = matching(query, scope);
        let count = plan(&format!("SELECT count(*) FROM batches WHERE {}", condition.sql));
        (count, plan(&format!("SELECT row FROM batches WHERE {} ORDER BY {}", condition.sql, order_by(query.order))))
    }

    #[test]
    fn lists_go_by_an_index_and_are_counted_without_the_rows() {
        let all = Scope {
            dialect: "livy".into(),
            backends: Some(vec!["a".into(), "b".into()]),
            projects: Some(vec!["p".into()]),
            unscoped: true,
            ended_from: None,
        };
        let (count, rows) = plans(&ListQuery::default(), &all);
        assert!(count.contains("COVERING INDEX batches_by_change"), "{count}");
        assert!(rows.contains("INDEX batches_by_created") && !rows.contains("TEMP B-TREE"), "{rows}");

        let last_changed = Order { key: SortKey::Modified, descending: true };
        let (_, rows) = plans(&ListQuery { order: last_changed, ..ListQuery::default() }, &all);
        assert!(rows.contains("COVERING INDEX batches_by_change") && !rows.contains("TEMP B-TREE"), "{rows}");

        let recent = Scope { ended_from: Some(Millis(1)), ..all.clone() };
        let (count, rows) = plans(&ListQuery::default(), &recent);
        for plan in [count, rows] {
            assert!(plan.contains("INTEGER PRIMARY KEY (rowid=?)") && !plan.contains("SCAN"), "{plan}");
        }

        let one = Filter { id: Some("n".into()), ..Filter::default() };
        let (count, rows) = plans(&ListQuery { filter: one, order: last_changed, ..ListQuery::default() }, &recent);
        for plan in [count, rows] {
            assert!(plan.contains("SEARCH ids USING") && !plan.contains("SCAN batches"), "{plan}");
        }

        let named = Filter { name: Some("n".into()), ..Filter::default() };
        let (_, rows) = plans(&ListQuery { filter: named, ..ListQuery::default() }, &all);
        assert!(rows.contains("INDEX batches_by_name (name=?)"), "{rows}");
    }
}
