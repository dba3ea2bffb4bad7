//! The port, over a Kylin 5 or one of the older ones.
//!
//! Jobs of a Kylin are batches that nobody can submit through this proxy. A Kylin 5 has no call for one job: it is found in the list by its id,
//! which is looked for in other jobs' ids and names too, so that only the row with the very id counts. Its steps, from which come application and
//! reason, are a call of their own, and that one wants the project.
//!
//! What may be done to a job in its state is Kylin's own to say. Only the older ones are not asked, where they do not say it: their resume
//! brings back what has gone well.
//!
//! A failure there is no end: whoever resumes the job brings it back ([`Revival::AfterFailure`]).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchState, Capabilities, Clock, Context, Cursor, Detail, DialectName, Effect, Error,
    ErrorKind, Intent, Lines, Log, LogBody, LogQuery, LogSource, Marking, Missing, Native, NativeId, NativeIds, Page,
    Plan, Project, Result, Revival, Sighting, Sought, Step, SubmitError,
};
use batchlingua_wire::Client;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http_body_util::BodyDataStream;
use tokio::time::timeout_at;

use crate::{
    NAME,
    client::{self, Asked, Kylin},
    lines,
    log::ENDS,
    mapping::NO_SUBMIT,
    projects::Projects,
    refusal::{Refusal, Why},
    seen,
    settings::{BackendSettings, Version},
    state::{ACTIONS, Status},
};

/// Words of the paths below `/jobs` that are no ids.
const NO_IDS: [&str; 5] = ["statistics", "overview", "waiting_jobs", "profile", "status"];
/// Of one job that is looked for by its id, so many pages are read: more jobs have it in their ids only if it is a model's.
const MOST_PAGES: u64 = 50;

/// A Kylin as a platform.
pub(crate) struct KylinBackend {
    kylin: Kylin,
    capabilities: Arc<Capabilities>,
    /// Empty: all.
    projects: Vec<Project>,
    known: Projects,
}

impl KylinBackend {
    pub(crate) fn new(http: Client, settings: &BackendSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            kylin: Kylin::new(http, settings, clock),
            capabilities: Arc::new(capabilities(settings)),
            projects: settings.projects.clone(),
            known: Projects::default(),
        }
    }

    fn version(&self) -> Version {
        self.kylin.version
    }

    /// What lists are asked for, one after another: each project that is configured, else all at once.
    fn scopes(&self) -> impl Iterator<Item = Option<&Project>> {
        let all = self.projects.is_empty().then_some(None);
        all.into_iter().chain(self.projects.iter().map(Some))
    }

    /// The job as it is now; of an older Kylin with its steps.
    async fn find(&self, ctx: &Context, id: &NativeId) -> Result<Batch<NativeId>> {
        check_id(id)?;
        let found = match self.version().is_five() {
            true => self.find_listed(ctx, id).await,
            false => self.find_instance(ctx, id).await,
        };
        match &found {
            Ok(job) => self.known.learn([job]),
            Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => self.known.forget(id),
            Err(_) => {}
        }
        found
    }

    async fn find_listed(&self, ctx: &Context, id: &NativeId) -> Result<Batch<NativeId>> {
        if let Some(project) = self.known.of(id) {
            return self.find_among(ctx, id, Asked { project: Some(&project), key: Some(id.as_str()) }).await;
        }
        for project in self.scopes() {
            match self.find_among(ctx, id, Asked { project, key: Some(id.as_str()) }).await {
                Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => {}
                found => return found,
            }
        }
        Err(Error::no_batch(id))
    }

    /// The row with the very id.
    async fn find_among(&self, ctx: &Context, id: &NativeId, asked: Asked<'_>) -> Result<Batch<NativeId>> {
        let size = self.kylin.page_size();
        for page in 0..MOST_PAGES {
            let listed = match self.kylin.list(ctx, asked, page, size).await {
                // A job of a project that is not there is not there.
                Err(refusal) if matches!(refusal.error.kind, ErrorKind::NotFound(_)) => {
                    return Err(Error::no_batch(id));
                }
                listed => listed?,
            };
            let is_full = listed.is_full;
            if let Some(job) = listed.jobs.into_iter().find(|job| job.id == *id) {
                return Ok(job);
            }
            if !is_full {
                return Err(Error::no_batch(id));
            }
        }
        let (name, most) = (self.kylin.http.backend(), MOST_PAGES * size);
        Err(Error::new(
            ErrorKind::BackendRejected,
            format!("backend '{name}' has more than {most} jobs with '{id}' in their ids"),
        ))
    }

    async fn find_instance(&self, ctx: &Context, id: &NativeId) -> Result<Batch<NativeId>> {
        let mut job = self.kylin.instance(ctx, id.as_str()).await?;
        // A Kylin 2 does not say which project a job is in; its lists do, since they are asked for by project.
        job.project = job.project.or_else(|| self.known.of(id));
        if self.projects.is_empty() {
            return Ok(job);
        }
        if job.project.is_none() {
            job.project = self.project_by_lists(ctx, &job).await?;
        }
        let is_ours = job.project.as_ref().is_some_and(|project| self.projects.contains(project));
        if is_ours { Ok(job) } else { Err(Error::no_batch(id)) }
    }

    async fn project_by_lists(&self, ctx: &Context, job: &Batch<NativeId>) -> Result<Option<Project>> {
        for project in &self.projects {
            let asked = Asked { project: Some(project), key: job.spec.name.as_deref() };
            match self.find_among(ctx, &job.id, asked).await {
                Ok(_) => return Ok(Some(project.clone())),
                Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A Kylin 5's job with its steps.
    async fn with_steps(&self, ctx: &Context, job: Batch<NativeId>, is_shown: bool) -> Result<Batch<NativeId>> {
        let project = self.project(&job)?;
        match self.kylin.detailed(ctx, &job, project, is_shown).await {
            Ok(detailed) => Ok(detailed),
            // A job whose model is gone may have lost its steps as well, and is there nevertheless.
            Err(Refusal { why: Why::Word | Why::State, .. }) if !is_shown => Ok(job),
            Err(refusal) => Err(refusal.error),
        }
    }

    fn project<'a>(&self, job: &'a Batch<NativeId>) -> Result<&'a Project> {
        job.project.as_ref().ok_or_else(|| {
            let name = self.kylin.http.backend();
            Error::new(
                ErrorKind::BackendRejected,
                format!("backend '{name}' does not say in which project job {} is", job.id),
            )
        })
    }

    /// The project of a job that may have been seen before.
    async fn project_of(&self, ctx: &Context, id: &NativeId) -> Result<Project> {
        match self.known.of(id) {
            Some(project) => Ok(project),
            None => self.project(&self.find(ctx, id).await?).cloned(),
        }
    }

    /// The job's step whose log is the job's: the one that has failed, else the one that runs, else the last that has begun.
    async fn default_step(&self, ctx: &Context, id: &NativeId) -> Result<Option<String>> {
        let mut job = self.find(ctx, id).await?;
        if self.version().is_five() {
            job = self.with_steps(ctx, job, true).await?;
        }
        let in_state = |state| job.steps.iter().find(|step| step.state == state);
        let begun = |step: &&Step| step.times.started.is_some();
        let step = in_state(BatchState::Failed).or_else(|| in_state(BatchState::Running));
        let step = step.or_else(|| job.steps.iter().rev().find(begun));
        Ok(step.map(|step| step.id.clone()))
    }

    /// A step's id as this Kylin has it.
    fn native_step(&self, id: &NativeId, step: &str) -> Result<String> {
        let number = &step[step.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
        let stroke = if self.version().is_five() { '_' } else { '-' };
        if number.is_empty() || !seen::is_id(step) {
            let kind = ErrorKind::NotFound(Missing::Step(step.to_owned()));
            return Err(Error::new(kind, format!("the job has no step '{step}'")));
        }
        Ok(format!("{id}{stroke}{number}"))
    }

    async fn step_log(&self, ctx: &Context, id: &NativeId, step: &str, wanted: Lines) -> Result<Log> {
        // Without its project there are only both ends of a log there, which are not all of it.
        let project = match self.version() {
            Version::Five | Version::Four => Some(self.project_of(ctx, id).await?),
            Version::Three | Version::Two => None,
        };
        let is_short = match wanted {
            Lines::Tail(size) | Lines::HeadAndTail(size) => size <= ENDS,
            Lines::From(..) | Lines::All => false,
        };
        match (&project, wanted) {
            (Some(project), Lines::All) => self.streamed(ctx, id, step, project).await,
            (Some(project), wanted) if !is_short => {
                let body = self.kylin.log(ctx, id, step, project).await?;
                let read = timeout_at(ctx.deadline.into(), lines::of_body(body, wanted)).await;
                let read = read.map_err(|_| self.late())?;
                read.map_err(|fault| client::broken_log(self.kylin.http.backend(), fault))
            }
            (project, wanted) => {
                let output = self.kylin.output(ctx, id, step, project.as_ref()).await?;
                let native = Native { dialect: NAME.into(), word: String::new(), object: output.object, status: None };
                let log = match wanted {
                    Lines::All => whole(output.text),
                    wanted if project.is_some() => lines::of_ends(&output.text, wanted),
                    wanted => lines::of_text(&output.text, wanted),
                };
                Ok(Log { native: Some(native), ..log })
            }
        }
    }

    async fn streamed(&self, ctx: &Context, id: &NativeId, step: &str, project: &Project) -> Result<Log> {
        let body = self.kylin.log(ctx, id, step, project).await?;
        let name = self.kylin.http.backend().clone();
        let pieces = BodyDataStream::new(body).map_err(move |fault| client::broken_log(&name, fault));
        Ok(Log { from: 0, total: None, body: LogBody::Stream(Box::pin(pieces)), native: None })
    }

    fn late(&self) -> Error {
        let name = self.kylin.http.backend();
        Error::new(ErrorKind::BackendTimeout, format!("backend '{name}' did not send the log in time"))
    }

    /// By a Kylin 5, which knows by itself what may be done in which state.
    async fn act(&self, ctx: &Context, id: &NativeId, action: Action, word: &str) -> Result<Effect> {
        let project = self.project_of(ctx, id).await?;
        match self.kylin.status(ctx, id.as_str(), &project, word).await {
            // Its state has flipped by now; who asked looks at it.
            Ok(()) => Ok(Effect::Accepted),
            Err(Refusal { error, why: Why::State }) => self.not_legal(ctx, id, action, error).await,
            Err(refusal) => {
                if matches!(refusal.error.kind, ErrorKind::NotFound(_)) {
                    self.known.forget(id);
                }
                Err(refusal.error)
            }
        }
    }

    /// By an older one, which is asked first and told then.
    async fn act_guarded(&self, ctx: &Context, id: &NativeId, action: Action, verb: &str) -> Result<Effect> {
        let state = self.find(ctx, id).await?.state;
        if !Status::of(state).allows(action) {
            return over_or_illegal(state, action, self.refused(id, action, state), &self.capabilities);
        }
        match self.kylin.act(ctx, id.as_str(), verb).await {
            Ok(Some(job)) if action == Action::Cancel && job.state == BatchState::Cancelled => {
                Ok(Effect::Ended(job.state))
            }
            Ok(_) => Ok(Effect::Accepted),
            // It has no words for why: the state may have changed since.
            Err(Refusal { error, why: Why::Word }) => {
                let now = self.find(ctx, id).await?.state;
                if Status::of(now).allows(action) {
                    Err(error)
                } else {
                    over_or_illegal(now, action, error, &self.capabilities)
                }
            }
            Err(refusal) => Err(refusal.error),
        }
    }

    /// What a refusal by the state means now: the state itself is in its words only.
    async fn not_legal(&self, ctx: &Context, id: &NativeId, action: Action, refused: Error) -> Result<Effect> {
        let state = self.find(ctx, id).await?.state;
        over_or_illegal(state, action, refused, &self.capabilities)
    }

    fn refused(&self, id: &NativeId, action: Action, state: BatchState) -> Error {
        let kind = ErrorKind::IllegalState { state, allowed: Vec::new() };
        Error::new(kind, format!("the action '{}' is not legal for job {id}, which is {state}", action.as_str()))
    }

    fn unsupported(&self, what: &str, why: &str) -> Error {
        let name = self.kylin.http.backend();
        let kind = ErrorKind::Unsupported { backend: name.clone(), what: what.to_owned() };
        Error::new(kind, format!("backend '{name}' does not offer {what}: {why}"))
    }
}

fn capabilities(settings: &BackendSettings) -> Capabilities {
    let actions = ACTIONS.into_iter().map(|(action, _)| action);
    Capabilities {
        submit: false,
        upload: false,
        log: true,
        steps: true,
        // The older ones begin nothing anew.
        actions: actions.filter(|action| settings.version.is_five() || *action != Action::Restart).collect(),
        marking: Marking::None,
        ids: NativeIds::Unique,
        settle: Duration::ZERO,
        revival: Revival::AfterFailure,
        tells_cancelled: true,
        cheap_reads: false,
        caller_credentials: settings.client.takes_callers(),
        slow_actions: None,
    }
}

/// What can be no id is not asked for.
fn check_id(id: &NativeId) -> Result<()> {
    let is_one = seen::is_id(id.as_str()) && !NO_IDS.contains(&id.as_str());
    if is_one { Ok(()) } else { Err(Error::no_batch(id)) }
}

/// A cancel that comes too late is no mistake; all else is. What was refused just now is not among what can be done, whatever the table says.
fn over_or_illegal(state: BatchState, action: Action, refused: Error, can: &Capabilities) -> Result<Effect> {
    if action == Action::Cancel && matches!(state, BatchState::Succeeded | BatchState::Cancelled) {
        return Ok(Effect::AlreadyEnded(state));
    }
    let legal = ACTIONS.into_iter().map(|(action, _)| action).filter(|other| *other != action);
    let allowed = legal.filter(|other| Status::of(state).allows(*other) && can.actions.contains(*other)).collect();
    Err(Error { kind: ErrorKind::IllegalState { state, allowed }, ..refused })
}

/// All of a text as a stream.
fn whole(text: String) -> Log {
    let total = text.lines().count() as u64;
    let pieces = stream::iter([Ok(Bytes::from(text))]);
    Log { from: 0, total: Some(total), body: LogBody::Stream(Box::pin(pieces)), native: None }
}

/// Where a walk goes on: which project, and which page of it.
fn place(after: Option<&Cursor>) -> Result<(usize, u64)> {
    let Some(Cursor(text)) = after else { return Ok((0, 0)) };
    let place = text.split_once('/').and_then(|(scope, page)| Some((scope.parse().ok()?, page.parse().ok()?)));
    place.ok_or_else(|| Error::invalid("cursor", "not one of this backend's"))
}

#[async_trait]
impl Backend for KylinBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        self.capabilities.clone()
    }

    /// A page of one job: it says whether the address, the face and the credentials are right.
    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        let asked = Asked { project: self.projects.first(), key: None };
        self.kylin.list(ctx, asked, 0, 1).await?;
        Ok(self.capabilities())
    }

    fn plan(&self, _: Intent) -> Result<Plan> {
        Err(self.unsupported("submitting batches", NO_SUBMIT))
    }

    async fn submit(&self, _: &Context, _: Plan) -> Result<Batch<NativeId>, SubmitError> {
        Err(SubmitError::Refused(self.unsupported("submitting batches", NO_SUBMIT)))
    }

    async fn look_up(&self, _: &Context, _: &Sought) -> Result<Sighting> {
        Ok(Sighting::CannotTell)
    }

    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let job = self.find(ctx, id).await?;
        match detail {
            Detail::Summary | Detail::Steps if self.version().is_five() => {
                self.with_steps(ctx, job, detail == Detail::Steps).await
            }
            Detail::Steps => Ok(job),
            Detail::State | Detail::Summary => Ok(Batch { steps: Vec::new(), ..job }),
        }
    }

    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let (scope, page) = place(after.as_ref())?;
        let scopes = self.scopes().count();
        let project = self.scopes().nth(scope).ok_or_else(|| Error::invalid("cursor", "not one of this backend's"))?;
        let size = self.kylin.page_size();
        let listed = self.kylin.list(ctx, Asked { project, key: None }, page, size).await?;
        self.known.learn(&listed.jobs);
        // A count that moves meanwhile is no reason to stop early: only a page that is not full is the last one.
        let next = match listed.is_full {
            true => Some((scope, page + 1)),
            false => Some((scope + 1, 0)).filter(|(scope, _)| *scope < scopes),
        };
        let next = next.map(|(scope, page)| Cursor(format!("{scope}/{page}")));
        Ok(Page { rows: listed.jobs, total: listed.total.filter(|_| scopes == 1), next })
    }

    /// Its rows say where a job stands.
    fn rows_tell(&self, _: &DialectName, detail: Detail) -> bool {
        match detail {
            Detail::State => true,
            Detail::Summary | Detail::Steps => false,
        }
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        check_id(id)?;
        let step = match &query.source {
            LogSource::Default | LogSource::Driver { attempt: 1 } => self.default_step(ctx, id).await?,
            LogSource::Driver { .. } => {
                return Err(Error::new(ErrorKind::NotFound(Missing::Log), "a Kylin has one log of each step"));
            }
            LogSource::Step(step) => Some(step.clone()),
        };
        match (step, query.lines) {
            (Some(step), lines) => self.step_log(ctx, id, &self.native_step(id, &step)?, lines).await,
            (None, Lines::All) => Ok(whole(String::new())),
            (None, Lines::Tail(_) | Lines::From(..) | Lines::HeadAndTail(_)) => Ok(Log::page(0, 0, Vec::new())),
        }
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        let what = format!("the action '{}'", action.as_str());
        if !self.capabilities.actions.contains(action) {
            return Err(self.unsupported(&what, "a Kylin does not know it"));
        }
        let (word, verb) = match action {
            Action::Cancel => ("DISCARD", "cancel"),
            Action::Pause => ("PAUSE", "pause"),
            Action::Resume => ("RESUME", "resume"),
            Action::Restart => ("RESTART", ""),
            Action::Forget | Action::CancelAndForget => return Err(self.unsupported(&what, "a Kylin does not know it")),
        };
        match self.version().is_five() {
            true => self.act(ctx, id, action, word).await,
            false => self.act_guarded(ctx, id, action, verb).await,
        }
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod tests;
