//! What is counted, and how it is told to Prometheus.
//!
//! A label is only ever a word of a set that the configuration bounds: a listener, a backend, a dialect, the name of a route. What a client
//! sends, such as a user, a path or an id, never becomes one; an operation that is not in the set is counted as `other`.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Action, BackendName, BatchState, ListenerName, Phase};
use batchlingua_router::{BackendView, CircuitState, OpenSubmit};
use batchlingua_wire::Dialect;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::listener::ConnectionObserver;

/// What a scrape is told that it gets.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a poll that is answered from memory to a submit that waits for its backend, in seconds.
const BUCKETS: [f64; 13] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

type Timed<L> = Family<L, Histogram, fn() -> Histogram>;

/// All counters of a process.
pub struct Metrics {
    registry: Registry,
    words: Words,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Timed<OperationLabels>,
    calls: Family<CallOutcomeLabels, Counter>,
    call_seconds: Timed<CallLabels>,
    connections_open: Family<ListenerLabels, Gauge>,
    connections: Family<ListenerLabels, Counter>,
    phases: Family<PhaseLabels, Counter>,
    states: Family<StateLabels, Counter>,
    refused_logins: Family<RefusedLabels, Counter>,
    open_submits: Family<OpenLabels, Gauge>,
    circuits: Family<CircuitLabels, Gauge>,
    ledger_up: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    dialect: &'static str,
    operation: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    dialect: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallOutcomeLabels {
    backend: Backend,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    backend: Backend,
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    listener: Arc<str>,
    dialect: &'static str,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    backend: Backend,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenLabels {
    backend: Backend,
    whereabouts: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitLabels {
    backend: Backend,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    backend: Backend,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Backend(BackendName);

impl EncodeLabelValue for Backend {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

/// The words that may become labels. They live as long as the program does, so that counting allocates nothing.
struct Words {
    dialects: Vec<&'static str>,
    operations: Vec<&'static str>,
}

impl Words {
    fn of(dialects: &[Arc<dyn Dialect>]) -> Self {
        let actions =
            [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget, Action::CancelAndForget];
        let mut operations = vec!["submit", "state", "get", "steps", "list", "log", "unmatched"];
        operations.extend(actions.map(Action::as_str));
        operations.extend(dialects.iter().flat_map(|dialect| dialect.routes()).map(|route| route.name));
        operations.sort_unstable();
        operations.dedup();
        let names = crate::adapters::ADAPTERS.iter().filter(|adapter| adapter.dialect.is_some());
        let mut dialects: Vec<_> = names.map(|adapter| adapter.name).collect();
        dialects.push("none");
        Self { dialects, operations }
    }

    fn dialect(&self, word: &str) -> &'static str {
        self.dialects.iter().find(|known| **known == word).copied().unwrap_or("other")
    }

    fn operation(&self, word: &str) -> &'static str {
        self.operations.binary_search(&word).map_or("other", |at| self.operations[at])
    }
}

fn timed<L: Clone + Eq + std::hash::Hash>() -> Timed<L> {
    Family::new_with_constructor(|| Histogram::new(BUCKETS))
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(dialects: &[Arc<dyn Dialect>]) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("batchlingua"),
            words: Words::of(dialects),
            requests: Family::default(),
            request_seconds: timed(),
            calls: Family::default(),
            call_seconds: timed(),
            connections_open: Family::default(),
            connections: Family::default(),
            phases: Family::default(),
            states: Family::default(),
            refused_logins: Family::default(),
            open_submits: Family::default(),
            circuits: Family::default(),
            ledger_up: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("requests", "Requests answered", self.requests.clone());
        r.register_with_unit(
            "request",
            "From a request's head to its answer's",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        r.register("upstream_calls", "Calls of backends; the outcome is ok or the kind of error", self.calls.clone());
        r.register_with_unit(
            "upstream_call",
            "How long a call of a backend took",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        r.register("connections_open", "Connections that are open", self.connections_open.clone());
        r.register("connections", "Connections accepted", self.connections.clone());
        r.register("submit_phases", "Submits that have come so far", self.phases.clone());
        r.register("batch_states", "Batches seen to change to this state", self.states.clone());
        r.register("refused_logins", "Requests whose sender was not believed", self.refused_logins.clone());
        r.register(
            "open_submits",
            "Submits without an outcome, by where they stand; those left_to_people wait for an operator",
            self.open_submits.clone(),
        );
        r.register(
            "backend_circuit",
            "1 for the state in which a backend's circuit is: closed, half_open or open (it does not answer and is only probed)",
            self.circuits.clone(),
        );
        r.register("ledger_up", "Whether the ledger takes writes", self.ledger_up.clone());
    }

    /// A request was answered.
    pub fn request(&self, dialect: &str, operation: &str, status: u16, duration: Duration) {
        let (dialect, operation) = (self.words.dialect(dialect), self.words.operation(operation));
        self.requests.get_or_create(&RequestLabels { dialect, operation, status }).inc();
        self.request_seconds.get_or_create(&OperationLabels { dialect, operation }).observe(duration.as_secs_f64());
    }

    /// A backend was called.
    pub fn call(&self, backend: &BackendName, call: &'static str, outcome: &'static str, duration: Duration) {
        let backend = Backend(backend.clone());
        self.calls.get_or_create(&CallOutcomeLabels { backend: backend.clone(), call, outcome }).inc();
        self.call_seconds.get_or_create(&CallLabels { backend, call }).observe(duration.as_secs_f64());
    }

    /// A submit has come so far.
    pub fn phase(&self, backend: &BackendName, phase: Phase) {
        let backend = Backend(backend.clone());
        self.phases.get_or_create(&PhaseLabels { backend, phase: phase.as_str() }).inc();
    }

    /// A batch was seen to change.
    pub fn state(&self, backend: &BackendName, state: BatchState) {
        let backend = Backend(backend.clone());
        self.states.get_or_create(&StateLabels { backend, state: state.as_str() }).inc();
    }

    /// Somebody was not believed.
    pub fn refused_login(&self, listener: &ListenerName, dialect: &str, why: &'static str) {
        let (listener, dialect) = (listener.as_str().into(), self.words.dialect(dialect));
        self.refused_logins.get_or_create(&RefusedLabels { listener, dialect, why }).inc();
    }

    /// Counts the connections of one listener.
    pub fn connections(&self, listener: &str) -> Arc<dyn ConnectionObserver> {
        let labels = ListenerLabels { listener: listener.into() };
        Arc::new(Connections {
            open: self.connections_open.get_or_create_owned(&labels),
            accepted: self.connections.get_or_create_owned(&labels),
        })
    }

    /// All that was counted, as text. What is asked for at this moment is told by the caller.
    pub fn render(&self, ledger_up: bool, open: &[OpenSubmit], backends: &[BackendView]) -> String {
        self.ledger_up.set(ledger_up.into());
        self.open_submits.clear();
        for OpenSubmit { entry, whereabouts } in open {
            let labels = OpenLabels { backend: Backend(entry.backend.clone()), whereabouts: whereabouts.as_str() };
            self.open_submits.get_or_create(&labels).inc();
        }
        self.circuits.clear();
        for BackendView { name, circuit, .. } in backends {
            for state in CircuitState::ALL {
                let labels = CircuitLabels { backend: Backend(name.clone()), state: state.as_str() };
                self.circuits.get_or_create(&labels).set((state == *circuit).into());
            }
        }
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("writing to a String does not fail");
        page
    }
}

struct Connections {
    open: Gauge,
    accepted: Counter,
}

impl ConnectionObserver for Connections {
    fn opened(&self) {
        self.open.inc();
        self.accepted.inc();
    }

    fn closed(&self) {
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{Batch, BatchId, Entry, Marker, RowId, Uuid};
    use batchlingua_router::Whereabouts;

    use super::*;

    fn open(whereabouts: Whereabouts) -> OpenSubmit {
        let uuid = Uuid::from_u128(1);
        let batch = Batch::new(BatchId { uuid, ordinal: 1, native: None }, BatchState::Queued, Arc::default());
        let entry = Entry {
            row: RowId(1),
            backend: "here".into(),
            dialect: None,
            phase: Phase::Ambiguous,
            marker: Marker { uuid, name: None },
            batch: Arc::new(batch),
            unmapped: Arc::default(),
            refusal: None,
            missing: None,
        };
        OpenSubmit { entry, whereabouts }
    }

    #[test]
    fn a_submit_that_has_got_its_outcome_is_counted_no_more() {
        let metrics = Metrics::new(&[]);
        metrics.render(true, &[open(Whereabouts::LookedFor), open(Whereabouts::LookedFor)], &[]);
        let page = metrics.render(true, &[open(Whereabouts::LookedFor)], &[]);
        assert!(page.contains("open_submits{backend=\"here\",whereabouts=\"looked_for\"} 1\n"), "{page}");
        let page = metrics.render(true, &[], &[]);
        assert!(!page.contains("looked_for\""), "{page}");
    }

    #[test]
    fn families_have_the_names_that_dashboards_know() {
        let metrics = Metrics::new(&[]);
        let backend = BackendName::from("here");
        metrics.request("livy", "submit", 201, Duration::from_millis(3));
        metrics.call(&backend, "submit", "ok", Duration::from_millis(2));
        metrics.phase(&backend, Phase::Accepted);
        metrics.state(&backend, BatchState::Running);
        metrics.connections("main").opened();
        metrics.refused_login(&"main".into(), "livy", "wrong");
        let away = BackendView { name: backend, circuit: CircuitState::Open, away: Some(Duration::from_secs(1)) };
        let page = metrics.render(true, &[open(Whereabouts::LeftToPeople)], &[away]);
        for line in [
            "batchlingua_build_info{version=",
            "batchlingua_requests_total{dialect=\"livy\",operation=\"submit\",status=\"201\"} 1\n",
            "batchlingua_request_seconds_bucket{le=\"0.005\",dialect=\"livy\",operation=\"submit\"} 1\n",
            "batchlingua_upstream_calls_total{backend=\"here\",call=\"submit\",outcome=\"ok\"} 1\n",
            "batchlingua_upstream_call_seconds_sum{backend=\"here\",call=\"submit\"} 0.002\n",
            "batchlingua_connections_open{listener=\"main\"} 1\n",
            "batchlingua_connections_total{listener=\"main\"} 1\n",
            "batchlingua_submit_phases_total{backend=\"here\",phase=\"accepted\"} 1\n",
            "batchlingua_batch_states_total{backend=\"here\",state=\"running\"} 1\n",
            "batchlingua_refused_logins_total{listener=\"main\",dialect=\"livy\",why=\"wrong\"} 1\n",
            "batchlingua_open_submits{backend=\"here\",whereabouts=\"left_to_people\"} 1\n",
            "batchlingua_backend_circuit{backend=\"here\",state=\"open\"} 1\n",
            "batchlingua_backend_circuit{backend=\"here\",state=\"closed\"} 0\n",
            "batchlingua_ledger_up 1\n",
            "# EOF\n",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }

    #[test]
    fn a_word_from_outside_becomes_no_label() {
        let metrics = Metrics::new(&[]);
        metrics.request("livy", "/batches/ana's secret", 200, Duration::ZERO);
        let page = metrics.render(true, &[], &[]);
        assert!(page.contains("operation=\"other\"") && !page.contains("ana"), "{page}");
    }
}
