//! The table at the end of a soak.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use batchlingua_testkit::faults::Platform;

use crate::{
    audit::{Audit, Kind, Shown, Told, Truth, Verdict, Violation},
    client::Counts,
    fleet::Disturbed,
    front::What,
};

/// Of so many batches all that is known is printed.
const SHOWN: usize = 8;

/// All that there is to say.
pub(crate) struct Report<'a> {
    pub(crate) what: What,
    pub(crate) seed: u64,
    pub(crate) disturbed: Disturbed,
    pub(crate) took: Duration,
    pub(crate) told: &'a [Told],
    pub(crate) truths: &'a HashMap<String, Vec<Truth>>,
    pub(crate) counts: &'a Counts,
    pub(crate) audit: &'a Audit,
    pub(crate) platforms: &'a [Platform],
    /// What the proxy itself calls open.
    pub(crate) open: Option<usize>,
}

impl Report<'_> {
    pub(crate) fn print(&self, markdown: bool) {
        let title = self.what.title();
        let rows = self.rows();
        if markdown {
            println!("| {title}, seed {} | |\n|---|---|", self.seed);
            rows.iter().for_each(|(name, value)| println!("| {name} | {value} |"));
        } else {
            println!("{title}, seed {}", self.seed);
            rows.iter().for_each(|(name, value)| println!("{name:<64} {value:>12}"));
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let verdicts = |verdict: Verdict| self.told.iter().filter(|told| told.verdict == verdict).count().to_string();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
        let counts = self.counts;
        let unknown = self.told.iter().flat_map(|told| &told.sights);
        let unknown = unknown.filter(|seen| seen.iter().any(|sight| sight.shown == Shown::Unknown)).count();
        let (audit, disturbed, oldest) = (self.audit, self.disturbed, self.audit.older.iter().max());
        let lost = self.truths.values().flatten().filter(|truth| truth.is_lost()).count();
        let jobs: usize = self.truths.values().map(Vec::len).sum();
        let mut rows = vec![
            ("intents of clients".to_owned(), self.told.len().to_string()),
            ("jobs that really ran".to_owned(), jobs.to_string()),
            ("accepted".to_owned(), verdicts(Verdict::Accepted)),
            ("refused at last".to_owned(), verdicts(Verdict::Refused)),
            ("no outcome known to the client that does not ask again".to_owned(), verdicts(Verdict::Open)),
            ("single refusals".to_owned(), read(&counts.refusals)),
            ("submits without any answer".to_owned(), read(&counts.unanswered)),
            ("answers \"unknown outcome\"".to_owned(), read(&counts.unknown)),
            ("– looked for under its id: accepted".to_owned(), read(&counts.found_accepted)),
            ("– looked for under its id: failed".to_owned(), read(&counts.found_failed)),
            ("– looked for under its id: still open".to_owned(), read(&counts.still_open)),
            ("– sent again with its key, name or id: accepted".to_owned(), read(&counts.found_by_retry)),
            ("open in the ledger at the end".to_owned(), self.open.map_or("–".to_owned(), |open| open.to_string())),
            ("batches shown as ended in a way that nobody knows".to_owned(), unknown.to_string()),
            ("batches whose end no client saw within its patience".to_owned(), read(&counts.without_end)),
            ("jobs that their platform forgot before their end".to_owned(), lost.to_string()),
            (
                "– made again, their submit's outcome not known by then".to_owned(),
                audit.again_after_amnesia.to_string(),
            ),
            ("– told as refused, the same".to_owned(), audit.refused_after_amnesia.to_string()),
            ("polls that were older than another replica's before".to_owned(), audit.older.len().to_string()),
            (
                "– the oldest, by how many ms".to_owned(),
                oldest.map_or("–".to_owned(), |age| age.as_millis().to_string()),
            ),
            ("kill -9".to_owned(), disturbed.kills.to_string()),
            ("restarts by SIGTERM".to_owned(), disturbed.terms.to_string()),
            ("the database stopped".to_owned(), disturbed.database_stops.to_string()),
            ("the database crashed".to_owned(), disturbed.database_crashes.to_string()),
            ("seconds".to_owned(), self.took.as_secs().to_string()),
        ];
        let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
        for (fault, times) in self.platforms.iter().flat_map(Platform::faults) {
            *faults.entry(fault.word()).or_default() += times;
        }
        rows.extend(faults.into_iter().map(|(word, times)| (format!("fault: {word}"), times.to_string())));
        rows.extend(Kind::ALL.map(|kind| {
            let found: HashSet<&str> =
                audit.violations.iter().filter(|one| one.kind == kind).map(|one| one.label.as_str()).collect();
            (format!("**{}**", kind.word()), format!("**{}**", found.len()))
        }));
        rows
    }
}

/// All that is known of the batches that something is wrong with, from both sides, in the order of time.
pub(crate) fn histories(
    violations: &[Violation],
    clients: &HashMap<String, Vec<(Instant, String)>>,
    platforms: &[Platform],
    began: Instant,
) {
    let mut shown = HashSet::new();
    for violation in violations {
        println!("{violation}");
        if shown.len() >= SHOWN || !shown.insert(&violation.label) {
            continue;
        }
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let by_client = clients.get(&violation.label).into_iter().flatten();
        lines.extend(by_client.map(|(at, what)| (*at, format!("client    {what}"))));
        for platform in platforms {
            let told = platform.history(&violation.label).into_iter();
            lines.extend(told.map(|(at, what)| (at, format!("platform  {what}"))));
        }
        lines.sort_by_key(|(at, _)| *at);
        for (at, line) in lines {
            println!("  {:>9.3} {line}", at.saturating_duration_since(began).as_secs_f64());
        }
    }
}
