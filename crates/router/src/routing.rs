//! Which backend a submit goes to, which backends a listener's clients see, and what a route does about lost fields.
//!
//! Rules are tried in order, the first match wins; with no rule at all everything goes to the only backend. Follow-ups never come here:
//! they go where the batch runs, whatever the rules say now.

use batchlingua_core::{
    BackendName, DialectName, Error, ErrorKind, Fate, FieldClass, ListenerName, Result, Submission, Treatment,
};

/// The rules, in order.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// First match wins.
    pub rules: Vec<RouteRule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RouteRule {
    /// Which submits it is for.
    pub matches: RouteMatch,
    /// Where they go.
    pub to: BackendName,
    /// What is done about fields that the backend does not get.
    pub policies: Policies,
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

impl Default for Policies {
    fn default() -> Self {
        Self { essential: Policy::Reject, placement: Policy::Report, cosmetic: Policy::Report }
    }
}

impl Policies {
    /// The fates that the client is told, or the refusal.
    pub(crate) fn apply(&self, backend: &BackendName, fates: &[Fate]) -> Result<Vec<Fate>> {
        let mut told = Vec::new();
        for fate in fates.iter().filter(|fate| fate.is_lost()) {
            match self.of(class_of(fate)) {
                Policy::Reject => return Err(refusal(backend, fate)),
                Policy::Report => told.push(fate.clone()),
                Policy::Drop => {}
            }
        }
        Ok(told)
    }

    fn of(&self, class: FieldClass) -> Policy {
        match class {
            FieldClass::Essential => self.essential,
            FieldClass::Placement => self.placement,
            FieldClass::Cosmetic => self.cosmetic,
        }
    }
}

/// A single conf key says where and how large, or tunes a platform that is not there: only the job's own input is essential.
fn class_of(fate: &Fate) -> FieldClass {
    match &fate.part {
        Some(key) if fate.field == batchlingua_core::Field::Conf && key.starts_with("spark.") => FieldClass::Placement,
        _ => fate.field.class(),
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
    pub(crate) fn choose(
        &self,
        listener: &ListenerName,
        dialect: &DialectName,
        user: &str,
        submission: &Submission,
    ) -> Option<&RouteRule> {
        let project = submission.project.as_ref().map(|project| project.as_str());
        let spec = &submission.spec;
        self.rules.iter().find(|rule| {
            let wanted = &rule.matches;
            wanted.reaches(listener, dialect)
                && fits(wanted.project.as_deref(), project)
                && fits(wanted.queue.as_deref(), spec.queue.as_deref())
                && fits(wanted.user.as_deref(), Some(user))
                && fits(wanted.name.as_deref(), spec.name.as_deref())
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
    use batchlingua_core::Field;

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
    fn a_lost_essential_field_refuses_and_a_lost_size_is_told() {
        let lost = |field, part: Option<&str>| Fate {
            field,
            part: part.map(str::to_owned),
            treatment: Treatment::NotCarried("no Spark".into()),
        };
        let backend = BackendName::from("here");
        let told = Policies::default()
            .apply(&backend, &[lost(Field::DriverMemory, None), lost(Field::Conf, Some("spark.x"))])
            .expect("told");
        assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), ["driver_memory", "conf:spark.x"]);
        let refused = Policies::default().apply(&backend, &[lost(Field::Jars, None)]).expect_err("refused");
        assert!(refused.message.contains("'jars'") && refused.message.contains("'here'"), "{refused}");
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let rule = |queue: Option<&str>, to: &str| RouteRule {
            matches: RouteMatch { queue: queue.map(str::to_owned), ..RouteMatch::default() },
            to: to.into(),
            policies: Policies::default(),
        };
        let routing = Routing { rules: vec![rule(Some("nightly*"), "night"), rule(None, "day")] };
        let mut submission = Submission::default();
        let choose = |submission: &Submission| {
            routing.choose(&"main".into(), &"livy".into(), "ana", submission).map(|rule| rule.to.to_string())
        };
        assert_eq!(choose(&submission).as_deref(), Some("day"));
        submission.spec.queue = Some("nightly-etl".into());
        assert_eq!(choose(&submission).as_deref(), Some("night"));
        assert_eq!(routing.reachable(&"main".into(), &"livy".into()).len(), 2);
    }
}
