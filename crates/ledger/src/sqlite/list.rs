//! Lists in SQL: what `view` says about rows in memory, said so that SQLite finds the rows by its indexes.

use std::sync::Arc;

use batchlingua_core::{Filter, ListQuery, Millis, Order, Scope, SortKey, Uuid, Window};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{
    columns::hidden_mark,
    stored::kind_word,
    tx::{one, rows},
};
use crate::{LedgerError, row::Row};

/// A page of rows, and how many there are in all.
pub(super) struct Listed {
    pub(super) rows: Vec<Arc<Row>>,
    pub(super) total: u64,
}

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

pub(super) fn page(
    connection: &Connection,
    query: &ListQuery,
    scope: &Scope,
    now: Millis,
) -> Result<Listed, LedgerError> {
    let mut condition = listed(scope);
    narrow(&mut condition, &query.filter);
    let count = format!("SELECT count(*) FROM batches WHERE {}", condition.sql);
    let total: i64 = one(connection, &count, params_from_iter(&condition.values))?.unwrap_or_default();
    let rows = shown(connection, condition, query.order, query.window, now)?;
    Ok(Listed { rows, total: total.cast_unsigned() })
}

/// The newest batch of that name that the scope lists.
pub(super) fn newest_named(
    connection: &Connection,
    name: &str,
    scope: &Scope,
) -> Result<Option<Arc<Row>>, LedgerError> {
    let mut condition = listed(scope);
    condition.and_text("name = ?", Some(name));
    let newest = Order { key: SortKey::Created, descending: true };
    let found = shown(connection, condition, newest, Window { from: 0, size: 1 }, Millis::default())?;
    Ok(found.into_iter().next())
}

fn shown(
    connection: &Connection,
    condition: Where,
    order: Order,
    window: Window,
    now: Millis,
) -> Result<Vec<Arc<Row>>, LedgerError> {
    let sql = format!("{} ORDER BY {} LIMIT ? OFFSET ?", condition.sql, order_by(order));
    let signed = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    // Only how long a batch has run depends on when that is asked.
    let now = matches!(order.key, SortKey::Duration | SortKey::Lifetime).then_some(Value::Integer(now.0));
    let values = condition.values.into_iter().chain(now).chain([signed(window.size), signed(window.from)]);
    rows(connection, &sql, params_from_iter(values))
}

fn listed(scope: &Scope) -> Where {
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
        let recent =
            "row IN (SELECT row FROM batches WHERE ended IS NULL UNION ALL SELECT row FROM batches WHERE ended >= ?)";
        condition.and(recent, [Value::Integer(from.0)]);
    }
    condition
}

fn narrow(condition: &mut Where, filter: &Filter) {
    if let Some(states) = filter.states {
        condition.and_one_of("state", "", states.iter().map(|state| state.as_str()));
    }
    if let Some(kinds) = &filter.kinds {
        condition.and_one_of("kind", "", kinds.iter().map(|kind| kind_word(*kind)));
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
        let mut condition = listed(scope);
        narrow(&mut condition, &query.filter);
        let count = plan(&format!("SELECT count(*) FROM batches WHERE {}", condition.sql));
        (count, plan(&format!("SELECT * FROM batches WHERE {} ORDER BY {}", condition.sql, order_by(query.order))))
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
        assert!(count.contains("COVERING INDEX batches_by_created"), "{count}");
        assert!(rows.contains("INDEX batches_by_created") && !rows.contains("TEMP B-TREE"), "{rows}");

        let recent = Scope { ended_from: Some(Millis(1)), ..all.clone() };
        let (count, rows) = plans(&ListQuery::default(), &recent);
        for plan in [count, rows] {
            assert!(plan.contains("INTEGER PRIMARY KEY (rowid=?)") && !plan.contains("SCAN"), "{plan}");
        }

        let one = Filter { id: Some("n".into()), ..Filter::default() };
        let order = Order { key: SortKey::Modified, descending: true };
        let (count, rows) = plans(&ListQuery { filter: one, order, ..ListQuery::default() }, &recent);
        for plan in [count, rows] {
            assert!(plan.contains("SEARCH ids USING") && !plan.contains("SCAN batches"), "{plan}");
        }

        let named = Filter { name: Some("n".into()), ..Filter::default() };
        let (_, rows) = plans(&ListQuery { filter: named, ..ListQuery::default() }, &all);
        assert!(rows.contains("INDEX batches_by_name (name=?)"), "{rows}");
    }
}
