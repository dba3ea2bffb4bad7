//! What the outside is told of what happens here: metrics, the audit, the log of requests. The server implements it once.

use std::time::Duration;

use batchlingua_core::{BackendName, BatchState, Context, DialectName, ListenerName, Phase, Unproven, Uuid};

/// Is told what happens.
pub trait Observer: Send + Sync + 'static {
    /// A request was answered.
    fn request(&self, record: &RequestRecord<'_>);

    /// Somebody was not believed.
    fn refused(&self, login: &RefusedLogin<'_>);

    /// A backend was called.
    fn call(&self, record: &CallRecord<'_>);

    /// A submit or an action on a batch had its outcome.
    fn audit(&self, record: &AuditRecord<'_>);

    /// A submit has come so far.
    fn phase(&self, backend: &BackendName, phase: Phase);

    /// A batch was seen to change.
    fn state(&self, backend: &BackendName, state: BatchState);
}

/// One answered request.
#[derive(Debug)]
pub struct RequestRecord<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// The dialect, or `none` where no dialect has the path.
    pub dialect: &'a str,
    /// The operation, or the name of the route, or `unmatched`.
    pub operation: &'a str,
    /// The status answered.
    pub status: u16,
    /// From head to head.
    pub duration: Duration,
    /// The fault, with its cause, for the log.
    pub error: Option<&'a batchlingua_core::Error>,
}

/// Somebody who was not believed.
#[derive(Debug)]
pub struct RefusedLogin<'a> {
    /// The request's id.
    pub request: &'a str,
    /// By which listener.
    pub listener: &'a ListenerName,
    /// In which dialect.
    pub dialect: &'a DialectName,
    /// The name that was claimed, where one was: nobody has checked it.
    pub claimed: Option<&'a str>,
    /// Why.
    pub why: Unproven,
}

/// One call of a backend.
#[derive(Debug)]
pub struct CallRecord<'a> {
    /// Which backend.
    pub backend: &'a BackendName,
    /// Which call.
    pub call: &'static str,
    /// `ok`, or the kind of error.
    pub outcome: &'static str,
    /// How long it took.
    pub duration: Duration,
}

/// One submit or action on a batch.
#[derive(Debug)]
pub struct AuditRecord<'a> {
    /// Who, by which way.
    pub ctx: &'a Context,
    /// `submit`, or the action.
    pub action: &'static str,
    /// The batch.
    pub batch: Option<Uuid>,
    /// Where it runs.
    pub backend: Option<&'a BackendName>,
    /// Its name, as the client gave it.
    pub name: Option<&'a str>,
    /// `ok`, or the kind of error.
    pub outcome: &'static str,
    /// The fields that the backend did not get.
    pub unmapped: &'a [String],
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn request(&self, _: &RequestRecord<'_>) {}
    fn refused(&self, _: &RefusedLogin<'_>) {}
    fn call(&self, _: &CallRecord<'_>) {}
    fn audit(&self, _: &AuditRecord<'_>) {}
    fn phase(&self, _: &BackendName, _: Phase) {}
    fn state(&self, _: &BackendName, _: BatchState) {}
}

/// The word of a result in records.
pub(crate) fn outcome_word<T>(result: Result<T, &batchlingua_core::Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.kind.as_str(),
    }
}

/// A dialect's name where there may be none.
pub(crate) fn dialect_word(name: Option<&DialectName>) -> &str {
    name.map_or("none", DialectName::as_str)
}
