//! What would become of a request: everything that happens to it before something is written or sent, by the very code that does it.
//!
//! Where a listener would ask the ledger or a backend, the explanation ends and says whom. A request's files are spooled and removed, since
//! what they are for stands in a form that must be read; nothing else is touched. Secrets are masked here already: who shows an
//! explanation has none to lose.

mod asked;
mod masked;
mod rows;

use std::{fmt::Display, sync::Arc};

use batchlingua_core::{
    Authenticator, BackendName, BatchRef, Context, DialectName, Error, Fate, ListenerName, Operation, Plan, Principal,
    Submission,
};
use batchlingua_wire::{Body, BodyError, BodyKind, Decoded, Dialect, RequestBody, RequestHead};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::{
    Gateway, ListenerService, RouteRule, answer,
    door::{Beside, Door, Received, context, covers_body, receive},
    listener::{Entrance, Listener, Turned, has_other_expectation, permitted},
    stack::Stack,
    submit::{self, Planned},
    view,
};

pub use asked::{Asked, Told};
pub use rows::Row;

/// What would become of a request.
#[derive(Debug)]
pub struct Explanation {
    /// By which listener it would come.
    pub listener: ListenerName,
    /// Its dialect, if one has its path.
    pub dialect: Option<DialectName>,
    /// Who asks, once that is known.
    pub principal: Option<Principal>,
    /// What is asked, once that is read.
    pub asked: Option<Asked>,
    /// Which rule takes a submit.
    pub route: Option<Taken>,
    /// What would be sent.
    pub upstream: Option<Upstream>,
    /// What becomes of each field of a submit.
    pub rows: Vec<Row>,
    /// What the client would be told of lost fields.
    pub unmapped: Option<String>,
    /// What comes of it.
    pub verdict: Verdict,
}

/// The rule that takes a submit.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which one, counted from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// The rule.
    pub rule: RouteRule,
    /// Whether there is no other backend.
    pub is_only_backend: bool,
}

/// What would be sent, secrets masked.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Line and headers; empty where it is no HTTP.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What comes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// The submit would be sent to this backend.
    Sent(BackendName),
    /// It is refused, for this reason.
    Refused {
        /// For operators: with the cause.
        why: String,
        /// What the client gets.
        answer: Box<Response<Bytes>>,
    },
    /// The proxy answers it by itself.
    Answered(Box<Response<Bytes>>),
    /// It is passed on as it is.
    Relayed(BackendName),
    /// The ledger says which batch is meant; these backends may be asked.
    Asks {
        /// Where a batch may run that the ledger knows; of a list: which backends it shows.
        backends: Vec<BackendName>,
        /// Where an id is looked for that the ledger does not know.
        strangers: Vec<BackendName>,
    },
}

impl Verdict {
    /// Whether the client would be refused.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Sent(_) | Self::Answered(_) | Self::Relayed(_) | Self::Asks { .. } => false,
        }
    }
}

impl ListenerService {
    /// What would become of this request. `who` answers instead of the listener's own authenticator who asks.
    pub async fn explain<B>(&self, request: Request<B>, who: Option<Arc<dyn Authenticator>>) -> Explanation
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let listener = &*self.0;
        let mut explanation = Explanation {
            listener: listener.face.listener.clone(),
            dialect: None,
            principal: None,
            asked: None,
            route: None,
            upstream: None,
            rows: Vec::new(),
            unmapped: None,
            verdict: Verdict::Answered(Box::default()),
        };
        let (parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(|authority| authority.as_str());
        let id = listener.ids.of(&parts.headers);
        explanation.verdict = match RequestHead::new(id, &parts, listener.face.clone()) {
            None => refused("its target cannot be read", self.bad_target()),
            Some(head) if has_other_expectation(&head) => refused("its Expect cannot be met", self.bad_expectation()),
            Some(head) => match listener.pick(&head) {
                None => strange(&head, listener.strange(&head, authority)),
                Some(dialect) => {
                    explanation.dialect = Some(dialect.name().clone());
                    let body = Body::wrap(body.map_err(|error| BodyError(error.to_string())));
                    let auth = who.unwrap_or_else(|| listener.auth.clone());
                    let explainer = Explainer { gateway: &listener.gateway, dialect, auth, told: &mut explanation };
                    explainer.explain(listener, head, authority, body).await
                }
            },
        };
        explanation
    }
}

/// A request on its way, and what is known of it.
struct Explainer<'a> {
    gateway: &'a Arc<Gateway>,
    dialect: Arc<dyn Dialect>,
    auth: Arc<dyn Authenticator>,
    told: &'a mut Explanation,
}

impl Explainer<'_> {
    async fn explain(mut self, listener: &Listener, head: RequestHead, authority: Option<&str>, body: Body) -> Verdict {
        let entrance = match listener.enter(&self.dialect, head, authority) {
            Ok(entrance) => entrance,
            Err(turned) => {
                return match *turned {
                    Turned::Answer(response) => answered(response),
                    Turned::Refused(head, error) => self.refuse(&head, &error),
                };
            }
        };
        let Entrance { head, kind, miss, is_relayed } = entrance;
        let shown = self.dialect.credentials(&head, &RequestBody::Empty);
        let dialect = self.dialect.clone();
        let auth = self.auth.clone();
        let door = Door { gateway: self.gateway, auth: &*auth, dialect: &*dialect, head: &head };
        if is_relayed {
            let caller = self.gateway.caller(&shown);
            let identity = match door.identify(shown).await {
                Ok(identity) => identity,
                Err(error) => return self.refuse(&head, &error),
            };
            self.told.principal = Some(identity.principal.clone());
            let ctx = context(self.gateway, &self.dialect, &head, identity, Beside { caller, peer: None });
            return match permitted(self.gateway, &ctx, &*dialect, &head, body).await {
                Ok(_) => Verdict::Relayed(self.gateway.relays[dialect.name()].0.clone()),
                Err(error) => self.refuse(&head, &error),
            };
        }
        let kind = if miss.is_some() && !covers_body(kind, &head, &shown) { BodyKind::None } else { kind };
        // Files are there until all is told.
        let Received { caller, identity, body, spool: _spool } = match receive(&door, shown, kind, body).await {
            Ok(received) => received,
            Err(error) => return self.refuse(&head, &error),
        };
        self.told.principal = Some(identity.principal.clone());
        if let Some(miss) = miss {
            return answered(self.dialect.encode_miss(&head, &miss));
        }
        let ctx = context(self.gateway, &self.dialect, &head, identity, Beside { caller, peer: None });
        if let Err(error) = self.gateway.check_project(&ctx, ctx.project.as_ref()) {
            return self.refuse(&head, &error);
        }
        let given = rows::Given::of(&head, &body);
        let operation = match self.dialect.decode(&head, body) {
            Ok(Decoded::Operation(operation)) => operation,
            Ok(Decoded::Answer(response) | Decoded::Relay(response)) => return answered(response),
            Err(error) => return self.refuse(&head, &error),
        };
        self.told.asked = Some(Asked::of(&operation));
        match operation {
            Operation::Submit(submission) => self.submit(&ctx, &head, *submission, &given),
            Operation::List(_) => self.asks(&ctx, None),
            Operation::Get(wanted, _) | Operation::Log(wanted, _) => self.asks(&ctx, Some(&wanted)),
            Operation::Control(selection, _) => match self.gateway.check_project(&ctx, selection.project.as_ref()) {
                Ok(()) => self.asks(&ctx, selection.ids.first()),
                Err(error) => self.refuse(&head, &error),
            },
        }
    }

    fn submit(&mut self, ctx: &Context, head: &RequestHead, submission: Submission, given: &rows::Given) -> Verdict {
        let spec = submission.spec.clone();
        let planned = match submit::plan(self.gateway, ctx, &head.headers, submission) {
            Ok(planned) => planned,
            Err(error) => return self.refuse(head, &error),
        };
        let Planned { rule, plan, withheld, .. } = planned;
        let rules = &self.gateway.routing.rules;
        self.told.route = Some(Taken {
            // One that is like an earlier one takes nothing.
            number: rules.iter().position(|known| *known == rule).map_or(0, |at| at + 1),
            of: rules.len(),
            is_only_backend: self.gateway.stacks.len() == 1,
            rule: rule.clone(),
        });
        let (plan, verdict) = match plan {
            Ok((plan, told)) => {
                self.told.unmapped = unmapped(&told);
                (Some(plan), Verdict::Sent(rule.to.clone()))
            }
            Err(error) => (withheld.map(|plan| *plan), self.refuse(head, &error)),
        };
        if let Some(plan) = plan {
            self.told.rows = rows::rows(self.gateway, ctx, &*self.dialect, given, (&plan, &spec, &rule.policies));
            self.told.upstream = self.gateway.stacks.get(&rule.to).map(|stack| upstream(stack, &plan));
        }
        verdict
    }

    /// Ledger and backends have the word: which of them may be asked.
    fn asks(&self, ctx: &Context, wanted: Option<&BatchRef>) -> Verdict {
        let all = || self.gateway.stacks.keys().cloned().collect::<Vec<_>>();
        let (mut backends, mut strangers) = match wanted {
            None => (self.gateway.scope(ctx).backends.unwrap_or_else(all), Vec::new()),
            Some(wanted) => {
                let asked = view::strangers(self.gateway, ctx, wanted).map(|(name, _)| name.clone());
                (all(), asked.collect())
            }
        };
        backends.sort_unstable();
        strangers.sort_unstable();
        Verdict::Asks { backends, strangers }
    }

    fn refuse(&self, head: &RequestHead, error: &Error) -> Verdict {
        let mut response = self.dialect.encode_error(head, error);
        answer::write_error(&mut response, error);
        Verdict::Refused { why: batchlingua_core::redact::line(&error.detail()), answer: Box::new(whole(response)) }
    }
}

fn upstream(stack: &Stack, plan: &Plan) -> Upstream {
    Upstream { head: stack.head(plan), body: masked::body(&plan.request) }
}

fn unmapped(told: &[Fate]) -> Option<String> {
    (!told.is_empty()).then(|| answer::unmapped(told).to_str().unwrap_or_default().to_owned())
}

/// An answer that no operation has come to: a refusal, if its status is one.
fn answered(response: Response<Body>) -> Verdict {
    let why = match response.status().as_u16() {
        404 => "the dialect has no call with this path",
        405 => "the dialect has no call with this path and method",
        400.. => "the dialect refuses it by its head alone",
        _ => return Verdict::Answered(Box::new(whole(response))),
    };
    refused(why, response)
}

fn strange(head: &RequestHead, response: Response<Body>) -> Verdict {
    match response.status().is_success() {
        true => Verdict::Answered(Box::new(whole(response))),
        false => refused(&format!("no dialect of this listener has the path {}", head.target.raw_path), response),
    }
}

fn refused(why: &str, response: Response<Body>) -> Verdict {
    Verdict::Refused { why: why.to_owned(), answer: Box::new(whole(response)) }
}

/// Answers that are made here are there as a whole.
fn whole(response: Response<Body>) -> Response<Bytes> {
    response.map(|body| body.into_full().unwrap_or_default())
}
