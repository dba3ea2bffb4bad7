//! The platforms that are reached by HTTP, each as this proxy itself shows it: an adapter of a kind, a socket, a second proxy's front of the
//! same kind, and a backend in memory behind that. A batch has then three names: the client's, the platform's and the innermost one, which
//! only the test knows.
//!
//! Whatever of the model a platform cannot say stands in `PLATFORMS`, so nothing is passed over without being named here.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{Backend, Batch, BatchKind, BatchSpec, BatchState, NativeId, StateSet, SystemClock};
use batchlingua_testkit::conformance::{Job, Rig};
use batchlingua_wire::{OpenContext, Settings};
use serde_json::{Value, json};

use crate::{
    house::{Ask, House, Wishes},
    rigs,
    upstream::Upstream,
    voices::{Dli, Kylin, Kyuubi, Livy, Voice},
};

/// A platform, and what it cannot say.
pub(crate) struct Platform {
    /// Who speaks as its clients do.
    pub(crate) voice: &'static dyn Voice,
    /// Its settings beside those without which none begins.
    settings: fn() -> Value,
    /// Where the file is there that clients call [`FILE`].
    pub(crate) file: &'static str,
    /// Where it cannot be told to run anything: who else has it run a batch.
    pub(crate) begun_by: Option<&'static dyn Voice>,
    /// As what it shows a batch of this state, to who knows the model.
    pub(crate) seen: fn(BatchState) -> BatchState,
}

/// What every job of the matrix runs.
const FILE: &str = "hdfs:///srv/job.py";

/// In the order of the adapters.
pub(crate) const PLATFORMS: [Platform; 4] = [
    Platform { voice: &Kyuubi, settings: || json!({}), file: FILE, begun_by: None, seen: as_kyuubi },
    Platform {
        voice: &Livy,
        // Its clients hold its integers, as configured where there is no other Livy.
        settings: || json!({ "adopt_ids": true }),
        file: FILE,
        begun_by: None,
        seen: as_livy,
    },
    Platform {
        voice: &Dli,
        // It reads files of its own store only, and runs nothing outside of a queue.
        settings: || json!({ "project_id": "p1", "queue": "q1", "paths": { "hdfs:///srv/": "obs://bucket/srv/" } }),
        file: "obs://bucket/srv/job.py",
        begun_by: None,
        seen: as_dli,
    },
    // What a DLI client begins there has a project, as all that Kylin has.
    Platform { voice: &Kylin, settings: || json!({}), file: FILE, begun_by: Some(&Dli), seen: as_kylin },
];

fn as_kyuubi(state: BatchState) -> BatchState {
    match state {
        BatchState::Queued | BatchState::Starting | BatchState::Running => state,
        // It has one word for both.
        BatchState::Paused => BatchState::Running,
        BatchState::Failed | BatchState::Unknown => BatchState::Failed,
        BatchState::Succeeded | BatchState::Cancelled => state,
    }
}

fn as_livy(state: BatchState) -> BatchState {
    match state {
        BatchState::Queued | BatchState::Starting | BatchState::Running => state,
        // `idle` is a live state, and no batch's.
        BatchState::Paused => BatchState::Running,
        // `error` is a bad end as `dead` is.
        BatchState::Failed | BatchState::Unknown => BatchState::Failed,
        BatchState::Succeeded | BatchState::Cancelled => state,
    }
}

fn as_dli(state: BatchState) -> BatchState {
    match state {
        BatchState::Queued | BatchState::Starting | BatchState::Running => state,
        // `recovering` lives.
        BatchState::Paused => BatchState::Running,
        // `dead` is any bad end; only what this proxy has ended itself is known to be cancelled.
        BatchState::Failed | BatchState::Cancelled | BatchState::Unknown => BatchState::Failed,
        BatchState::Succeeded => state,
    }
}

fn as_kylin(state: BatchState) -> BatchState {
    match state {
        BatchState::Queued | BatchState::Starting | BatchState::Running | BatchState::Paused => state,
        // Why a job is in ERROR is a text.
        BatchState::Failed | BatchState::Unknown => BatchState::Failed,
        BatchState::Succeeded | BatchState::Cancelled => state,
    }
}

/// One platform with all that is behind it.
pub(crate) struct Chain {
    pub(crate) platform: &'static Platform,
    pub(crate) upstream: Upstream,
    backend: Arc<dyn Backend>,
}

impl Chain {
    /// A proxy over this platform.
    pub(crate) async fn house(platform: &'static Platform) -> House {
        Self::house_wishing(platform, Wishes::default()).await
    }

    pub(crate) async fn house_wishing(platform: &'static Platform, wishes: Wishes) -> House {
        Self::begin(platform).await.near(wishes)
    }

    /// One that keeps no connections: of a submit that was written to one that had just ended nobody knows whether it went through, which is
    /// not what is looked at where a platform goes and comes back.
    pub(crate) async fn house_without_kept_connections(platform: &'static Platform, wishes: Wishes) -> House {
        Self::begin_as(platform, json!({ "pool": 0 })).await.near(wishes)
    }

    /// The far end, and nothing before it yet.
    pub(crate) async fn begin(platform: &'static Platform) -> Arc<Self> {
        Self::begin_as(platform, json!({})).await
    }

    async fn begin_as(platform: &'static Platform, more: Value) -> Arc<Self> {
        let upstream = Upstream::start().await;
        let kind = platform.voice.dialect();
        let adapter = ADAPTERS.iter().find(|adapter| adapter.name == kind).expect("every voice has an adapter");
        let mut settings: Value = toml::from_str(adapter.example).expect("an example is TOML");
        settings["url"] = upstream.url().into();
        for table in [(platform.settings)(), more] {
            for (key, value) in table.as_object().expect("a table") {
                settings[key] = value.clone();
            }
        }
        let settings = Settings::new(format!("backend.{kind}"), settings);
        let open = adapter.platform.expect("it has a platform")(settings).unwrap_or_else(|faults| panic!("{faults:?}"));
        let opened = open(OpenContext { name: "here".into(), clock: Arc::new(SystemClock) }).await;
        Arc::new(Self { platform, upstream, backend: opened.expect("it opens").backend })
    }

    /// The near end.
    pub(crate) fn near(self: Arc<Self>, wishes: Wishes) -> House {
        // Above what a platform that counts will ever count to in a test, as configured where there is one.
        let wishes = Wishes { first_ordinal: wishes.first_ordinal.max(1_000_000), ..wishes };
        House::wishing(self.clone(), wishes).behind(self)
    }

    /// What the platform calls the batch that this client begins there, past the proxy in front.
    pub(crate) async fn begun_past(&self, voice: &dyn Voice, ask: &Ask) -> NativeId {
        let house = self.upstream.life().house;
        let answer = house.ask(ask).await;
        let innermost = house.native(voice.wanted(&voice.submitted(&answer.json()))).await;
        self.platform.voice.called(&house.ids(&innermost).await).into()
    }

    /// What the innermost backend calls a batch of the platform.
    pub(crate) async fn innermost(&self, id: &NativeId) -> NativeId {
        self.upstream.life().house.native(self.platform.voice.wanted(id.as_str())).await
    }

    /// Moves a job.
    pub(crate) async fn advance(&self, id: &NativeId, state: BatchState) {
        self.upstream.life().memory.advance(&self.innermost(id).await, state);
        self.look(id).await;
    }

    /// A list there may be a little older than a change; whoever asks for the one batch is shown it as it is, and so are all after him.
    async fn look(&self, id: &NativeId) {
        self.upstream.life().house.ask(&self.platform.voice.get(id.as_str())).await;
    }
}

#[async_trait]
impl Rig for Chain {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        let file = Some(FILE.into());
        BatchSpec { kind: BatchKind::Python, file, args: rigs::args(job), ..BatchSpec::default() }
    }

    async fn submitted(&self, id: &NativeId, job: Job) {
        self.upstream.life().rig.submitted(&self.innermost(id).await, job).await;
    }

    async fn finish(&self, id: &NativeId) {
        self.upstream.life().rig.finish(&self.innermost(id).await).await;
    }

    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        let reached = self.upstream.life().rig.reached(&self.innermost(id).await, wanted).await;
        self.look(id).await;
        reached
    }
}
