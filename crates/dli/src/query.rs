//! What the queries of lists and logs ask.
//!
//! A parameter without a value is none, and one that nobody knows is passed over: Terraform writes values into its query without escapes, so
//! that an `&` in a name makes further ones. All filters that are given must hold.

use std::str::FromStr;

use batchlingua_core::{
    Error, Filter, Lines, ListQuery, LogQuery, LogSource, Millis, Order, Result, SortKey, StateSet, Window,
};
use batchlingua_wire::Query;

use crate::{names, state};

/// Most batches of one page. A client that asks for more is told so: one that got fewer would take the page for the last.
const MOST_BATCHES: u64 = 1_000;
/// Most lines of one page; a client that asks for more gets these, and goes on from there.
const MOST_LINES: u32 = 10_000;
const DEFAULT_SIZE: u32 = 100;

/// The value of a parameter by its first name that has one.
fn given<'a>(query: &'a Query, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| Some((*name, query.get(name).filter(|value| !value.is_empty())?)))
}

fn text(query: &Query, names: &[&'static str]) -> Option<String> {
    given(query, names).map(|(_, value)| value.to_owned())
}

fn number<N: FromStr>(query: &Query, name: &'static str, rule: &str) -> Result<Option<N>> {
    let Some((_, value)) = given(query, &[name]) else { return Ok(None) };
    // Rust reads a plus sign, too.
    let read = value.parse().ok().filter(|_| !value.starts_with('+'));
    read.map(Some).ok_or_else(|| Error::invalid(name, format!("'{name}' must be {rule}")))
}

/// Which batches are asked for.
pub(crate) fn list(query: &Query) -> Result<ListQuery> {
    Ok(ListQuery { filter: filter(query)?, order: order(query)?, window: window(query)?, tails: true })
}

/// Which of the batches that are asked for; the index of the first is told with them.
pub(crate) fn window(query: &Query) -> Result<Window> {
    let from = number(query, "from", "a whole number from 0")?.unwrap_or(0);
    let rule = format!("a whole number from 0 to {MOST_BATCHES}: ask for more page by page");
    let size = number(query, "size", &rule)?.unwrap_or(u64::from(DEFAULT_SIZE));
    if size > MOST_BATCHES {
        return Err(Error::invalid("size", format!("'size' must be {rule}")));
    }
    Ok(Window { from, size })
}

fn filter(query: &Query) -> Result<Filter> {
    const TIME: &str = "a number of milliseconds since 1970";
    let (by_cluster, by_queue) = (queue(query, "cluster_name")?, queue(query, "queue_name")?);
    // They mean the same, so no batch is in two of them.
    let nowhere = by_cluster.is_some() && by_queue.is_some() && by_cluster != by_queue;
    Ok(Filter {
        states: if nowhere { Some(StateSet::default()) } else { states(query)? },
        id: id(query)?,
        owner: text(query, &["owner"]),
        name: text(query, &["job_name", "job-name"]),
        queue: by_queue.or(by_cluster),
        created_from: number(query, "start", TIME)?.map(Millis),
        created_before: number(query, "end", TIME)?.map(Millis),
        ..Filter::default()
    })
}

fn queue(query: &Query, name: &'static str) -> Result<Option<String>> {
    let Some((_, value)) = given(query, &[name]) else { return Ok(None) };
    let read = names::queue(value);
    read.map(Some).ok_or_else(|| Error::invalid(name, format!("'{name}' must be {}", names::QUEUE_RULE)))
}

/// It may be no whole id: then no batch has it.
fn id(query: &Query) -> Result<Option<String>> {
    let Some((name, value)) = given(query, &["job-id", "job_id"]) else { return Ok(None) };
    if !value.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b'_')) {
        return Err(Error::invalid(name, format!("'{name}' must be a batch's id")));
    }
    Ok(Some(value.to_ascii_lowercase()))
}

fn states(query: &Query) -> Result<Option<StateSet>> {
    let Some((name, value)) = given(query, &["state"]) else { return Ok(None) };
    let states = state::states(value);
    states.map(Some).ok_or_else(|| Error::invalid(name, format!("'state' must be one of {}", state::words())))
}

fn order(query: &Query) -> Result<Order> {
    let (key, descending) = match given(query, &["order"]).map(|(_, value)| value) {
        None | Some("CREATE_TIME_DESC") => (SortKey::Created, true),
        Some("CREATE_TIME_ASC") => (SortKey::Created, false),
        Some("DURATION_DESC") => (SortKey::Duration, true),
        Some("DURATION_ASC") => (SortKey::Duration, false),
        Some(_) => {
            let words = "CREATE_TIME_DESC, CREATE_TIME_ASC, DURATION_DESC, DURATION_ASC";
            return Err(Error::invalid("order", format!("'order' must be one of {words}")));
        }
    };
    Ok(Order { key, descending })
}

/// Which lines are asked for. Without a beginning, or with a negative one, they are the last.
pub(crate) fn log(query: &Query) -> Result<LogQuery> {
    let size: u64 = number(query, "size", "a whole number of lines from 0")?.unwrap_or(DEFAULT_SIZE.into());
    let size = u32::try_from(size).unwrap_or(MOST_LINES).min(MOST_LINES);
    let from = number::<i64>(query, "from", "a whole number")?.and_then(|from| u64::try_from(from).ok());
    let lines = from.map_or(Lines::Tail(size), |from| Lines::From(from, size));
    Ok(LogQuery { lines, source: source(query)? })
}

/// An index alone asks for the driver's log, too.
fn source(query: &Query) -> Result<LogSource> {
    let index = number::<u32>(query, "index", "the number of a retry from 0")?;
    match (given(query, &["type"]).map(|(_, value)| value), index) {
        (None, None) => Ok(LogSource::Default),
        (None | Some("driver"), index) => Ok(LogSource::Driver { attempt: index.unwrap_or(0).saturating_add(1) }),
        (Some(_), _) => Err(Error::invalid("type", "'type' must be driver, or left out for the log of the submission")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> ListQuery {
        list(&Query::parse(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn without_parameters_the_newest_hundred_are_asked_for() {
        let newest = Order { key: SortKey::Created, descending: true };
        let wanted = ListQuery { order: newest, tails: true, ..ListQuery::default() };
        for text in ["", "state=&size=&from=&order=&owner=&x=1&queue_name", "job_name="] {
            assert_eq!(asked(text), wanted, "{text}");
        }
    }

    #[test]
    fn every_filter_is_read_in_every_spelling() {
        let filter = |text: &str| asked(text).filter;
        let named = Filter { name: Some("a b".into()), ..Filter::default() };
        for text in ["job_name=a+b", "job-name=a%20b", "job-name=x&job_name=a+b", "job_name=&job-name=a+b"] {
            assert_eq!(filter(text), named, "{text}");
        }
        let id = Filter { id: Some("5f0e-1".into()), ..Filter::default() };
        assert_eq!((filter("job-id=5F0E-1"), filter("job_id=5f0e-1")), (id.clone(), id));
        let queue = Filter { queue: Some("etl_q".into()), ..Filter::default() };
        for text in ["queue_name=ETL_q", "cluster_name=etl_Q", "cluster_name=ETL_Q&queue_name=etl_q"] {
            assert_eq!(filter(text), queue, "{text}");
        }
        let times = Filter { created_from: Some(Millis(1)), created_before: Some(Millis(2)), ..Filter::default() };
        assert_eq!(filter("start=1&end=2"), times);
        assert_eq!(filter("owner=lingua").owner.as_deref(), Some("lingua"));
        assert_eq!(filter("state=Dead").states, state::states("dead"));
        assert_eq!(filter("cluster_name=a&queue_name=b&state=dead").states, Some(StateSet::default()), "no such queue");
    }

    #[test]
    fn windows_and_orders_have_their_bounds() {
        let asked_for = asked("from=100&size=1000&order=DURATION_ASC");
        assert_eq!(asked_for.window, Window { from: 100, size: 1000 });
        assert_eq!(asked_for.order, Order { key: SortKey::Duration, descending: false });
        assert_eq!(asked("size=0").window.size, 0);
        for (text, field) in [
            ("size=1001", "size"),
            ("size=-1", "size"),
            ("size=%2B5", "size"),
            ("size=1e2", "size"),
            ("size=99999999999999999999", "size"),
            ("from=-1", "from"),
            ("from=x", "from"),
            ("state=killed", "state"),
            ("order=duration_asc", "order"),
            ("queue_name=_q", "queue_name"),
            ("queue_name=42", "queue_name"),
            ("cluster_name=a-b", "cluster_name"),
            ("job-id=xyz", "job-id"),
            ("job_id=xyz", "job_id"),
            ("start=now", "start"),
            ("end=1.5", "end"),
        ] {
            let error = list(&Query::parse(text)).expect_err(text);
            assert!(error.message.contains(&format!("'{field}'")), "{text}: {error}");
        }
    }

    #[test]
    fn logs_are_asked_for_from_their_end_or_by_their_lines() {
        let asked = |text: &str| {
            let LogQuery { lines, source } = log(&Query::parse(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
            (lines, source)
        };
        let driver = |attempt| LogSource::Driver { attempt };
        assert_eq!(asked(""), (Lines::Tail(100), LogSource::Default));
        assert_eq!(asked("from=-1&size=5"), (Lines::Tail(5), LogSource::Default));
        assert_eq!(asked("from=0"), (Lines::From(0, 100), LogSource::Default));
        assert_eq!(asked("from=7&size=1000000"), (Lines::From(7, MOST_LINES), LogSource::Default));
        assert_eq!(asked("size=0&type="), (Lines::Tail(0), LogSource::Default));
        assert_eq!(asked("type=driver").1, driver(1));
        assert_eq!(asked("index=2").1, driver(3));
        assert_eq!(asked("type=driver&index=0").1, driver(1));
        for text in ["from=x", "size=-1", "size=x", "type=yarn", "index=-1", "type=driver&index=x"] {
            log(&Query::parse(text)).expect_err(text);
        }
    }
}
