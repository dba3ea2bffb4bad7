//! What a request costs this proxy over a platform that costs nothing, beside nginx passing the same platform's bytes through in the same run;
//! what memory it takes to send on what is large; and how often a platform is asked where many poll.
//!
//! ```sh
//! cargo build --release && cargo run --release -p batchlingua-examples --example speed -- target/release/batchlingua
//! ```
//!
//! `examples/speed.sh` does that and installs Debian's nginx before it, if it is not there.
//!
//! Cost is processor time of the process, user and system, its own alone: programs that run beside it move the clock but not this. The two
//! take turns, a round each, with the same clients on kept connections. Polls are measured twice: `ask` where each of them asks the platform
//! (`freshness = "0s"`), which is what translating costs, and `share` as it is by default, where what was seen a moment ago serves again.
//! Submits are measured twice as well: one client after the other, where each pays for durable writes of its own, and 32 at once, who share
//! them. The exit code says whether every ratio, every growth of memory and every number of calls is within its bound.

mod memory;
mod nginx;
mod origin;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use batchlingua_examples::{
    Result,
    client::{Client, number_after, text_after},
    process::{Process, Proxy},
};

use nginx::Nginx;
use origin::{Kind, Origin, ROWS};

const CLIENTS: usize = 8;
/// Who submits at once: one by one, and as many as a busy scheduler.
const SUBMITTERS: [usize; 2] = [1, 32];
const ROUNDS: usize = 4;
const GETS: usize = 3_000;
const LISTS: usize = 400;
const SUBMITS: usize = 500;

/// What is measured, by the words that choose it.
const CALLS: [&str; 4] = ["state", "get", "list", "submit"];

/// Most that a request may cost, as a multiple of nginx's.
const GET_BOUND: f64 = 1.5;
const SUBMIT_BOUND: f64 = 3.0;
const LIST_BOUND: f64 = 2.0;

/// How a dialect says what is measured.
struct Voice {
    dialect: &'static str,
    accept: &'static str,
    get: fn(&str) -> String,
    /// The poll of those that have one for the state alone.
    state: Option<fn(&str) -> String>,
    list: &'static str,
    submit: Option<(&'static str, &'static str)>,
}

const KYUUBI: Voice = Voice {
    dialect: "kyuubi",
    accept: "*/*",
    get: |id| format!("/api/v1/batches/{id}"),
    state: None,
    list: "/api/v1/batches?from=0&size=100",
    submit: Some((
        "/api/v1/batches",
        r#"{"batchType":"PYSPARK","resource":"hdfs:///srv/job.py","className":"","name":"hello","args":["1"],"conf":{"spark.x":"y","spark.executor.memory":"2g"}}"#,
    )),
};
const LIVY: Voice = Voice {
    dialect: "livy",
    accept: "*/*",
    get: |id| format!("/batches/{id}"),
    state: Some(|id| format!("/batches/{id}/state")),
    list: "/batches?from=0&size=100",
    submit: Some((
        "/batches",
        r#"{"file":"hdfs:///srv/job.py","args":["1"],"conf":{"spark.x":"y"},"executorMemory":"2g"}"#,
    )),
};
const DLI: Voice = Voice {
    dialect: "dli",
    accept: "*/*",
    get: |id| format!("/v2.0/p1/batches/{id}"),
    state: Some(|id| format!("/v2.0/p1/batches/{id}/state")),
    list: "/v2.0/p1/batches?from=0&size=100",
    submit: Some((
        "/v2.0/p1/batches",
        r#"{"file":"obs://bucket/job.py","queue":"q1","name":"hello","args":["1"],"conf":{"spark.x":"y"}}"#,
    )),
};
const KYLIN: Voice = Voice {
    dialect: "kylin",
    accept: "application/vnd.apache.kylin-v2+json",
    get: |id| format!("/kylin/api/jobs/{id}"),
    state: None,
    list: "/kylin/api/jobs?timeFilter=4&pageSize=100",
    submit: None,
};

/// How long what was seen serves again: not at all, and as long as by default.
const FRESHNESS: [(&str, &str); 2] = [("ask", "freshness = \"0s\"\n"), ("share", "")];

/// What a DLI needs beside its address, and where it finds what other dialects' clients name.
const DLI_SETTINGS: &str =
    "project_id = \"p1\"\nqueue = \"q1\"\npaths = { \"hdfs:///srv/\" = \"obs://bucket/srv/\" }\n";

/// A platform and the dialects that are measured over it.
struct Pairing {
    kind: Kind,
    native: &'static Voice,
    settings: &'static str,
    fronts: &'static [&'static Voice],
}

const PAIRINGS: [Pairing; 3] = [
    Pairing { kind: Kind::Kyuubi, native: &KYUUBI, settings: "", fronts: &[&LIVY, &DLI, &KYLIN, &KYUUBI] },
    Pairing { kind: Kind::Livy, native: &LIVY, settings: "", fronts: &[&KYUUBI, &DLI, &LIVY] },
    Pairing { kind: Kind::Dli, native: &DLI, settings: DLI_SETTINGS, fronts: &[&LIVY, &KYUUBI, &DLI] },
];

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let binary = args.next().map_or_else(|| PathBuf::from("target/release/batchlingua"), PathBuf::from);
    let binary = fs::canonicalize(&binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    let words: Vec<String> = args.filter_map(|arg| arg.into_string().ok()).collect();
    let chosen = |of: &[&str]| words.iter().filter(|word| of.contains(&word.as_str())).cloned().collect::<Vec<_>>();
    let (what, calls) = (chosen(&["kyuubi", "livy", "dli", "memory", "watch"]), chosen(&CALLS));
    let is_wanted = |name: &str| what.is_empty() || what.iter().any(|word| word == name);
    let mut faults = Vec::new();
    println!(
        "{:<12} {:<18} {:>12} {:>12} {:>8} {:>8}",
        "call", "client → platform", "proxy µs", "nginx µs", "ratio", "bound"
    );
    for pairing in PAIRINGS.iter().filter(|pairing| is_wanted(pairing.native.dialect)) {
        pairing.measure(&binary, &calls, &mut faults)?;
    }
    if is_wanted("memory") {
        memory::measure(&binary, &mut faults)?;
    }
    if is_wanted("watch") {
        watch::measure(&binary, &mut faults)?;
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("above the bound: {}", faults.join("; ")).into()),
    }
}

/// A configuration over a platform at this address, with a ledger on disk.
fn config(dir: &Path, kind: &str, address: &str, settings: &str) -> String {
    let dir = dir.display();
    format!(
        "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [ledger]\nurl = \"sqlite://{dir}/ledger.db\"\n[limits]\nupload_dir = \"{dir}/uploads\"\n\
         [backend.there]\nkind = \"{kind}\"\nurl = \"http://{address}\"\n{settings}[log]\nlevel = \"warn\"\n"
    )
}

/// One request, again and again.
struct Load<'a> {
    method: &'static str,
    accept: &'static str,
    paths: &'a [String],
    body: &'static str,
    count: usize,
    clients: usize,
}

impl Pairing {
    fn measure(&self, binary: &Path, calls: &[String], faults: &mut Vec<String>) -> Result<()> {
        for front in self.fronts {
            for (way, freshness) in FRESHNESS {
                let is_wanted = |call: &str| calls.is_empty() || calls.iter().any(|wanted| wanted == call);
                // What is no poll is the same either way.
                let is_measured = |call: &str| way == "ask" || matches!(call, "state" | "get");
                let measured: Vec<&str> =
                    CALLS.into_iter().filter(|call| is_wanted(call) && is_measured(call)).collect();
                if !measured.is_empty() {
                    self.measure_front(front, binary, (way, freshness), &measured, faults)?;
                }
            }
        }
        Ok(())
    }

    /// Each front with everything anew: what one has submitted is no burden to the next.
    fn measure_front(
        &self,
        front: &Voice,
        binary: &Path,
        (way, freshness): (&str, &str),
        calls: &[&str],
        faults: &mut Vec<String>,
    ) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let behind_nginx = tempfile::tempdir()?;
        let origin = Origin::start(self.kind, 100, ROWS)?;
        let native = self.native;
        let settings = format!("{freshness}{}", self.settings);
        let config = config(dir.path(), native.dialect, &origin.address, &settings);
        let proxy = Proxy::start(binary, dir.path(), &config)?;
        let nginx = Nginx::start(behind_nginx.path(), &origin.address)?;

        // The rows of the list; by the platform's own dialect, so that every front shows all of them.
        let by = if front.submit.is_some() { front } else { native };
        let (path, body) = by.submit.expect("the platforms that are measured take batches");
        let mut client = Client::connect(&proxy.address)?;
        let mut ids = Vec::new();
        for _ in 0..ROWS {
            let (status, answer) = client.call("POST", path, body)?;
            if status / 100 != 2 {
                return Err(format!("a submit was answered {status}: {answer}").into());
            }
            ids.push(id_of(&answer).ok_or_else(|| format!("no id in {answer}"))?);
        }
        let natives = native_ids(&mut Client::connect(&origin.address)?, native)?;
        let pair = format!("{} → {}", front.dialect, native.dialect);
        let mut tell = |call: &str, bound: f64, here: Load<'_>, there: Load<'_>| -> Result<()> {
            if !calls.contains(&call) {
                return Ok(());
            }
            let call = match call {
                "state" | "get" => format!("{call} {way}"),
                "submit" => format!("{call} {}", here.clients),
                _ => call.to_owned(),
            };
            let [proxy, nginx] =
                costs((&proxy.process, &proxy.address, &here), (&nginx.process, &nginx.address, &there))?;
            let ratio = proxy / nginx;
            println!("{call:<12} {pair:<18} {proxy:>12.1} {nginx:>12.1} {ratio:>8.2} {bound:>8.1}");
            if ratio > bound {
                faults.push(format!("{call} {pair}: {ratio:.2} > {bound}"));
            }
            Ok(())
        };
        let paths = |get: fn(&str) -> String, ids: &[String]| ids.iter().map(|id| get(id)).collect::<Vec<_>>();
        let load = |voice: &Voice, paths| Load {
            method: "GET",
            accept: voice.accept,
            paths,
            body: "",
            count: GETS,
            clients: CLIENTS,
        };
        // Where there is one for the state alone, it is what clients poll by.
        let state = front.state.map(|state| (paths(state, &ids), paths(native.state.unwrap_or(native.get), &natives)));
        if let Some((here, there)) = &state {
            tell("state", GET_BOUND, load(front, here), load(native, there))?;
        }
        let (here, there) = (paths(front.get, &ids), paths(native.get, &natives));
        tell("get", GET_BOUND, load(front, &here), load(native, &there))?;
        let (here, there) = ([front.list.to_owned()], [native.list.to_owned()]);
        // What costs little is done more often, since time is counted in hundredths of a second.
        let list = Load { count: LISTS, ..load(front, &here) };
        tell("list", LIST_BOUND, list, load(native, &there))?;
        if let (Some((here, body)), Some((there, native_body))) = (front.submit, native.submit) {
            let (here, there) = ([here.to_owned()], [there.to_owned()]);
            for clients in SUBMITTERS {
                let submit = |paths, body, count| Load { method: "POST", accept: "*/*", paths, body, count, clients };
                tell("submit", SUBMIT_BOUND, submit(&here, body, SUBMITS), submit(&there, native_body, GETS))?;
            }
        }
        Ok(())
    }
}

/// The ids that the platform itself shows.
fn native_ids(client: &mut Client, native: &Voice) -> Result<Vec<String>> {
    let (_, listed) = client.call("GET", native.list, "")?;
    Ok(listed.split("{\"id\":").skip(1).filter_map(|row| id_of(&format!("{{\"id\":{row}"))).collect())
}

/// The id of an object: a text or an integer.
fn id_of(object: &str) -> Option<String> {
    let text = text_after(object, "\"id\":\"").map(str::to_owned);
    text.or_else(|| number_after(object, "\"id\":").map(|number| number.to_string()))
}

type Side<'a> = (&'a Process, &'a str, &'a Load<'a>);

/// What one request costs either of them, in microseconds.
fn costs(here: Side<'_>, there: Side<'_>) -> Result<[f64; 2]> {
    let mut spent = [0.0; 2];
    // The first is for connections, caches and pages that are only made once.
    for round in 0..=ROUNDS {
        for (at, (process, address, load)) in [here, there].into_iter().enumerate() {
            let before = process.processor_seconds()?;
            load.run(address)?;
            if round > 0 {
                spent[at] += process.processor_seconds()? - before;
            }
        }
    }
    let counts = [here.2.count, there.2.count];
    Ok([0, 1].map(|at| spent[at] * 1e6 / (counts[at] * ROUNDS) as f64))
}

impl Load<'_> {
    fn run(&self, address: &str) -> Result<()> {
        thread::scope(|scope| {
            let client = |worker: usize| {
                let mut client = Client::connect(address)?;
                for at in (worker..self.count).step_by(self.clients) {
                    let path = &self.paths[at % self.paths.len()];
                    let (status, answer) = client.call_accepting(self.method, path, self.accept, self.body)?;
                    if status / 100 != 2 {
                        return Err(format!("{} {path} was answered {status}: {answer}", self.method).into());
                    }
                }
                Ok(())
            };
            let clients: Vec<_> = (0..self.clients).map(|worker| scope.spawn(move || client(worker))).collect();
            clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
        })
    }
}
