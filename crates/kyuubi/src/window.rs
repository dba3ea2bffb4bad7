//! What a query asks: which batches of a list, and which lines of a log.
//!
//! Numbers come first, as Jersey hands them over before Kyuubi looks at anything: one that is none, or is out of its bits, is a 404. A text
//! without a value is the default, and of a repeated parameter the first counts. Page sizes are bounded here, whatever is asked.

use batchlingua_core::{BatchKind, Filter, ListQuery, Millis, Order, Result, SortKey, Window};
use batchlingua_wire::{
    Query,
    java::{parse_int, parse_long},
};

use crate::{error, state};

/// Most batches of one page.
const MOST_ROWS: u64 = 10_000;
/// Most lines of one page.
const MOST_LINES: u32 = 10_000;
const DEFAULT_SIZE: i32 = 100;

fn number<T>(query: &Query, name: &str, default: T, parse: fn(&str) -> Option<T>) -> Result<T> {
    match query.get(name).filter(|text| !text.is_empty()) {
        Some(text) => parse(text).ok_or_else(|| error::bad_number(name)),
        None => Ok(default),
    }
}

/// The `from` of a list, as it is echoed.
pub(crate) fn list_from(query: &Query) -> Result<i32> {
    number(query, "from", 0, parse_int)
}

/// Which batches are asked for.
pub(crate) fn list(query: &Query) -> Result<ListQuery> {
    let create_time = number(query, "createTime", 0, parse_long)?;
    let end_time = number(query, "endTime", 0, parse_long)?;
    let from = list_from(query)?;
    let size = number(query, "size", DEFAULT_SIZE, parse_int)?;
    if create_time < 0 || end_time < 0 || (end_time > 0 && create_time > end_time) {
        return Err(error::unmet("createTime", "Invalid time range"));
    }
    let states = query.get("batchState").map(|word| state::named(word).ok_or_else(error::bad_state)).transpose()?;
    let text = |name| query.get(name).filter(|text| !text.is_empty());
    let kinds = text("batchType").map(kinds_of);
    let is_empty = kinds.as_ref().is_some_and(Vec::is_empty);
    let filter = Filter {
        states,
        kinds,
        user: text("batchUser").map(str::to_owned),
        name: text("batchName").map(str::to_owned),
        created_from: (create_time > 0).then_some(Millis(create_time)),
        ended_to: (end_time > 0).then_some(Millis(end_time)),
        ..Filter::default()
    };
    let descending = query.get("desc").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    // A negative size is no limit, as SQLite has it.
    let size = if is_empty { 0 } else { u64::try_from(size).map_or(MOST_ROWS, |size| size.min(MOST_ROWS)) };
    let window = Window { from: u64::try_from(from).unwrap_or(0), size };
    Ok(ListQuery { filter, order: Order { key: SortKey::Created, descending }, window, tails: false })
}

/// The kinds of a batch type; none of one that there is not.
fn kinds_of(batch_type: &str) -> Vec<BatchKind> {
    match batch_type.to_ascii_uppercase().as_str() {
        "SPARK" => vec![BatchKind::Jar, BatchKind::R, BatchKind::Sql, BatchKind::Other],
        "PYSPARK" => vec![BatchKind::Python],
        _ => Vec::new(),
    }
}

/// Which lines of a log are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogWindow {
    /// None: where the last reader stopped.
    pub(crate) from: Option<u64>,
    pub(crate) size: u32,
}

impl LogWindow {
    pub(crate) fn read(query: &Query) -> Result<Self> {
        let from = number(query, "from", -1, parse_int)?;
        let size = number(query, "size", DEFAULT_SIZE, parse_int)?;
        Ok(Self { from: u64::try_from(from).ok(), size: u32::try_from(size).unwrap_or(0).min(MOST_LINES) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(query: &str) -> Result<ListQuery> {
        list(&Query::parse(query))
    }

    #[test]
    fn every_filter_is_read_and_what_is_empty_is_none() {
        let query = "batchType=pyspark&batchState=error&batchUser=ann&batchName=n&createTime=5&endTime=9&from=2&size=3&desc=TRUE";
        let asked = list_of(query).expect("a query");
        let Filter { states, kinds, user, name, created_from, ended_to, .. } = asked.filter;
        assert_eq!((kinds, user.as_deref(), name.as_deref()), (Some(vec![BatchKind::Python]), Some("ann"), Some("n")));
        assert_eq!((created_from, ended_to), (Some(Millis(5)), Some(Millis(9))));
        assert_eq!(states, state::named("ERROR"));
        assert_eq!((asked.window, asked.order.descending), (Window { from: 2, size: 3 }, true));
        let empty = "batchType=&batchUser=&batchName=&createTime=&endTime=&from=&size=&desc=&unknown=x&BatchUser=x";
        assert_eq!(list_of(empty).expect("a query"), list_of("").expect("a query"));
    }

    #[test]
    fn windows_are_clipped_and_bounded() {
        let window = |query: &str| list_of(query).expect("a query").window;
        assert_eq!(window(""), Window { from: 0, size: 100 });
        assert_eq!(window("from=-1&size=0"), Window { from: 0, size: 0 });
        assert_eq!(window("size=-1"), Window { from: 0, size: MOST_ROWS });
        assert_eq!(window("size=2147483647"), Window { from: 0, size: MOST_ROWS });
        assert_eq!(window("batchType=FLINK"), Window { from: 0, size: 0 }, "matches nothing");
        let lines = |query: &str| LogWindow::read(&Query::parse(query)).expect("a query");
        assert_eq!(lines(""), LogWindow { from: None, size: 100 });
        assert_eq!(lines("from=-7&size=-5"), LogWindow { from: None, size: 0 });
        assert_eq!(lines("from=0&size=2147483647"), LogWindow { from: Some(0), size: MOST_LINES });
    }

    #[test]
    fn a_bad_number_outranks_a_bad_range_and_that_a_bad_state() {
        let told = |query: &str| list_of(query).expect_err("a fault").message;
        assert!(told("createTime=-1&batchState=x&size=1.5").contains("size"));
        assert!(told("createTime=-1&batchState=x").contains("Invalid time range"));
        assert!(told("createTime=2&endTime=1").contains("Invalid time range"));
        assert!(told("batchState=").contains("RUNNING,ERROR,PENDING,CANCELED,FINISHED"));
        assert!(list_of("createTime=2&endTime=2").is_ok());
    }
}
