//! Lists: three faces ask for one thing in three ways.
//!
//! Pages are counted by v4 and v2, rows by the legacy face. What no batch can match (another kind of job, a status that no batch has) is an
//! empty page and no mistake.

use batchlingua_core::{
    BatchState, ExtensionFilter, Filter, ListQuery, Millis, Order, SortKey, StateSet, Uuid, Window,
};
use batchlingua_wire::Query;

use crate::{
    FrontSettings, NAME,
    convert::JOB_NAME,
    error::{BAD_PARAMETER, BAD_STATUS, Code, NEGATIVE, Refusal},
    face::Face,
    period::Period,
    query::Parameters,
    state::Status,
};

/// Most rows of a page.
const MOST: i32 = 10_000;

/// What the number of a page and its size are called.
const V4_PAGE: (&str, &str) = ("page_offset", "page_size");
const V2_PAGE: (&str, &str) = ("pageOffset", "pageSize");

/// Whose codes the legacy face's `timeFilter` is in: they moved by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyVersion {
    Two,
    ThreeOrFour,
}

/// Which jobs a client asks for.
pub(crate) fn read(face: Face, query: &Query, settings: &FrontSettings, now: Millis) -> Result<ListQuery, Refusal> {
    let parameters = Parameters(query);
    match face {
        Face::V4 => v4(parameters, settings, now),
        Face::V2 => v2(parameters, settings, now),
        // Nearly every mistake is HTTP 500 there.
        Face::Legacy => legacy(parameters, settings, now).map_err(|refusal| refusal.with_status(500)),
    }
}

/// The page that is echoed: number and size.
pub(crate) fn page(face: Face, query: &Query) -> Result<(i32, i32), Refusal> {
    let (number, size) = match face {
        Face::V4 => V4_PAGE,
        Face::V2 | Face::Legacy => V2_PAGE,
    };
    let parameters = Parameters(query);
    Ok((parameters.int(number)?.unwrap_or(0), parameters.int(size)?.unwrap_or(10)))
}

fn v4(parameters: Parameters<'_>, settings: &FrontSettings, now: Millis) -> Result<ListQuery, Refusal> {
    let time_filter = parameters.required_int("time_filter")?;
    let page = page(Face::V4, parameters.0)?;
    let descending = parameters.flag("reverse", true)?;
    let statuses = statuses(&parameters.texts("statuses"))?;
    let key = sort_key("sort_by", &parameters.text("sort_by").unwrap_or_default())?;
    let modified_from = period("time_filter", time_filter)?.since(now);
    let window = pages(page, V4_PAGE, (400, BAD_PARAMETER))?;
    let filter = Filter {
        states: statuses,
        extension: of_kind(settings, parameters.texts("job_names")),
        program: parameters.given("subject"),
        modified_from,
        ..keyed(parameters.given("key"))
    };
    Ok(ListQuery { filter, order: Order { key, descending }, window, tails: false })
}

fn v2(parameters: Parameters<'_>, settings: &FrontSettings, now: Millis) -> Result<ListQuery, Refusal> {
    let time_filter = parameters.required_int("timeFilter")?;
    let codes = parameters.ints("status")?;
    let page = page(Face::V2, parameters.0)?;
    let descending = parameters.flag("reverse", true)?;
    let statuses = of_codes(&codes)?;
    let sort_by = parameters.text("sortby").filter(|key| !key.is_empty() && key != "last_modify");
    let sort_by = sort_by.or_else(|| parameters.text("sortBy")).unwrap_or_default();
    let key = sort_key("sortBy", &sort_by)?;
    let modified_from = period("timeFilter", time_filter)?.since(now);
    let window = pages(page, V2_PAGE, (500, NEGATIVE))?;
    let filter = Filter {
        states: statuses,
        extension: of_kind(settings, parameters.text("jobName").into_iter().collect()),
        modified_from,
        ..keyed(parameters.given("key"))
    };
    Ok(ListQuery { filter, order: Order { key, descending }, window, tails: false })
}

fn legacy(parameters: Parameters<'_>, settings: &FrontSettings, now: Millis) -> Result<ListQuery, Refusal> {
    let statuses = of_codes(&parameters.ints("status")?)?;
    let time_filter = parameters.int("timeFilter")?.map(|code| legacy_period(settings.legacy_version, code));
    let modified_from = time_filter.transpose()?.and_then(|period| period.since(now));
    let rows = |name: &str, default: i32| {
        let count = parameters.int(name)?.unwrap_or(default);
        let refusal = || Refusal::new(500, Code::None, name, format!("'{name}' must not be negative, and is {count}"));
        u64::try_from(count).map_err(|_| refusal())
    };
    let window = Window { from: rows("offset", 0)?, size: rows("limit", 30)? };
    bounded("limit", window.size)?;
    // Batches are what it calls cubing; of the other kinds there are none.
    let is_other_kind =
        |mode: String| matches!(mode.as_str(), "CHECKPOINT_ONLY" | "TABLE_SAMPLING" | "CARDINALITY_ONLY");
    let is_none = parameters.text("jobSearchMode").is_some_and(is_other_kind);
    let filter = Filter {
        states: narrowed(statuses, !is_none),
        contains: parameters.given("cubeName"),
        modified_from,
        ..Filter::default()
    };
    let order = Order { key: SortKey::Modified, descending: true };
    Ok(ListQuery { filter, order, window, tails: false })
}

/// `refused`: what is said of a size that is negative.
fn pages(page: (i32, i32), names: (&str, &str), refused: (u16, Code)) -> Result<Window, Refusal> {
    let not_negative = |name: &str, value: i32, (status, code): (u16, Code)| {
        let refusal = || Refusal::new(status, code, name, format!("'{name}' must not be negative, and is {value}"));
        u64::try_from(value).map_err(|_| refusal())
    };
    let size = not_negative(names.1, page.1, refused)?;
    let number = not_negative(names.0, page.0, (500, Code::None))?;
    bounded(names.1, size)?;
    Ok(Window { from: number * size, size })
}

fn bounded(name: &str, size: u64) -> Result<(), Refusal> {
    if size <= u64::from(MOST.unsigned_abs()) {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        BAD_PARAMETER,
        name,
        format!("'{name}' must be at most {MOST}: ask for the next page for more"),
    ))
}

/// The states of status names. `None`: all.
pub(crate) fn statuses(names: &[String]) -> Result<Option<StateSet>, Refusal> {
    let read = |name: &String| Status::of_name(name).ok_or_else(|| bad_status("statuses", name));
    states_of(names.iter().map(read).collect::<Result<_, _>>()?)
}

fn of_codes(codes: &[i32]) -> Result<Option<StateSet>, Refusal> {
    let read = |code: &i32| Status::of_code(*code).ok_or_else(|| bad_status("status", &code.to_string()));
    states_of(codes.iter().map(read).collect::<Result<_, _>>()?)
}

pub(crate) fn bad_status(field: &str, given: &str) -> Refusal {
    let text = format!(
        "'{given}' in '{field}' is no status of a job: PENDING, RUNNING, FINISHED, ERROR, DISCARDED or STOPPED"
    );
    Refusal::new(500, BAD_STATUS, field, text)
}

fn states_of(statuses: Vec<Status>) -> Result<Option<StateSet>, Refusal> {
    let mut states: Vec<BatchState> = Vec::new();
    for status in &statuses {
        let text = || format!("jobs cannot be looked for by the status {}", status.name());
        let of = status.states().ok_or_else(|| Refusal::new(500, BAD_PARAMETER, "statuses", text()))?;
        states.extend(of);
    }
    Ok((!statuses.is_empty()).then(|| states.into_iter().collect()))
}

/// Jobs of these kinds: a batch that is no Kylin's own job is of the one that is configured for all of them.
fn of_kind(settings: &FrontSettings, job_names: Vec<String>) -> Option<ExtensionFilter> {
    if job_names.is_empty() {
        return None;
    }
    let or_none = job_names.contains(&settings.job_name);
    let values = job_names.iter().map(|name| serde_json::Value::from(name.as_str()).to_string()).collect();
    Some(ExtensionFilter { dialect: NAME.into(), name: JOB_NAME.to_owned(), values, or_none })
}

fn narrowed(states: Option<StateSet>, any: bool) -> Option<StateSet> {
    if any { states } else { Some(StateSet::default()) }
}

fn sort_key(name: &str, given: &str) -> Result<SortKey, Refusal> {
    Ok(match given {
        "" | "last_modified" => SortKey::Modified,
        "duration" => SortKey::Duration,
        "total_duration" => SortKey::Lifetime,
        "target_subject" => SortKey::Title,
        // All batches have one job name, and Kylin takes the status without sorting by it.
        "job_name" | "job_status" | "create_time" => SortKey::Created,
        "project" => SortKey::Project,
        "id" => SortKey::Id,
        _ => {
            let text = format!(
                "'{name}' must be one of last_modified, duration, total_duration, target_subject, job_name, job_status, \
                 project, create_time, id, not '{given}'"
            );
            return Err(Refusal::new(500, BAD_PARAMETER, name, text));
        }
    })
}

fn period(name: &str, code: i32) -> Result<Period, Refusal> {
    Ok(match code {
        0 => Period::Day,
        1 => Period::Week,
        2 => Period::Month,
        3 => Period::Year,
        4 => Period::All,
        _ => return Err(bad_period(name, code, "0 (a day), 1 (a week), 2 (a month), 3 (a year) or 4 (all)")),
    })
}

fn legacy_period(version: LegacyVersion, code: i32) -> Result<Period, Refusal> {
    let known = "0 (today), 1 (a day), 2 (a week), 3 (a month), 4 (a year) or 5 (all)";
    match (version, code) {
        (LegacyVersion::Two, code) => period("timeFilter", code),
        (LegacyVersion::ThreeOrFour, 0) => Ok(Period::Today),
        (LegacyVersion::ThreeOrFour, 1..=5) => period("timeFilter", code - 1),
        (LegacyVersion::ThreeOrFour, code) => Err(bad_period("timeFilter", code, known)),
    }
}

fn bad_period(name: &str, code: i32, known: &str) -> Refusal {
    Refusal::new(500, Code::None, name, format!("'{name}' must be {known}, not {code}"))
}

/// What a client looks for. A whole id is that of one job: kylinpy follows a job so, takes the first row without a look at its id, and would
/// be shown another job that has the id in its name. It is found by an index, where a text has to be looked for in every row.
fn keyed(key: Option<String>) -> Filter {
    let key = key.map(|key| key.trim().to_owned());
    let is_id = |key: &String| key.len() == 36 && key.parse::<Uuid>().is_ok();
    match key {
        Some(id) if is_id(&id) => Filter { id: Some(id), ..Filter::default() },
        contains => Filter { contains, ..Filter::default() },
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_wire::Settings;
    use serde_json::json;

    use super::*;

    const NOW: Millis = Millis(1_711_886_400_000);

    fn asked(face: Face, query: &str) -> Result<ListQuery, Refusal> {
        let settings = FrontSettings::read(Settings::new("dialect.kylin", json!({}))).expect("defaults");
        read(face, &Query::parse(query), &settings, NOW)
    }

    #[test]
    fn every_sort_key_of_kylin_is_one_of_the_models() {
        for (given, key) in [
            ("last_modified", SortKey::Modified),
            ("duration", SortKey::Duration),
            ("total_duration", SortKey::Lifetime),
            ("target_subject", SortKey::Title),
            ("job_name", SortKey::Created),
            ("job_status", SortKey::Created),
            ("project", SortKey::Project),
            ("create_time", SortKey::Created),
            ("id", SortKey::Id),
            ("", SortKey::Modified),
        ] {
            let asked = asked(Face::V4, &format!("time_filter=4&sort_by={given}&reverse=no")).expect("a list");
            assert_eq!(asked.order, Order { key, descending: false }, "{given}");
        }
        let v2 = |query: &str| asked(Face::V2, &format!("timeFilter=4&{query}")).expect("a list").order.key;
        assert_eq!(v2("sortBy=duration&sortby=project"), SortKey::Project);
        assert_eq!(v2("sortBy=duration&sortby=last_modify"), SortKey::Duration);
    }

    #[test]
    fn pages_are_counted_by_pages_and_by_rows() {
        let window = |face, query: &str| asked(face, query).expect("a list").window;
        assert_eq!(window(Face::V4, "time_filter=4"), Window { from: 0, size: 10 });
        assert_eq!(window(Face::V4, "time_filter=4&page_offset=2&page_size=7"), Window { from: 14, size: 7 });
        assert_eq!(window(Face::V4, "time_filter=4&page_offset=2147483647&page_size=10000").from, 21_474_836_470_000);
        assert_eq!(window(Face::V2, "timeFilter=4&pageOffset=2&pageSize=0"), Window { from: 0, size: 0 });
        assert_eq!(window(Face::Legacy, ""), Window { from: 0, size: 30 });
        assert_eq!(window(Face::Legacy, "offset=7&limit=15"), Window { from: 7, size: 15 });
        for (face, query) in [
            (Face::V4, "time_filter=4&page_size=10001"),
            (Face::V4, "time_filter=4&page_offset=-1"),
            (Face::V2, "timeFilter=4&pageSize=-1"),
            (Face::Legacy, "limit=-1"),
            (Face::Legacy, "offset=x"),
        ] {
            assert!(asked(face, query).is_err(), "{query}");
        }
    }

    #[test]
    fn what_no_batch_can_match_finds_nothing() {
        let states = |face, query: &str| asked(face, query).expect("a list").filter.states;
        let none = Some(StateSet::default());
        assert_eq!(states(Face::V4, "time_filter=4&statuses="), None);
        assert_eq!(states(Face::V4, "time_filter=4&statuses=NEW"), none);
        assert_eq!(states(Face::Legacy, "jobSearchMode=CHECKPOINT_ONLY"), none);
        assert_eq!(states(Face::Legacy, "jobSearchMode=ALL"), None);
        assert_eq!(states(Face::V2, "timeFilter=4&status=8&status=32").map(|set| set.iter().count()), Some(3));
        assert!(asked(Face::V4, "time_filter=4&statuses=STARTING").is_err());
        assert!(asked(Face::V2, "timeFilter=4&status=3").is_err());
    }

    /// A Kylin's own jobs have kinds, and all other batches have one between them.
    #[test]
    fn kinds_of_jobs_are_looked_for_by_their_names() {
        let kinds = |face, query: &str| {
            let wanted = asked(face, query).expect("a list").filter.extension;
            wanted.map(|wanted| (wanted.values.join(" "), wanted.or_none))
        };
        assert_eq!(kinds(Face::V4, "time_filter=4"), None);
        let two = Some((r#""INC_BUILD" "INDEX_BUILD""#.to_owned(), false));
        assert_eq!(kinds(Face::V4, "time_filter=4&job_names=INC_BUILD,INDEX_BUILD"), two);
        let with_ours = Some((r#""INC_BUILD" "SPARK_BATCH""#.to_owned(), true));
        assert_eq!(kinds(Face::V4, "time_filter=4&job_names=INC_BUILD,SPARK_BATCH"), with_ours);
        assert_eq!(
            kinds(Face::V2, "timeFilter=4&jobName="),
            Some((r#""""#.to_owned(), false)),
            "it matches nothing there"
        );
    }

    #[test]
    fn the_legacy_time_codes_are_those_of_the_version() {
        let since = |version, code| legacy_period(version, code).ok().map(|period| period.since(NOW));
        assert_eq!(since(LegacyVersion::Two, 4), Some(None));
        assert_eq!(since(LegacyVersion::ThreeOrFour, 4), Some(Period::Year.since(NOW)));
        assert_eq!(since(LegacyVersion::ThreeOrFour, 0), Some(Period::Today.since(NOW)));
        assert_eq!(since(LegacyVersion::ThreeOrFour, 5), Some(None));
        assert_eq!((since(LegacyVersion::Two, 5), since(LegacyVersion::ThreeOrFour, 6)), (None, None));
    }
}
