//! Kyuubi's object of a batch in the terms of the model.
//!
//! What a batch was to run is never given back: of its spec there are the name and the kind. All else of the object stays as it came, for
//! clients that speak Kyuubi.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use batchlingua_core::{
    App, Batch, BatchKind, BatchSpec, BatchState, DialectName, Millis, Native, NativeId, Principal, Times,
};
use bytes::Bytes;
use serde::Deserialize;

use crate::{NAME, state};

/// Most words for a state that are told to be new; a server that makes them up is not told of for ever.
const MOST_WORDS: usize = 16;

/// Most characters of a diagnostic.
const LONGEST_DIAGNOSTIC: usize = 4_000;

/// A batch's object as far as it is read. Servers before 1.7 leave out what came later.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) user: Option<String>,
    batch_type: Option<String>,
    name: Option<String>,
    #[serde(default)]
    pub(crate) app_start_time: i64,
    pub(crate) app_id: Option<String>,
    app_url: Option<String>,
    app_state: Option<String>,
    app_diagnostic: Option<String>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) create_time: i64,
    #[serde(default)]
    end_time: i64,
    #[serde(default)]
    batch_info: Option<BTreeMap<String, Option<String>>>,
}

/// A batch's object with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) object: Object,
    pub(crate) bytes: Bytes,
}

impl Object {
    /// Whether the submit that this answers had an id that was known.
    pub(crate) fn is_duplicated(&self) -> bool {
        let flag = self.batch_info.as_ref().and_then(|info| info.get("kyuubi.batch.duplicated"));
        flag.is_some_and(|flag| flag.as_deref() == Some("true"))
    }

    /// Whether it is what a refused submit has left behind: it is over, and never had an application.
    pub(crate) fn is_remnant(&self) -> bool {
        matches!(self.state.as_str(), "CANCELED" | "ERROR") && self.app_start_time == 0 && self.app_id.is_none()
    }

    /// Whether it says that it is over, and nobody has seen the end: asked for another instance's batch whose instance is out of reach, a
    /// Kyuubi takes an application that it does not find for one that has finished, whatever is stored of it.
    pub(crate) fn is_guessed_end(&self) -> bool {
        let is_end = matches!(self.state.as_str(), "FINISHED" | "ERROR");
        is_end && self.end_time == 0 && !state::is_app_end(self.app_state.as_deref())
    }
}

/// Reads objects.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Words that were told to be new.
    told: Mutex<BTreeSet<String>>,
}

impl Reader {
    /// The batch as the model has it.
    pub(crate) fn batch(&self, seen: Seen) -> Batch<NativeId> {
        let word = seen.object.state.clone();
        let state = state::read(&word, seen.object.app_state.as_deref()).unwrap_or_else(|| {
            self.tell(&word);
            BatchState::Running
        });
        batch(seen, state)
    }

    /// A batch of which nobody can tell whether it is over: it is shown as it was last seen to live, in no words of the Kyuubi's.
    pub(crate) fn unsettled(&self, seen: Seen) -> Batch<NativeId> {
        Batch { native: None, ..batch(seen, BatchState::Running) }
    }

    fn tell(&self, word: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_WORDS && told.insert(word.chars().take(64).collect()) {
            tracing::warn!(
                state = word.get(..64).unwrap_or(word),
                "a Kyuubi has a new word for a state; its batch is taken to live"
            );
        }
    }
}

/// A batch without a name has in its place, on a local master, the driver's command line behind a blank: with all of its conf, and its secrets.
/// That is nothing to find it by, and nothing to be kept.
fn is_command(name: &str) -> bool {
    name.starts_with(' ')
}

/// Of Kubernetes it is a whole document.
fn one_line(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().nth(LONGEST_DIAGNOSTIC).map_or(line.len(), |(at, _)| at);
    (!line.is_empty()).then(|| line[..end].to_owned())
}

fn batch(seen: Seen, state: BatchState) -> Batch<NativeId> {
    let Seen { object, bytes } = seen;
    let kind = if object.batch_type.as_deref() == Some("PYSPARK") { BatchKind::Python } else { BatchKind::Jar };
    let spec = BatchSpec { kind, name: object.name.filter(|name| !is_command(name)), ..BatchSpec::default() };
    let time = |at: i64| (at > 0).then_some(Millis(at));
    let (created, started) = (Millis(object.create_time), time(object.app_start_time));
    let ended = time(object.end_time).filter(|_| state.is_end());
    Batch {
        owner: object.user.map(Principal::unverified),
        times: Times { created, started, ended, modified: ended.or(started).unwrap_or(created) },
        app: App { id: object.app_id, url: object.app_url, driver_log_url: None },
        diagnostic: object.app_diagnostic.as_deref().and_then(one_line),
        native: Some(Native { dialect: DialectName::from(NAME), word: object.state, object: bytes, status: None }),
        ..Batch::new(NativeId::from(object.id), state, Arc::new(spec))
    }
}
