//! Kylin's calls: which there are, what they ask, and how they are answered.
//!
//! Not served, and never passed on: what makes jobs, statistics, profiling, and the calls by which Kylin's own Spark drivers change the state
//! of jobs without proving who they are.

use std::sync::Arc;

use batchlingua_core::{
    Batch, BatchId, Clock, Controlled, Credentials, Detail, DialectName, Error, ErrorKind, Millis, Missing, Operation,
    Outcome, Page, Project, Reply, Result,
};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, EncodedRows, Miss, Ownership, RequestBody, RequestHead, Route,
};
use http::{Method, Response, StatusCode, header};

use crate::{
    FrontSettings, NAME, answer, control,
    convert::Shown,
    error::{self, PROJECT_BLANK, Refusal},
    face::{self, Face, Negotiated, Spoken},
    list, log,
    native::{self, Extent},
    period,
    query::Parameters,
    row, session,
};

/// Kylin as a server speaks it.
pub(crate) struct KylinDialect {
    name: DialectName,
    settings: FrontSettings,
    /// How long a batch has waited and run by now is told in lists.
    clock: Arc<dyn Clock>,
    rows: EncodedRows<Face>,
}

const ROUTES: &[Route] = &[
    Route::new("login", Method::POST, "/kylin/api/user/authentication[/]", BodyKind::None),
    Route::new("login", Method::GET, "/kylin/api/user/authentication[/]", BodyKind::None),
    Route::new("logout", Method::GET, "/kylin/api/j_spring_security_logout[/]", BodyKind::None),
    Route::new("logout", Method::POST, "/kylin/api/j_spring_security_logout[/]", BodyKind::None),
    Route::new("list", Method::GET, "/kylin/api/jobs[/]", BodyKind::None),
    Route::new("forget", Method::DELETE, "/kylin/api/jobs[/]", BodyKind::None),
    Route::new("status", Method::PUT, "/kylin/api/jobs/status[/]", BodyKind::Bytes),
    Route::new("get", Method::GET, "/kylin/api/jobs/{id}[/]", BodyKind::None),
    Route::new("detail", Method::GET, "/kylin/api/jobs/{id}/detail[/]", BodyKind::None),
    Route::new("output", Method::GET, "/kylin/api/jobs/{id}/steps/{step}/output[/]", BodyKind::None),
    Route::new("log", Method::GET, "/kylin/api/jobs/{id}/steps/{step}/log[/]", BodyKind::None),
    Route::new("resume", Method::PUT, "/kylin/api/jobs/{id}/resume[/]", BodyKind::None),
    Route::new("cancel", Method::PUT, "/kylin/api/jobs/{id}/cancel[/]", BodyKind::None),
    Route::new("pause", Method::PUT, "/kylin/api/jobs/{id}/pause[/]", BodyKind::None),
    Route::new("drop", Method::DELETE, "/kylin/api/jobs/{id}/drop[/]", BodyKind::None),
];

/// What stands in the place of an id in calls that are not served.
const NO_IDS: [&str; 11] = [
    "statistics",
    "overview",
    "waiting_jobs",
    "profile",
    "spark",
    "stage",
    "error",
    "wait_and_run_time",
    "destroy_job_process",
    "replace_metadata",
    "gluten_cache",
];

impl KylinDialect {
    pub(crate) fn new(settings: FrontSettings, clock: Arc<dyn Clock>) -> Self {
        Self { name: DialectName::from(NAME), settings, clock, rows: EncodedRows::default() }
    }

    fn negotiated(&self, head: &RequestHead) -> Negotiated {
        face::of(head, self.settings.strict)
    }

    /// What errors of this request are said in.
    fn spoken(&self, head: &RequestHead) -> Spoken {
        self.negotiated(head).or_plain()
    }

    fn framework(&self, head: &RequestHead, status: StatusCode) -> Response<Body> {
        answer::framework(head, status, period::written(self.clock.now()))
    }

    fn shown<'a>(&'a self, batch: &'a Batch<BatchId>, now: Millis) -> Shown<'a> {
        Shown { batch, settings: &self.settings, now: Some(now) }
    }

    fn asked(&self, head: &RequestHead, body: RequestBody, spoken: Spoken) -> Result<Decoded> {
        let refused = |refusal: Refusal| refusal.into_error(head, spoken);
        let output = || Decoded::Answer(log::encode_output(head, spoken, None));
        let operation = match head.route_name() {
            "list" => {
                let now = self.clock.now();
                Operation::List(Box::new(
                    list::read(spoken.face, &head.target.query, &self.settings, now).map_err(refused)?,
                ))
            }
            "get" => Operation::Get(control::job(head.param(0)), Detail::Steps),
            "detail" => {
                log::needs_project(head).map_err(refused)?;
                Operation::Get(control::job(head.param(0)), Detail::Steps)
            }
            "output" => match log::output(head, spoken.face).map_err(refused)? {
                Some(operation) => operation,
                None => return Ok(output()),
            },
            "log" => match log::file(head).map_err(refused)? {
                Some(operation) => operation,
                None => return Ok(Decoded::Answer(log::encode_file(head, &self.settings, None))),
            },
            "status" => control::status(head, self.body(&body)?, &self.settings).map_err(refused)?,
            "forget" => control::forget(head).map_err(refused)?,
            "login" => return Ok(Decoded::Answer(session::log_in(head, spoken))),
            one => control::one(one, head.param(0)),
        };
        Ok(Decoded::Operation(operation))
    }

    fn body<'a>(&self, body: &'a RequestBody) -> Result<&'a [u8]> {
        let RequestBody::Bytes(bytes) = body else { return Ok(&[]) };
        let max = self.settings.max_body;
        if bytes.len() <= max {
            return Ok(bytes);
        }
        let kind = ErrorKind::TooLarge { limit: "max_body", max: max as u64 };
        Err(Error::new(kind, format!("the request's body is larger than {max} bytes (max_body)")))
    }

    fn one(&self, head: &RequestHead, spoken: Spoken, batch: &Batch<BatchId>) -> Response<Body> {
        let shown = self.shown(batch, self.clock.now());
        if let Some(native) = native::job(batch, spoken.face, Extent::Whole) {
            return answer::data(head, spoken, &native);
        }
        match spoken.face {
            Face::V4 => answer::data(head, spoken, &shown.whole_job()),
            Face::V2 => answer::data(head, spoken, &shown.job2()),
            Face::Legacy => answer::data(head, spoken, &shown.instance()),
        }
    }

    fn row(&self, out: &mut Vec<u8>, batch: &Arc<Batch<BatchId>>, face: Face, now: Millis) {
        let shown = self.shown(batch, now);
        // Steps of its own have times of their own.
        if batch.steps.is_empty() {
            row::write(out, &self.rows.text(batch, &face, || row::encode(shown, face)), batch, now);
        } else {
            out.extend(row::whole(shown, face));
        }
    }

    fn many(&self, head: &RequestHead, spoken: Spoken, page: &Page<Arc<Batch<BatchId>>>) -> Response<Body> {
        let now = self.clock.now();
        let total = page.total.unwrap_or(page.rows.len() as u64);
        let (before, behind) = match spoken.face {
            Face::V4 => {
                // It was decoded from the same query, so it can be read.
                let (offset, limit) = list::page(spoken.face, &head.target.query).unwrap_or((0, 0));
                ("{\"value\":[", format!("],\"total_size\":{total},\"offset\":{offset},\"limit\":{limit}}}"))
            }
            Face::V2 => ("{\"jobs\":[", format!("],\"size\":{total}}}")),
            Face::Legacy => ("[", "]".to_owned()),
        };
        answer::written(head, spoken, |out| {
            out.extend_from_slice(before.as_bytes());
            for (at, batch) in page.rows.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                self.row(out, batch, spoken.face, now);
            }
            out.extend_from_slice(behind.as_bytes());
        })
    }

    /// The first job that could not be acted on is the answer. The older faces' calls on one job show it as it is then.
    fn controlled(&self, head: &RequestHead, spoken: Spoken, all: &[Controlled<BatchId>]) -> Response<Body> {
        if let Some(refusal) = all.iter().find_map(|one| error::of_controlled(head, spoken, one)) {
            return refusal;
        }
        match (head.route_name(), all) {
            ("resume" | "cancel" | "pause" | "drop", [Controlled { after: Some(batch), .. }]) => {
                self.one(head, spoken, batch)
            }
            _ => answer::data(head, spoken, &""),
        }
    }

    fn answered(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        let spoken = self.spoken(head);
        match &reply.outcome {
            Outcome::Submitted { batch, .. } => self.one(head, spoken, batch),
            Outcome::Batch(batch) if head.route_name() == "detail" => match native::steps(batch) {
                Some(steps) => answer::data(head, spoken, &steps),
                None => answer::data(head, spoken, &self.shown(batch, self.clock.now()).steps()),
            },
            Outcome::Batch(batch) => self.one(head, spoken, batch),
            Outcome::Page(page) => self.many(head, spoken, page),
            Outcome::Log(_, log) if head.route_name() == "log" => log::encode_file(head, &self.settings, Some(log)),
            Outcome::Log(_, log) => log::encode_output(head, spoken, Some(log)),
            Outcome::Controlled(all) => self.controlled(head, spoken, all),
        }
    }

    fn failed(&self, head: &RequestHead, error: &Error) -> Response<Body> {
        let spoken = self.spoken(head);
        let is_own = error.native.as_ref().is_some_and(|native| error::is_of_face(native, spoken.face));
        match (&error.kind, head.route_name(), spoken.face) {
            _ if is_own => error::encode(head, spoken, error),
            (ErrorKind::NotFound(Missing::Batch(_)), "output", Face::V2) => {
                let text = format!("job '{}' is in no project", head.param(0));
                let refusal = Refusal::new(500, PROJECT_BLANK, "id", text);
                error::encode(head, spoken, &refusal.into_error(head, spoken))
            }
            // A job or step that is not there has no output, and that is no failure.
            (ErrorKind::NotFound(Missing::Batch(_) | Missing::Log | Missing::Step(_)), "output", _) => {
                log::encode_output(head, spoken, None)
            }
            (ErrorKind::NotFound(Missing::Log | Missing::Step(_)), "log", _) => {
                log::encode_file(head, &self.settings, None)
            }
            (ErrorKind::Unsupported { .. }, "output", _) => log::encode_output(head, spoken, None),
            // The legacy face says nothing at all, and kylinpy takes that for "no such job".
            (ErrorKind::NotFound(Missing::Batch(_)), "get", Face::Legacy) => {
                answer::plain(200, Some(spoken.content_type), "")
            }
            _ => error::encode(head, spoken, error),
        }
    }
}

impl Dialect for KylinDialect {
    fn name(&self) -> &DialectName {
        &self.name
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn claims(&self, head: &RequestHead) -> bool {
        head.target.segments.first().is_some_and(|first| first == "kylin")
    }

    fn nobody(&self) -> &'static str {
        "ADMIN"
    }

    fn ownership(&self) -> Ownership {
        Ownership::Shared
    }

    fn has_sessions(&self) -> bool {
        true
    }

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        session::credentials(head)
    }

    fn project(&self, head: &RequestHead) -> Option<Project> {
        let parameters = Parameters(&head.target.query);
        let name = match (head.route_name(), self.spoken(head).face) {
            ("list", Face::V2 | Face::Legacy) => "projectName",
            ("list" | "detail" | "output" | "log" | "forget", _) => "project",
            // The status call has it in its body, where it chooses jobs and does not hide any.
            _ => return None,
        };
        parameters.given(name).map(Project::from)
    }

    fn unscoped_project(&self) -> Option<&str> {
        Some(&self.settings.default_project)
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        if head.route_name() == "logout" {
            return Ok(Decoded::Answer(session::take_back(head)));
        }
        let is_no_id = head.route_name() == "get" && NO_IDS.contains(&head.param(0));
        let mut decoded = match self.negotiated(head) {
            _ if is_no_id => Decoded::Answer(self.framework(head, StatusCode::NOT_FOUND)),
            Negotiated::NoSuchCall => Decoded::Answer(self.framework(head, StatusCode::NOT_FOUND)),
            Negotiated::NotAcceptable => Decoded::Answer(answer::plain(406, None, "")),
            Negotiated::Spoken(spoken) => self.asked(head, body, spoken)?,
        };
        if let Decoded::Answer(response) = &mut decoded {
            session::give(head, response);
        }
        Ok(decoded)
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        let mut response = self.answered(head, reply);
        session::give(head, &mut response);
        response
    }

    fn encode_error(&self, head: &RequestHead, error: &Error) -> Response<Body> {
        let mut response = self.failed(head, error);
        session::give(head, &mut response);
        response
    }

    fn encode_miss(&self, head: &RequestHead, miss: &Miss) -> Response<Body> {
        let is_no_id = head.target.segments.get(3).is_some_and(|id| NO_IDS.contains(&id.as_str()));
        match miss {
            Miss::Path => self.framework(head, StatusCode::NOT_FOUND),
            Miss::Method(_) if is_no_id => self.framework(head, StatusCode::NOT_FOUND),
            Miss::Method(allowed) => {
                let mut response = self.framework(head, StatusCode::METHOD_NOT_ALLOWED);
                let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                answer::put(response.headers_mut(), header::ALLOW, &names.join(", "));
                response
            }
        }
    }

    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        Some(error::bad_message(status, reason))
    }
}
