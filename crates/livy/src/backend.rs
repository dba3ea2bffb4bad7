//! The port, over a Livy.
//!
//! What a Livy can do depends on its version in one thing: from 0.6 on batches have names, by which they are found. It is learned by the first
//! call that needs it, and again by each probe. Until then names are planned for: an older Livy takes one too, and only does not find by it.
//!
//! How a submit goes is in [`crate::submit`].

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchState, Capabilities, Clock, Context, Cursor, Detail, DialectName, Effect, Error,
    ErrorKind, Intent, Lines, Log, LogBody, LogQuery, LogSource, Marking, Missing, NativeId, NativeIds, Page, PathMap,
    Plan, Result, Revival, Sighting, Sought, SubmitError,
};
use batchlingua_wire::{Client, PageSize, java::is_all_digits};
use bytes::Bytes;
use futures_util::stream;

use crate::{
    client::{Deleted, Livy, PAGE, submit_call},
    names::{self, Turns},
    plan::Planner,
    seen::{Seen, SeenLog},
    settings::BackendSettings,
};

/// Most words for states that are told of as unknown, each once, and most of each.
const STRANGE_WORDS: usize = 32;
const STRANGE_WORD: usize = 64;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A Livy as a platform.
pub(crate) struct LivyBackend {
    pub(crate) livy: Livy,
    page: PageSize,
    paths: PathMap,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ghost_after: Duration,
    naming: Naming,
    pub(crate) turns: Turns,
    strange: Mutex<HashSet<String>>,
}

/// What is known of names, and what the platform can do with and without them: a poll asks for that several times.
struct Naming {
    known: AtomicU8,
    with: Arc<Capabilities>,
    without: Arc<Capabilities>,
}

const UNKNOWN: u8 = 0;
const NAMES: u8 = 1;
const NO_NAMES: u8 = 2;

impl Naming {
    fn new(settings: &BackendSettings) -> Self {
        let of = |marking| Arc::new(capabilities(settings, marking));
        Self { known: AtomicU8::new(UNKNOWN), with: of(Marking::Findable), without: of(Marking::None) }
    }

    fn known(&self) -> Option<bool> {
        match self.known.load(Ordering::Relaxed) {
            NAMES => Some(true),
            NO_NAMES => Some(false),
            _ => None,
        }
    }

    fn learn(&self, has_names: bool) {
        self.known.store(if has_names { NAMES } else { NO_NAMES }, Ordering::Relaxed);
    }

    fn capabilities(&self) -> &Arc<Capabilities> {
        if self.known() == Some(false) { &self.without } else { &self.with }
    }
}

fn capabilities(settings: &BackendSettings, marking: Marking) -> Capabilities {
    Capabilities {
        submit: true,
        upload: false,
        log: true,
        steps: false,
        actions: [Action::Cancel, Action::CancelAndForget].into_iter().collect(),
        marking,
        ids: NativeIds::Reused { adopt: settings.adopt_ids },
        settle: settings.settle,
        revival: Revival::Never,
        // Between the kill and the moment when it forgets the batch it may show it as `dead`, as any process that was killed.
        tells_cancelled: false,
        cheap_reads: false,
        caller_credentials: settings.client.takes_callers(),
        slow_actions: Some(settings.delete_timeout),
    }
}

/// What a batch is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Called {
    Id(NativeId),
    /// A client's word for it.
    Name(String),
    /// Nothing that a Livy has: a number that its row has given up, or none that is small enough.
    Nothing,
}

impl Called {
    fn of(native: &NativeId) -> Self {
        let text = native.as_str();
        let is_number = |text: &str| !text.is_empty() && is_all_digits(text);
        if is_number(text) {
            let id = batchlingua_wire::java::parse_int(text);
            return id.map_or(Self::Nothing, |id| Self::Id(NativeId::from(id.to_string())));
        }
        match text.split_once('~') {
            Some((id, row)) if is_number(id) && is_number(row) => Self::Nothing,
            _ if names::is_addressable(text) => Self::Name(text.to_owned()),
            _ => Self::Nothing,
        }
    }
}

impl LivyBackend {
    pub(crate) fn new(http: Client, settings: &BackendSettings, clock: Arc<dyn Clock>) -> Self {
        let takes_callers = settings.client.takes_callers();
        let livy = Livy { http, takes_callers, delete_timeout: settings.delete_timeout };
        Self {
            livy,
            page: PageSize::new(PAGE),
            paths: settings.paths.clone(),
            clock,
            ghost_after: settings.ghost_after,
            naming: Naming::new(settings),
            turns: Turns::default(),
            strange: Mutex::default(),
        }
    }

    /// Whether batches are found by their names, asked once.
    pub(crate) async fn has_names(&self, ctx: &Context) -> Result<bool> {
        match self.naming.known() {
            Some(has_names) => Ok(has_names),
            None => self.ask_for_names(ctx).await,
        }
    }

    async fn ask_for_names(&self, ctx: &Context) -> Result<bool> {
        let has_names = self.livy.has_names(ctx).await?;
        self.naming.learn(has_names);
        Ok(has_names)
    }

    /// What the Livy shows of a batch.
    async fn find(&self, ctx: &Context, id: &NativeId) -> Result<Seen> {
        match Called::of(id) {
            Called::Id(id) => {
                let seen = self.livy.get(ctx, id.as_str()).await?;
                if seen.batch.id != id {
                    return Err(self.another(&id, &seen.batch.id));
                }
                Ok(seen)
            }
            Called::Name(name) => match self.has_names(ctx).await? {
                true => self.livy.get(ctx, &name).await,
                false => Err(Error::no_batch(id)),
            },
            Called::Nothing => Err(Error::no_batch(id)),
        }
    }

    fn another(&self, asked: &NativeId, shown: &NativeId) -> Error {
        let message = format!(
            "backend '{}' was asked for batch {asked} and answered with batch {shown}",
            self.livy.http.backend()
        );
        Error::new(ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, message)
    }

    /// A batch as it is shown; a word that nobody knows is told of once.
    pub(crate) fn shown(&self, seen: Seen) -> Batch<NativeId> {
        if let (false, Some(native)) = (seen.is_known_word, &seen.batch.native) {
            let word: String = native.word.chars().take(STRANGE_WORD).collect();
            let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
            if strange.len() < STRANGE_WORDS && strange.insert(word.clone()) {
                drop(strange);
                tracing::warn!(backend = %self.livy.http.backend(), word, "a state that is not known; such batches are shown as running");
            }
        }
        seen.batch
    }

    /// A DELETE ends a batch and has it forgotten, so what has ended keeps its record, unless that is to go.
    async fn end(&self, ctx: &Context, id: &NativeId, forget: bool) -> Result<Effect> {
        let seen = self.find(ctx, id).await?;
        let state = seen.batch.state;
        if state.is_end() && !forget {
            return Ok(Effect::AlreadyEnded(state));
        }
        match self.livy.delete(ctx, &seen.batch.id).await? {
            Deleted::Done if state.is_end() => Ok(Effect::AlreadyEnded(state)),
            Deleted::Done => Ok(Effect::Ended(BatchState::Cancelled)),
            Deleted::Gone => Err(Error::no_batch(id)),
        }
    }
}

#[async_trait]
impl Backend for LivyBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(self.naming.capabilities())
    }

    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        self.ask_for_names(ctx).await?;
        Ok(self.capabilities())
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        let has_names = self.naming.known() != Some(false);
        let planner = Planner { backend: self.livy.http.backend(), paths: &self.paths, has_names };
        planner.plan(intent)
    }

    fn head(&self, plan: &Plan) -> String {
        self.livy.http.head_of(&submit_call(plan.request.clone()))
    }

    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        self.send(ctx, plan).await.map(|seen| self.shown(seen))
    }

    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        self.sight(ctx, sought).await
    }

    /// All of it, for its state alone too: see [`crate::client`].
    async fn get(&self, ctx: &Context, id: &NativeId, _: Detail) -> Result<Batch<NativeId>> {
        self.find(ctx, id).await.map(|seen| self.shown(seen))
    }

    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let from = match &after {
            Some(Cursor(text)) => text.parse().map_err(|_| Error::invalid("cursor", "not one of this backend's"))?,
            None => 0,
        };
        let (size, page) = self.livy.walk(ctx, &self.page, from).await?;
        // A place in the list, which moves on when what is before it is forgotten: who is left out so is looked at by its id.
        let end = from + page.rows.len() as u64;
        // A server that is deaf to `from` would show its first page for ever.
        let next = (page.rows.len() as u64 >= size && end < page.total).then(|| Cursor(end.to_string()));
        let rows = page.rows.into_iter().map(|seen| self.shown(seen)).collect();
        Ok(Page { rows, total: Some(page.total), next })
    }

    /// Its rows are the same objects.
    fn rows_tell(&self, _: &DialectName, detail: Detail) -> bool {
        match detail {
            Detail::State | Detail::Summary => true,
            Detail::Steps => false,
        }
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        match &query.source {
            LogSource::Default | LogSource::Driver { attempt: 1 } => {}
            LogSource::Driver { .. } => {
                return Err(Error::new(ErrorKind::NotFound(Missing::Log), "a Livy has one log of a batch"));
            }
            LogSource::Step(step) => {
                let kind = ErrorKind::NotFound(Missing::Step(step.clone()));
                return Err(Error::new(kind, "the batch has no steps"));
            }
        }
        match Called::of(id) {
            Called::Id(id) => Ok(cut(self.livy.log(ctx, id.as_str()).await?, query.lines)),
            Called::Name(_) | Called::Nothing => Err(Error::no_batch(id)),
        }
    }

    fn holds_names(&self) -> bool {
        self.naming.known() != Some(false)
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        match action {
            Action::Cancel => self.end(ctx, id, false).await,
            Action::CancelAndForget => self.end(ctx, id, true).await,
            Action::Forget | Action::Pause | Action::Resume | Action::Restart => {
                let (name, word) = (self.livy.http.backend(), action.as_str());
                let kind = ErrorKind::Unsupported { backend: name.clone(), what: format!("the action '{word}'") };
                Err(Error::new(kind, format!("backend '{name}' does not offer the action '{word}'")))
            }
        }
    }
}

/// The lines that are asked for. A Livy keeps some two hundred, and their numbers change as soon as it has more: so all of them are fetched at
/// once, and numbered as they stand.
fn cut(log: SeenLog, lines: Lines) -> Log {
    let SeenLog { lines: all, native } = log;
    let total = all.len();
    let number = |line: u64| usize::try_from(line).map_or(total, |line| line.min(total));
    let (from, shown) = match lines {
        Lines::Tail(n) => (total.saturating_sub(n as usize), all[total.saturating_sub(n as usize)..].to_vec()),
        Lines::From(from, n) => {
            let start = number(from);
            (number(from), all[start..total.min(start.saturating_add(n as usize))].to_vec())
        }
        Lines::HeadAndTail(n) => match total.checked_sub(2 * n as usize).filter(|middle| *middle > 0) {
            Some(middle) => (0, [&all[..n as usize], &all[n as usize + middle..]].concat()),
            None => (0, all),
        },
        Lines::All => {
            let text: String = all.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let whole = stream::iter([Ok(Bytes::from(text))]);
            return Log { from: 0, total: Some(total as u64), body: LogBody::Stream(Box::pin(whole)), native: None };
        }
    };
    Log { native: Some(native), ..Log::page(from as u64, total as u64, shown) }
}

#[cfg(test)]
mod strange;
#[cfg(test)]
mod tests;
