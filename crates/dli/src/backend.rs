//! DLI as a backend.
//!
//! DLI's word for a batch that was cancelled is the one for a failure, so a dead batch is read as failed; whoever knows that its end was asked
//! for knows better ([`Capabilities::tells_cancelled`]). Of a submit whose outcome nobody knows the mark is looked for in the project's list.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, Capabilities, Clock, Context, Cursor, Detail, DialectName, Effect, Error, ErrorKind,
    Intent, Log, LogQuery, Marking, Millis, NativeId, NativeIds, Page, Plan, Project, Result, Revival, Sighting,
    Sought, SubmitError,
};
use batchlingua_wire::{Answer, Client, OpenContext, Platform, Signer};
use bytes::Bytes;

use crate::{
    NAME,
    client::{DliClient, Listed, Place},
    error::About,
    logs::{self, Logs},
    names,
    plan::{plan, wire_name},
    seen::{Extent, Object, Reader},
    settings::BackendSettings,
    signer::DliSigner,
};

/// Batches of one page of a list.
const PAGE: u64 = 100;
/// Most pages that one look for a mark reads.
const LOOKED_AT: u32 = 100;
/// How far a clock here and DLI's may differ: with more no signature would hold.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// A DLI.
pub(crate) struct DliBackend {
    client: Arc<DliClient>,
    settings: BackendSettings,
    reader: Reader,
    clock: Arc<dyn Clock>,
    capabilities: Arc<Capabilities>,
}

/// Opens a DLI: nothing is asked of it yet.
pub(crate) fn open(context: OpenContext, settings: BackendSettings) -> Result<Platform> {
    Ok(Platform::new(Arc::new(DliBackend::new(context, settings)?)))
}

impl DliBackend {
    pub(crate) fn new(context: OpenContext, settings: BackendSettings) -> Result<Self> {
        let OpenContext { name, clock } = context;
        let signer = settings.client.access_key().cloned().map(|key| DliSigner::new(key, clock.clone()));
        let signer = signer.map(|signer| Arc::new(signer) as Arc<dyn Signer>);
        let callers = settings.client.takes_callers();
        let client = Arc::new(DliClient::new(Client::new(name, &settings.client, signer)?, callers));
        let capabilities = Arc::new(capabilities(&settings, callers));
        let reader = Reader::new(settings.scope.clone(), settings.echo);
        Ok(Self { client, settings, reader, clock, capabilities })
    }

    /// Where a batch is; of an id in no project of its own the places where it may be, in order.
    fn places(&self, ctx: &Context, id: &NativeId) -> Result<VecDeque<Place>> {
        let (project, batch) = match id.as_str().split_once('/') {
            Some((project, batch)) => (Some(Project::from(project)), batch),
            None => (None, id.as_str()),
        };
        if !names::is_native_id(batch) {
            return Err(Error::no_batch(id));
        }
        let scope = &self.settings.scope;
        let callers = ctx.project.iter().filter(|_| scope.is_clients);
        let projects: Vec<&Project> = match &project {
            Some(project) => vec![project],
            None => scope.own.iter().chain(callers).collect(),
        };
        let mut places = VecDeque::new();
        for project in projects.into_iter().filter(|project| names::is_project(project.as_str())) {
            let place = Place { project: project.clone(), batch: batch.to_owned() };
            if !places.contains(&place) {
                places.push_back(place);
            }
        }
        if places.is_empty() { Err(Error::no_batch(id)) } else { Ok(places) }
    }

    /// The batch, from the first place that has it.
    async fn find(&self, ctx: &Context, id: &NativeId, extent: Extent) -> Result<(Place, Batch<NativeId>)> {
        let mut places = self.places(ctx, id)?;
        while let Some(place) = places.pop_front() {
            match self.client.get(ctx, &place).await {
                Ok(body) => {
                    let batch = self.reader.batch(&place.project, &body, extent);
                    let batch = batch.map_err(|why| self.client.no_answer(&body, why))?;
                    return Ok((place, batch));
                }
                Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) && !places.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::no_batch(id))
    }

    /// The one place of a batch that has been seen there.
    fn place(&self, ctx: &Context, id: &NativeId) -> Result<Place> {
        self.places(ctx, id)?.pop_front().ok_or_else(|| Error::no_batch(id))
    }

    /// A create's answer. A batch that has an id is one, whatever else is said; without one nobody knows.
    fn created(&self, project: &Project, answer: &Answer) -> Result<Batch<NativeId>, SubmitError> {
        self.reader
            .created(project, answer)
            .map_err(|why| SubmitError::Unknown(self.client.no_answer(&answer.body, why)))
    }

    async fn page(&self, ctx: &Context, project: &Project, from: u64) -> Result<Bytes> {
        self.client.list(ctx, project, from, PAGE).await
    }

    fn row(&self, project: &Project, row: &str) -> Result<Batch<NativeId>> {
        self.reader.batch(project, row.as_bytes(), Extent::Whole).map_err(|why| self.client.no_answer(b"", why))
    }
}

fn capabilities(settings: &BackendSettings, caller_credentials: bool) -> Capabilities {
    Capabilities {
        submit: true,
        upload: false,
        log: true,
        steps: false,
        actions: [Action::Cancel].into_iter().collect(),
        marking: Marking::Findable,
        ids: NativeIds::Unique,
        settle: settings.settle,
        revival: Revival::Never,
        tells_cancelled: false,
        cheap_reads: false,
        caller_credentials,
        slow_actions: None,
    }
}

#[async_trait]
impl Backend for DliBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        self.capabilities.clone()
    }

    /// DLI tells no version; that it lists one batch says that it lives and knows who asks. Where clients bring the project there may be none
    /// to ask for.
    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        if let Some(project) = self.settings.scope.walked().next() {
            let body = self.client.list(ctx, project, 0, 1).await?;
            self.client.listed(&body, 0)?;
        }
        Ok(self.capabilities.clone())
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        let made = plan(&self.settings, self.client.http.backend(), &intent)?;
        Ok(Plan { intent, request: made.body.into(), fates: made.fates })
    }

    fn head(&self, plan: &Plan) -> String {
        let project = self.settings.scope.for_batch(plan.intent.project.as_ref(), self.client.http.backend());
        project.map_or_else(
            |_| String::new(),
            |project| self.client.http.head_of(&self.client.create(&project, plan.request.clone())),
        )
    }

    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        let backend = self.client.http.backend();
        let project =
            self.settings.scope.for_batch(plan.intent.project.as_ref(), backend).map_err(SubmitError::NotSent)?;
        let call = self.client.create(&project, plan.request);
        let answer = self.client.send(ctx, call).await.map_err(|error| error.into_submit_error(backend))?;
        if answer.status.is_success() {
            return self.created(&project, &answer);
        }
        let refusal = self.client.refusal(ctx, &answer, About::Create);
        Err(if refusal.is_sure { SubmitError::Refused(refusal.error) } else { SubmitError::Unknown(refusal.error) })
    }

    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        let project = self.settings.scope.for_batch(sought.project.as_ref(), self.client.http.backend())?;
        let since = sought.since.minus(SKEW);
        let name = wire_name(sought.spec.name.as_deref(), &sought.marker, self.settings.echo);
        let mut order = NewestFirst::default();
        let (mut from, mut others_seen, mut is_hidden) = (0, false, false);
        for _ in 0..LOOKED_AT {
            let body = self.page(ctx, &project, from).await?;
            let listed = self.client.listed(&body, from)?;
            for row in &listed.sessions {
                let object = Object::read(row.get().as_bytes()).filter(|object| object.id().is_some());
                let object = object.ok_or_else(|| self.client.no_answer(b"", "a row of its list is no batch"))?;
                match object.marks(self.settings.echo) {
                    Some(marks) if marks.contains(&sought.marker.uuid) => {
                        return Ok(Sighting::Found(Box::new(self.row(&project, row.get())?)));
                    }
                    Some(_) => {}
                    // It may be the one: it is young enough and has its name, and does not show its mark.
                    None => {
                        let is_young = object.created().is_none_or(|created| created >= since);
                        is_hidden |= is_young && object.name().as_deref() == name.as_deref();
                    }
                }
                others_seen = true;
                order.saw(object.created());
            }
            match after(&listed) {
                Some(next) if !order.is_before(since) => from = next,
                _ if is_hidden => return Ok(Sighting::CannotTell),
                _ => return Ok(Sighting::Absent { others_seen }),
            }
        }
        let kind = ErrorKind::BackendUnavailable { retry_after: crate::client::TRY_AGAIN };
        let backend = self.client.http.backend();
        Err(Error::new(kind, format!("backend '{backend}' has more new batches than one look goes through")))
    }

    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let extent = match detail {
            Detail::State => Extent::State,
            Detail::Summary | Detail::Steps => Extent::Whole,
        };
        self.find(ctx, id, extent).await.map(|(_, batch)| batch)
    }

    /// Project by project, the newest first: what is younger than the walk is in its first page, and seen by the next one.
    async fn scan(&self, ctx: &Context, cursor: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let at = Step::of(cursor.as_ref());
        let Some(project) = self.settings.scope.walked().nth(at.project) else {
            return Ok(Page { rows: Vec::new(), total: None, next: None });
        };
        let body = self.page(ctx, project, at.from).await?;
        let listed = self.client.listed(&body, at.from)?;
        let rows = listed.sessions.iter().map(|row| self.row(project, row.get())).collect::<Result<Vec<_>>>()?;
        let first = rows.first().map(|row| row.id.as_str()).unwrap_or_default();
        if at.from > 0 && first == at.first && !first.is_empty() {
            return Err(self.client.no_answer(b"", "its list shows the same page again"));
        }
        let mut order = NewestFirst::default();
        rows.iter().for_each(|row| order.saw(Some(row.times.created)));
        let horizon = self.clock.now().minus(self.settings.walk_back);
        let is_far =
            order.is_before(horizon) && rows.iter().all(|row| row.state.is_end() && row.times.created < horizon);
        let next = match after(&listed) {
            Some(from) if !is_far => Some(Step { project: at.project, from, first: first.to_owned() }),
            _ => Some(Step { project: at.project + 1, from: 0, first: String::new() })
                .filter(|next| self.settings.scope.walked().nth(next.project).is_some()),
        };
        Ok(Page { rows, total: None, next: next.map(Step::into_cursor) })
    }

    /// A batch by itself has members that no row has, which only its own clients are shown.
    fn rows_tell(&self, dialect: &DialectName, detail: Detail) -> bool {
        match detail {
            Detail::State => true,
            Detail::Summary => dialect.as_str() != NAME,
            Detail::Steps => false,
        }
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        let retry = logs::retry(&query.source)?;
        let place = self.place(ctx, id)?;
        Logs { client: self.client.clone(), ctx: ctx.clone(), place, retry }.read(query).await
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        match action {
            Action::Cancel => {}
            Action::Pause | Action::Resume | Action::Restart | Action::Forget | Action::CancelAndForget => {
                let backend = self.client.http.backend().clone();
                let message = format!("backend '{backend}' does not offer the action '{}'", action.as_str());
                return Err(Error::new(ErrorKind::Unsupported { backend, what: action.as_str().to_owned() }, message));
            }
        }
        let place = self.place(ctx, id)?;
        let Err(refused) = self.client.cancel(ctx, &place).await else { return Ok(Effect::Accepted) };
        match refused.kind {
            // By which code a batch that has ended is refused nobody says: so it is looked at.
            ErrorKind::BackendRejected | ErrorKind::NotFound(_) => {}
            _ => return Err(refused),
        }
        let (_, batch) = self.find(ctx, id, Extent::State).await?;
        if batch.state.is_end() { Ok(Effect::AlreadyEnded(batch.state)) } else { Err(refused) }
    }
}

/// The index of the page after this one. A list that tells how much there is may have shorter pages than were asked for.
fn after(listed: &Listed<'_>) -> Option<u64> {
    let count = listed.sessions.len() as u64;
    let next = listed.from + count;
    let is_more = match listed.total {
        Some(total) => next < total,
        None => count >= PAGE,
    };
    (count > 0 && is_more).then_some(next)
}

/// Whether a list that was asked for the newest first is in that order: by default nobody knows which one it has.
#[derive(Default)]
struct NewestFirst {
    last: Option<Millis>,
    is_broken: bool,
}

impl NewestFirst {
    fn saw(&mut self, created: Option<Millis>) {
        let created = created.filter(|created| created.0 > 0);
        self.is_broken |= created.is_none() || self.last.is_some_and(|last| created > Some(last));
        self.last = created.or(self.last);
    }

    /// Whether all that follows was created before this.
    fn is_before(&self, at: Millis) -> bool {
        !self.is_broken && self.last.is_some_and(|last| last < at)
    }
}

/// Where a walk is.
struct Step {
    /// Of the projects that are walked.
    project: usize,
    from: u64,
    /// The first batch of the page before: if this one begins with it, too, the list does not go on.
    first: String,
}

impl Step {
    fn of(cursor: Option<&Cursor>) -> Self {
        let text = cursor.map_or("", |cursor| cursor.0.as_str());
        let mut parts = text.splitn(3, ' ');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0_u64);
        let (project, from) = (number(), number());
        let first = parts.next().unwrap_or_default().to_owned();
        Self { project: usize::try_from(project).unwrap_or(usize::MAX), from, first }
    }

    fn into_cursor(self) -> Cursor {
        Cursor(format!("{} {} {}", self.project, self.from, self.first))
    }
}

#[cfg(test)]
mod tests;
