//! Lists in SQL: what `view` says about rows in memory, in PostgreSQL's words. SQLite's are beside them in `sqlite/list.rs`.

use std::sync::{Arc, LazyLock};

use batchlingua_core::{Filter, ListQuery, Millis, Order, RowId, Scope, SortKey, Uuid, Window};

use super::{
    columns::{self, hidden_mark},
    connection::Connection,
    reader::SNAPSHOT,
    tx::{get_all, id_text, number, read},
    value::{Value, escaped},
};
use crate::{
    LedgerError,
    kept::{Count, Extent, Floors, Member, Members, Numbers, Source},
    row::Row,
};

/// Of a longer list only how many rows it has is known, and not for long: until another replica changes any row. Each number is 8 bytes in the
/// server's answer.
const MOST_NUMBERS: u32 = 4_000_000;

/// The numbers of the rows, unless they reach back further than so many are kept of; then some are missing.
static NUMBERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        r#"(string_agg(int8send("row"), ''::bytea) FILTER (WHERE "row" > (SELECT value - {MOST_NUMBERS} FROM counters WHERE name = 'row')))"#
    )
});

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
            self.and(condition, [text.into()]);
        }
    }

    fn and_time(&mut self, condition: &str, time: Option<Millis>) {
        if let Some(time) = time {
            self.and(condition, [time.0.into()]);
        }
    }

    fn and_one_of<'a>(&mut self, column: &str, or: &str, words: impl Iterator<Item = &'a str>) {
        self.and(&format!("({column} = ANY(?){or})"), [texts(words)]);
    }
}

fn texts<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    Value::Texts(words.map(|text| escaped(text).into_owned()).collect())
}

/// A list that is read.
pub(super) struct Read<'a> {
    pub(super) connection: &'a Connection,
    pub(super) query: &'a ListQuery,
    pub(super) scope: &'a Scope,
    pub(super) now: Millis,
}

impl Read<'_> {
    fn word(&self, word: &str) -> Result<(), LedgerError> {
        self.connection.words(word).map(drop).map_err(|fault| fault.unreadable())
    }

    /// The snapshot is needed no more.
    pub(super) fn end(&self) -> Result<(), LedgerError> {
        self.word("ROLLBACK")
    }
}

impl Source for Read<'_> {
    fn begin(&self) -> Result<(), LedgerError> {
        self.word(SNAPSHOT)
    }

    fn page(&self) -> Result<Vec<Arc<Row>>, LedgerError> {
        page(self.connection, self.query, self.scope, self.now)
    }

    fn with_numbers(&self, rows: Vec<RowId>) -> Result<Vec<Arc<Row>>, LedgerError> {
        with_numbers(self.connection, &rows)
    }

    fn count(&self) -> Result<Count, LedgerError> {
        count(self.connection, self.query, self.scope)
    }

    fn extent(&self, most: usize) -> Result<Extent, LedgerError> {
        extent(self.connection, self.query, self.scope, most)
    }
}

/// The rows of a window: found by an index, in which what stands before them is passed, and then read.
fn page(connection: &Connection, query: &ListQuery, scope: &Scope, now: Millis) -> Result<Vec<Arc<Row>>, LedgerError> {
    let (condition, values) = window(matching(query, scope), query.order, query.window, now);
    let sql = format!(r#"SELECT "row" FROM batches WHERE {condition}"#);
    let found = connection.query(&sql, &values).map_err(|fault| fault.unreadable())?;
    let found: Vec<RowId> = found.iter().map(number).collect::<Result<_, _>>()?;
    with_numbers(connection, &found)
}

/// The rows with these numbers, in their order.
fn with_numbers(connection: &Connection, numbers: &[RowId]) -> Result<Vec<Arc<Row>>, LedgerError> {
    Ok(get_all(connection, numbers)?.into_iter().flatten().collect())
}

/// How many there are in all.
fn count(connection: &Connection, query: &ListQuery, scope: &Scope) -> Result<Count, LedgerError> {
    counted(connection, query, scope, "NULL").map(|(count, _)| count)
}

/// The same, and what else is wanted of all of them: bytes.
fn counted(
    connection: &Connection,
    query: &ListQuery,
    scope: &Scope,
    more: &str,
) -> Result<(Count, Option<Vec<u8>>), LedgerError> {
    let (condition, asked) = (matching(query, scope), Floors::of(query, scope));
    let counted = asked.counted("NULL::bigint");
    let sql = format!("SELECT {counted}, {more}::bytea FROM batches WHERE {}", condition.sql);
    let read = connection.query(&sql, &condition.values).map_err(|fault| fault.unreadable())?;
    let sql = read.first().ok_or_else(|| LedgerError::Corrupt("a count without a row".to_owned()))?;
    let more = sql.len() - 1;
    let cells = Count::read(|at| sql.try_get(at)).and_then(|count| Ok((count, sql.try_get(more)?)));
    cells.map_err(|error| LedgerError::Corrupt(error.to_string()))
}

/// Which rows there are in all; or how many, and their numbers, if they are more than so many. The numbers come with the count: what a long list costs
/// is the walk over its rows.
fn extent(connection: &Connection, query: &ListQuery, scope: &Scope, most: usize) -> Result<Extent, LedgerError> {
    let (count, numbers) = counted(connection, query, scope, &NUMBERS)?;
    let total = usize::try_from(count.total).unwrap_or(usize::MAX);
    if total > most {
        let numbers = numbers.unwrap_or_default();
        let (numbers, _) = numbers.as_chunks::<8>();
        let numbers = (numbers.len() == total).then(|| Numbers::from_iter(numbers.iter().map(packed)));
        return Ok(Extent::Count(count, numbers));
    }
    let condition = matching(query, scope);
    let sql = format!("SELECT {} FROM batches WHERE {}", Member::COLUMNS, condition.sql);
    let read = connection.query(&sql, &condition.values).map_err(|fault| fault.unreadable())?;
    let members: Result<Vec<Member>, _> = read.iter().map(|sql| Member::read(|at| sql.try_get(at))).collect();
    let members = members.map_err(|error: tokio_postgres::Error| LedgerError::Corrupt(error.to_string()))?;
    Ok(Extent::Members(Members::new(Floors::of(query, scope), members)))
}

fn packed(bytes: &[u8; 8]) -> RowId {
    RowId(i64::from_be_bytes(*bytes))
}

fn matching(query: &ListQuery, scope: &Scope) -> Where {
    let mut condition = listed(scope);
    narrow(&mut condition, &query.filter);
    condition
}

/// The newest batch of that name that the scope lists.
pub(super) fn newest_named(
    connection: &Connection,
    name: &str,
    scope: &Scope,
) -> Result<Option<Arc<Row>>, LedgerError> {
    let mut condition = listed(scope);
    condition.and("md5(name) = md5(?) AND name = ?", [name.into(), name.into()]);
    let newest = Order { key: SortKey::Created, descending: true };
    let (condition, values) = window(condition, newest, Window { from: 0, size: 1 }, Millis::default());
    Ok(read(connection, &format!("SELECT {} FROM batches WHERE {condition}", *columns::ALL), &values)?.pop())
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

fn listed(scope: &Scope) -> Where {
    let mut condition = Where { sql: "phase = 'accepted'".to_owned(), values: Vec::new() };
    condition.and("strpos(hidden, ?) = 0", [Value::from(&*hidden_mark(&scope.dialect))]);
    if let Some(backends) = &scope.backends {
        condition.and_one_of("backend", "", backends.iter().map(|backend| backend.as_str()));
    }
    if let Some(projects) = &scope.projects {
        let unscoped = if scope.unscoped { " OR project IS NULL" } else { "" };
        condition.and_one_of("project", unscoped, projects.iter().map(|project| project.as_str()));
    }
    condition.and_time("(ended IS NULL OR ended >= ?)", scope.ended_from);
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
        let uuid = id.parse::<Uuid>().map_or_else(|_| id_text(id), |uuid| uuid.to_string());
        let known = r#""row" IN (SELECT "row" FROM ids WHERE kind IN ('uuid', 'native') AND text = ANY(?))"#;
        condition.and(known, [texts([uuid.as_str(), &id_text(id)].into_iter())]);
    }
    condition.and_text("runs_as = ?", filter.user.as_deref());
    condition.and_text("program = ?", filter.program.as_deref());
    condition.and_text("owner = ?", filter.owner.as_deref());
    if let Some(name) = filter.name.as_deref() {
        condition.and("md5(name) = md5(?) AND name = ?", [name.into(), name.into()]);
    }
    condition.and_text("lower(queue) = ?", filter.queue.as_deref().map(str::to_ascii_lowercase).as_deref());
    condition.and_time("created >= ?", filter.created_from);
    condition.and_time("created < ?", filter.created_before);
    condition.and_time("modified >= ?", filter.modified_from);
    condition.and_time("ended <= ?", filter.ended_to);
    if let Some(wanted) = &filter.extension {
        let is_one = "coalesce((SELECT (x ->> 2) = ANY(?) FROM jsonb_array_elements(extensions) WITH ORDINALITY AS of (x, n) \
                      WHERE x ->> 0 = ? AND x ->> 1 = ? ORDER BY n LIMIT 1), ?)";
        let of = [wanted.dialect.as_str(), wanted.name.as_str()].map(Value::from);
        let values = texts(wanted.values.iter().map(|value| &**value));
        condition.and(is_one, [values].into_iter().chain(of).chain([Value::Flag(wanted.or_none)]));
    }
    if let Some(text) = &filter.contains {
        let text = Value::from(&*text.to_ascii_lowercase());
        let within = "(strpos(lower(title), ?) > 0 OR strpos(uuid, ?) > 0 OR strpos(lower(native), ?) > 0)";
        condition.and(within, [text.clone(), text.clone(), text]);
    }
}

/// What is equal is in the order of its creation; what is absent comes last either way.
fn order_by(order: Order) -> String {
    let direction = if order.descending { "DESC" } else { "ASC" };
    match order.key {
        SortKey::Created => format!(r#"created {direction}, "row" {direction}"#),
        SortKey::Modified => format!(r#"modified {direction}, created, "row""#),
        SortKey::Name => format!(r#"name {direction} NULLS LAST, created, "row""#),
        SortKey::Project => format!(r#"project {direction} NULLS LAST, created, "row""#),
        SortKey::Queue => format!(r#"queue {direction} NULLS LAST, created, "row""#),
        SortKey::Title => format!(r#"title {direction}, created, "row""#),
        SortKey::Id => format!("uuid {direction}"),
        SortKey::Lifetime => format!(r#"greatest(0, coalesce(ended, ?) - created) {direction}, created, "row""#),
        SortKey::Duration => {
            let ran = "CASE WHEN started IS NULL THEN 0 ELSE greatest(0, coalesce(ended, ?) - started) END";
            format!(r#"{ran} {direction}, created, "row""#)
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_testkit::postgres::Postgres;

    use super::{
        super::{PostgresLedger, tests::connected},
        *,
    };
    use crate::Options;

    #[test]
    fn long_lists_are_walked_and_counted_without_the_rows() {
        let database = Postgres::shared().database();
        drop(PostgresLedger::open(&database.url(), &Options::default()).expect("a new ledger opens"));
        let connection = connected(&database);
        connection.words("SET enable_seqscan = off; SET enable_bitmapscan = off").expect("it can be set");
        let explained = |what: &str, condition: &str, values: &[Value]| {
            let sql = format!("EXPLAIN SELECT {what} FROM batches WHERE {condition}");
            let plan = connection.query(&sql, values).expect("it can be explained");
            plan.iter().map(|line| line.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
        };
        let scope = Scope {
            dialect: "livy".into(),
            backends: Some(vec!["a".into(), "b".into()]),
            projects: None,
            unscoped: true,
            ended_from: Some(Millis(1)),
        };
        for (key, descending, index) in [
            (SortKey::Created, false, "batches_by_created"),
            (SortKey::Created, true, "batches_by_created"),
            (SortKey::Modified, true, "batches_by_change"),
        ] {
            let query = ListQuery { order: Order { key, descending }, ..ListQuery::default() };
            let (condition, values) = window(matching(&query, &scope), query.order, query.window, Millis(0));
            let plan = explained(r#""row""#, &condition, &values);
            let walks = plan.contains("Index Only Scan") && plan.contains(index) && !plan.contains("Sort");
            assert!(walks, "{key:?}: {plan}");
        }
        let all = matching(&ListQuery::default(), &scope);
        let plan = explained("count(*), min(ended)", &all.sql, &all.values);
        assert!(plan.contains("Index Only Scan"), "{plan}");
    }
}
