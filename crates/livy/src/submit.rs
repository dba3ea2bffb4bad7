//! One submit to a Livy, and what can be said of it afterwards.
//!
//! The one POST is never sent again. Its answer is read for what it says, not for its number: a Livy refuses with 400 and with 500, and a 500
//! may be all that a gateway says of a batch that runs. What was refused may have left a record behind that has the name and never goes away
//! (a ghost): it is looked for by the name, and removed if nothing of a job is in it. A name that was somebody else's before is never looked
//! at: what has it is theirs.

use std::time::Duration;

use batchlingua_core::{Context, Error, ErrorKind, Marker, NativeId, Plan, Result, Sighting, Sought, SubmitError};
use bytes::Bytes;
use http::StatusCode;

use crate::{
    NAME,
    backend::LivyBackend,
    client::submit_call,
    names, plan,
    refusal::{About, Speaker, is_duplicate},
    seen::{self, Seen},
};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A submit as it is sent.
struct Wish {
    body: Bytes,
    /// What nobody but this submit can have there, as far as was seen before it was sent.
    name: Option<String>,
    /// Whether that was made of its own uuid, so that nobody can have taken it since.
    is_made: bool,
}

impl LivyBackend {
    /// Sends what was planned.
    pub(crate) async fn send(&self, ctx: &Context, plan: Plan) -> Result<Seen, SubmitError> {
        let has_names = self.has_names(ctx).await.map_err(SubmitError::NotSent)?;
        let Plan { intent, request, .. } = plan;
        let name = intent.marker.name.as_deref().filter(|name| has_names && names::is_addressable(name));
        let Some(name) = name else {
            return self.post(ctx, Wish { body: request, name: None, is_made: false }).await;
        };
        if name == names::made(intent.marker.uuid) {
            return self.post(ctx, Wish { body: request, name: Some(name.to_owned()), is_made: true }).await;
        }
        let turn = self.turns.take(name, ctx.deadline).await;
        let _turn = turn.ok_or_else(|| SubmitError::NotSent(self.no_turn(name)))?;
        let is_own_dialect = intent.dialect.as_str() == NAME;
        let wish =
            self.named(ctx, request, &intent.marker, name, is_own_dialect).await.map_err(SubmitError::NotSent)?;
        self.post(ctx, wish).await
    }

    /// Whether the name is free; if not, another one is sent, or the Livy is to say so to its own client.
    async fn named(
        &self,
        ctx: &Context,
        body: Bytes,
        marker: &Marker,
        name: &str,
        is_own_dialect: bool,
    ) -> Result<Wish> {
        match self.livy.get(ctx, name).await {
            Err(error) if is_absent(&error) => Ok(Wish { body, name: Some(name.to_owned()), is_made: false }),
            Err(error) => Err(error),
            Ok(_) if is_own_dialect => Ok(Wish { body, name: None, is_made: false }),
            Ok(_) => {
                let body = plan::renamed(&body, marker).ok_or_else(|| Error::internal("a plan that is no object"))?;
                Ok(Wish { body, name: marker.second_name(), is_made: true })
            }
        }
    }

    fn no_turn(&self, name: &str) -> Error {
        let message = format!(
            "other submits of the name '{name}' to backend '{}' are on their way; nothing was sent, try again",
            self.livy.http.backend()
        );
        Error::new(ErrorKind::Throttled { retry_after: RETRY_AFTER }, message)
    }

    async fn post(&self, ctx: &Context, wish: Wish) -> Result<Seen, SubmitError> {
        let http = &self.livy.http;
        let answer = http.exchange(ctx, submit_call(wish.body)).await;
        let answer = answer.map_err(|error| error.into_submit_error(http.backend()))?;
        let reader = self.livy.reader(ctx);
        let status = answer.status;
        if status.is_success() {
            let seen = seen::batch(&answer.body);
            return seen.map_err(|fault| SubmitError::Unknown(reader.unreadable(&answer, &fault)));
        }
        let error = reader.refusal(&answer, About::Others);
        let speaker = Speaker::of(&answer);
        match speaker.words() {
            // Somebody in between has not waited for the end of the request, or of the answer.
            _ if status == StatusCode::REQUEST_TIMEOUT => Err(SubmitError::Unknown(error)),
            // Somebody in between has sent it twice.
            Some(words) if is_duplicate(words) && wish.is_made => self.after_exception(ctx, error, wish.name).await,
            Some(words) if is_duplicate(words) => Err(SubmitError::Refused(error)),
            Some(_) if status == StatusCode::INTERNAL_SERVER_ERROR => self.after_exception(ctx, error, wish.name).await,
            _ if status.is_server_error() => Err(SubmitError::Unknown(error)),
            Some(_) if matches!(error.kind, ErrorKind::Throttled { .. }) => Err(SubmitError::Refused(error)),
            Some(_) => {
                self.bury_ghost(ctx, wish.name).await;
                Err(SubmitError::Refused(error))
            }
            None => Err(SubmitError::Refused(error)),
        }
    }

    /// Livy throws before a batch runs, and seldom after. What has the name is this submit's.
    async fn after_exception(&self, ctx: &Context, error: Error, name: Option<String>) -> Result<Seen, SubmitError> {
        let Some(name) = name else { return Err(SubmitError::Refused(error)) };
        match self.livy.get(ctx, &name).await {
            Ok(seen) if seen.is_ghost => {
                self.bury(ctx, &seen.batch.id).await;
                Err(SubmitError::Refused(error))
            }
            Ok(seen) => Ok(seen),
            Err(absent) if is_absent(&absent) => Err(SubmitError::Refused(error)),
            Err(fault) => Err(SubmitError::Unknown(error.caused_by(fault.detail()))),
        }
    }

    async fn bury_ghost(&self, ctx: &Context, name: Option<String>) {
        let Some(name) = name else { return };
        match self.livy.get(ctx, &name).await {
            Ok(seen) if seen.is_ghost => self.bury(ctx, &seen.batch.id).await,
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                tracing::warn!(backend = %self.livy.http.backend(), cause = error.detail(), "whether a refused submit has left a record cannot be seen");
            }
        }
    }

    async fn bury(&self, ctx: &Context, id: &NativeId) {
        if let Err(error) = self.livy.delete(ctx, id).await {
            tracing::warn!(backend = %self.livy.http.backend(), native = %id, cause = error.detail(), "the record that a refused submit has left cannot be removed");
        }
    }

    /// Looks for a submit by the names that it may have there.
    pub(crate) async fn sight(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        if !self.has_names(ctx).await? {
            return Ok(Sighting::CannotTell);
        }
        let marker = &sought.marker;
        let first = marker.name.clone().unwrap_or_else(|| names::made(marker.uuid));
        if !names::is_addressable(&first) {
            return Ok(Sighting::CannotTell);
        }
        // What has the second one is ours for sure.
        for name in marker.second_name().filter(|_| !names::is_made(&first)).iter().chain([&first]) {
            match self.livy.get(ctx, name).await {
                Ok(seen) if seen.is_ghost => return self.sighted_ghost(ctx, sought, &seen.batch.id).await,
                Ok(seen) => return Ok(Sighting::Found(Box::new(self.shown(seen)))),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let others = self.livy.list(ctx, 0, 1).await?;
        Ok(Sighting::Absent { others_seen: !others.rows.is_empty() })
    }

    /// A batch that is just being started looks the same for a moment.
    async fn sighted_ghost(&self, ctx: &Context, sought: &Sought, id: &NativeId) -> Result<Sighting> {
        if self.clock.now() < sought.since.plus(self.ghost_after) {
            let message = format!(
                "backend '{}' has a record of this batch, and has not started it yet, or refused it",
                self.livy.http.backend()
            );
            return Err(Error::new(ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, message));
        }
        self.bury(ctx, id).await;
        Ok(Sighting::Ghost(id.clone()))
    }
}

fn is_absent(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::NotFound(_))
}

#[cfg(test)]
mod tests;
