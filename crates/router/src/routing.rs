//! Which backend a submit goes to, which backends a listener's clients see, and what a route does about lost fields.
//!
//! Rules are tried in order, the first match wins; with no rule at all everything goes to the only backend. Follow-ups never come here:
//! they go where the batch runs, whatever the rules say now.

use batchlingua_core::{
    BackendName, Context, DialectName, Error, ErrorKind, Fate, Field, FieldClass, ListenerName, Result, Submission,
    Treatment,
};
use http::{HeaderMap, HeaderName};

/// The rules, in order.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// First match wins.
    pub rules: Vec<RouteRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// Which submits it is for.
    pub matches: RouteMatch,
    /// Where they go.
    pub to: BackendName,
    /// What is done about fields that the backend does not get.
    pub policies: Policies,
    /// Which submits without a key are taken for one that came before.
    pub dedupe: Dedupe,
}

impl RouteRule {
    /// All to this backend, by the defaults.
    pub fn all_to(to: BackendName) -> Self {
        Self { matches: RouteMatch::default(), to, policies: Policies::default(), dedupe: Dedupe::default() }
    }
}

/// Which submits without a key are the same intent as an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedupe {
    /// None: each is a batch of its own.
    #[default]
    Never,
    /// Those of a batch's name by its user, as long as it lives.
    Name,
}

/// Conditions; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// The listener.
    pub listener: Option<ListenerName>,
    /// The client's dialect.
    pub dialect: Option<DialectName>,
    /// The project, as a glob with `*`.
    pub project: Option<String>,
    /// The queue, as a glob with `*`.
    pub queue: Option<String>,
    /// The principal, as a glob with `*`.
    pub user: Option<String>,
    /// The batch's name, as a glob with `*`.
    pub name: Option<String>,
    /// Headers of the request, each with a glob for its value.
    pub headers: Vec<(HeaderName, String)>,
}

/// What is done about lost fields, by their class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Of fields without which the job would do something else.
    pub essential: Policy,
    /// Of fields that say where and how large.
    pub placement: Policy,
    /// Of fields for people.
    pub cosmetic: Policy,
}

/// What is done about a lost field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The submit is refused.
    Reject,
    /// The client is told, and it is logged.
    Report,
    /// It is logged.
    Drop,
}

impl Policy {
    /// The policy's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Report => "report",
            Self::Drop => "drop",
        }
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self { essential: Policy::Reject, placement: Policy::Report, cosmetic: Policy::Report }
    }
}

impl Policies {
    /// The fates that the client is told, or the refusal. An extension of which nothing is lost is no longer a lost field after this;
    /// `loss_of` says what the loss of one means.
    pub(crate) fn apply(
        &self,
        backend: &BackendName,
        fates: &mut [Fate],
        loss_of: impl Fn(&str) -> Option<FieldClass>,
    ) -> Result<Vec<Fate>> {
        let mut told = Vec::new();
        for fate in fates.iter_mut().filter(|fate| fate.is_lost()) {
            let Some(class) = class_of(fate, &loss_of) else {
                fate.treatment = Treatment::Computed("nothing is lost: other fields say the same".to_owned());
                continue;
            };
            match self.of(class) {
                Policy::Reject => return Err(refusal(backend, fate)),
                Policy::Report => told.push(fate.clone()),
                Policy::Drop => {}
            }
        }
        Ok(told)
    }

    pub(crate) fn of(&self, class: FieldClass) -> Policy {
        match class {
            FieldClass::Essential => self.essential,
            FieldClass::Placement => self.placement,
            FieldClass::Cosmetic => self.cosmetic,
        }
    }
}

/// A single conf key says where and how large, or tunes a platform that is not there: only the job's own input is essential.
pub(crate) fn class_of(fate: &Fate, loss_of: impl Fn(&str) -> Option<FieldClass>) -> Option<FieldClass> {
    match (fate.field, &fate.part) {
        (Field::Conf, Some(key)) if key.starts_with("spark.") => Some(FieldClass::Placement),
        (Field::Extension, Some(name)) => loss_of(name),
        (field, _) => Some(field.class()),
    }
}

fn refusal(backend: &BackendName, fate: &Fate) -> Error {
    let reason = match &fate.treatment {
        Treatment::NotCarried(reason) => reason.as_str(),
        _ => "it is not carried",
    };
    let what = fate.to_string();
    let message =
        format!("backend '{backend}' cannot take field '{what}': {reason}; leave it out or route the batch elsewhere");
    Error::new(ErrorKind::Unsupported { backend: backend.clone(), what }, message)
}

impl Routing {
    /// The rule for a submit.
    pub(crate) fn choose(&self, ctx: &Context, headers: &HeaderMap, submission: &Submission) -> Option<&RouteRule> {
        let project = submission.project.as_ref().map(|project| project.as_str());
        let spec = &submission.spec;
        self.rules.iter().find(|rule| {
            let wanted = &rule.matches;
            wanted.reaches(&ctx.listener, &ctx.dialect)
                && fits(wanted.project.as_deref(), project)
                && fits(wanted.queue.as_deref(), spec.queue.as_deref())
                && fits(wanted.user.as_deref(), Some(&ctx.principal.name))
                && fits(wanted.name.as_deref(), spec.name.as_deref())
                && wanted.headers.iter().all(|(name, glob)| has_header(headers, name, glob))
        })
    }

    /// The backends that some rule can reach from here.
    pub(crate) fn reachable(&self, listener: &ListenerName, dialect: &DialectName) -> Vec<BackendName> {
        let mut names: Vec<BackendName> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.matches.reaches(listener, dialect)) {
            if !names.contains(&rule.to) {
                names.push(rule.to.clone());
            }
        }
        names
    }
}

impl RouteMatch {
    fn reaches(&self, listener: &ListenerName, dialect: &DialectName) -> bool {
        self.listener.as_ref().is_none_or(|wanted| wanted == listener)
            && self.dialect.as_ref().is_none_or(|wanted| wanted == dialect)
    }
}

/// Of a repeated header any value counts.
fn has_header(headers: &HeaderMap, name: &HeaderName, glob: &str) -> bool {
    headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|value| glob_fits(glob, value)))
}

fn fits(glob: Option<&str>, text: Option<&str>) -> bool {
    match (glob, text) {
        (None, _) => true,
        (Some(glob), Some(text)) => glob_fits(glob, text),
        (Some(_), None) => false,
    }
}

/// `*` stands for any text.
fn glob_fits(glob: &str, text: &str) -> bool {
    let mut pieces = glob.split('*');
    let Some(rest) = text.strip_prefix(pieces.next().unwrap_or("")) else { return false };
    let mut rest = rest;
    let mut last = None;
    for piece in pieces {
        if let Some(middle) = last.replace(piece) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_as_people_expect() {
        for (glob, text, fit) in [
            ("nightly*", "nightly-1", true),
            ("nightly*", "a-nightly", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
        ] {
            assert_eq!(glob_fits(glob, text), fit, "{glob} {text}");
        }
    }

    #[test]
    fn a_header_is_matched_by_any_of_its_values() {
        let matches =
            RouteMatch { headers: vec![(HeaderName::from_static("x-team"), "etl*".into())], ..RouteMatch::default() };
        let rule = RouteRule { matches, ..RouteRule::all_to("etl".into()) };
        let routing = Routing { rules: vec![rule] };
        let ctx = batchlingua_testkit::context();
        let mut headers = HeaderMap::new();
        assert!(routing.choose(&ctx, &headers, &Submission::default()).is_none());
        headers.append("x-team", "web".parse().expect("a value"));
        assert!(routing.choose(&ctx, &headers, &Submission::default()).is_none());
        headers.append("X-Team", "etl-1".parse().expect("a value"));
        assert!(routing.choose(&ctx, &headers, &Submission::default()).is_some());
    }

    fn lost(field: Field, part: Option<&str>) -> Fate {
        Fate { field, part: part.map(str::to_owned), treatment: Treatment::NotCarried("no Spark".into()) }
    }

    fn apply(fates: &mut [Fate]) -> Result<Vec<String>> {
        let loss_of = |name: &str| match name {
            "said twice" => None,
            "packages" => Some(FieldClass::Essential),
            _ => Some(FieldClass::Placement),
        };
        let told = Policies::default().apply(&"here".into(), fates, loss_of)?;
        Ok(told.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_lost_essential_field_refuses_and_a_lost_size_is_told() {
        let mut fates = [lost(Field::DriverMemory, None), lost(Field::Conf, Some("spark.x"))];
        assert_eq!(apply(&mut fates).expect("told"), ["driver_memory", "conf:spark.x"]);
        let refused = apply(&mut [lost(Field::Jars, None)]).expect_err("refused");
        assert!(refused.message.contains("'jars'") && refused.message.contains("'here'"), "{refused}");
    }

    #[test]
    fn of_extensions_their_dialect_says_what_is_lost() {
        let mut fates = ["said twice", "image"].map(|name| lost(Field::Extension, Some(name)));
        assert_eq!(apply(&mut fates).expect("told"), ["extension:image"]);
        assert_eq!(fates.map(|fate| fate.is_lost()), [false, true], "the ledger is told no more than the client");
        let refused = apply(&mut [lost(Field::Extension, Some("packages"))]).expect_err("refused");
        assert!(refused.message.contains("'extension:packages'"), "{refused}");
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let rule = |queue: Option<&str>, to: &str| RouteRule {
            matches: RouteMatch { queue: queue.map(str::to_owned), ..RouteMatch::default() },
            ..RouteRule::all_to(to.into())
        };
        let routing = Routing { rules: vec![rule(Some("nightly*"), "night"), rule(None, "day")] };
        let ctx = batchlingua_testkit::context();
        let mut submission = Submission::default();
        let choose = |submission: &Submission| {
            routing.choose(&ctx, &HeaderMap::new(), submission).map(|rule| rule.to.to_string())
        };
        assert_eq!(choose(&submission).as_deref(), Some("day"));
        submission.spec.queue = Some("nightly-etl".into());
        assert_eq!(choose(&submission).as_deref(), Some("night"));
        assert_eq!(routing.reachable(&"main".into(), &"livy".into()).len(), 2);
    }
}
