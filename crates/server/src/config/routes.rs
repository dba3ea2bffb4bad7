//! `[[route]]`: which submit goes where, and what is done about fields that the backend does not get.

use batchlingua_core::{BackendName, DialectName, ListenerName};
use batchlingua_router::{Dedupe, Policies, Policy, RouteMatch, RouteRule, Routing};
use batchlingua_wire::Settings;
use http::{HeaderName, header};
use serde_json::{Value, json};

use super::{
    ListenerConfig, dialect_names,
    read::{close, nearest, word},
};

/// The rules. Without any, the only backend gets everything; of several none is the obvious one.
pub(super) fn routing(root: &mut Settings, backends: &[BackendName], listeners: &[ListenerConfig]) -> Routing {
    let tables = root.tables("route");
    if tables.is_empty() {
        if let [_, _, ..] = backends {
            let names: Vec<&str> = backends.iter().map(BackendName::as_str).collect();
            root.fault(
                "backend",
                format!("there are several backends ({}) and no [[route]] that says which gets what", names.join(", ")),
            );
        }
        return Routing { rules: backends.first().cloned().map(RouteRule::all_to).into_iter().collect() };
    }
    let mut rules = Vec::new();
    for mut table in tables {
        let matches = matches(&mut table, listeners);
        let to = target(&mut table, backends);
        let policies = policies(&mut table);
        let dedupe = word(&mut table, "dedupe", Dedupe::Never, &[("never", Dedupe::Never), ("name", Dedupe::Name)]);
        rules.extend(to.map(|to| RouteRule { matches, to, policies, dedupe }));
        close(root, table);
    }
    Routing { rules }
}

/// Where a client could submit and no rule would ever take it.
pub(super) fn unrouted(routing: &Routing, listeners: &[ListenerConfig]) -> Vec<String> {
    let mut warnings = Vec::new();
    for listener in listeners {
        for dialect in &listener.dialects {
            let fits = |rule: &RouteRule| {
                rule.matches.listener.as_ref().is_none_or(|name| *name == listener.name)
                    && rule.matches.dialect.as_ref().is_none_or(|name| name == dialect)
            };
            if !routing.rules.iter().any(fits) {
                warnings.push(format!("no route takes what comes to listener {} as {dialect}", listener.name));
            }
        }
    }
    warnings
}

fn matches(route: &mut Settings, listeners: &[ListenerConfig]) -> RouteMatch {
    let mut table = route.table("match");
    let listener = table.text("listener");
    if let Some(name) = listener.as_deref()
        && !listeners.iter().any(|listener| listener.name.as_str() == name)
    {
        let near = nearest(name, listeners.iter().map(|listener| listener.name.as_str()));
        table.fault("listener", format!("there is no listener \"{name}\"; {near}"));
    }
    let dialect = table.text("dialect");
    if let Some(name) = dialect.as_deref()
        && !dialect_names().any(|known| known == name)
    {
        table.fault("dialect", format!("there is no dialect \"{name}\"; {}", nearest(name, dialect_names())));
    }
    let matches = RouteMatch {
        listener: listener.map(ListenerName::from),
        dialect: dialect.map(DialectName::from),
        project: table.text("project"),
        queue: table.text("queue"),
        user: table.text("user"),
        name: table.text("name"),
        headers: headers(&mut table),
    };
    close(route, table);
    matches
}

/// `header = { "X-Team" = "etl*" }`.
fn headers(table: &mut Settings) -> Vec<(HeaderName, String)> {
    let mut given = table.table("header");
    let mut headers = Vec::new();
    for (name, glob) in given.pairs() {
        match name.parse::<HeaderName>() {
            // What a route goes by is told in logs and in `explain`.
            Ok(name) if name == header::AUTHORIZATION || name == header::COOKIE => {
                given.fault(name.as_str(), "holds a secret, which no route should go by; use `user`");
            }
            Ok(name) => headers.push((name, glob)),
            Err(_) => given.fault(&name, "is no name of a header"),
        }
    }
    close(table, given);
    headers
}

/// `to = "x"` is short for `to = [{ backend = "x" }]`, the form that weights will be written into.
pub(super) fn spell_out(root: &mut Value) {
    let routes = root.get_mut("route").and_then(Value::as_array_mut);
    for to in routes.into_iter().flatten().filter_map(|route| route.get_mut("to")) {
        if to.is_string() {
            *to = json!([{ "backend": to.take() }]);
        }
    }
}

fn target(route: &mut Settings, backends: &[BackendName]) -> Option<BackendName> {
    let names = || backends.iter().map(BackendName::as_str);
    let mut targets = route.tables("to");
    if targets.len() != 1 {
        let message = match targets.len() {
            0 => format!("must name a backend; {}", nearest("", names())),
            _ => "must name one backend: a split over several is not there yet".to_owned(),
        };
        route.fault("to", message);
        return None;
    }
    let mut target = targets.remove(0);
    if target.has("weight") {
        let _ = target.integer("weight", 1, 1..=u64::MAX);
        target.fault("weight", "a split over several backends is not there yet; leave the weight out");
    }
    let name = target.text("backend").unwrap_or_default();
    let known = names().any(|known| known == name);
    if !known {
        target.fault("backend", format!("there is no backend \"{name}\"; {}", nearest(&name, names())));
    }
    close(route, target);
    known.then(|| name.into())
}

fn policies(route: &mut Settings) -> Policies {
    let mut table = route.table("unmapped");
    let defaults = Policies::default();
    let words = [("reject", Policy::Reject), ("report", Policy::Report), ("drop", Policy::Drop)];
    let policies = Policies {
        essential: word(&mut table, "essential", defaults.essential, &words),
        placement: word(&mut table, "placement", defaults.placement, &words),
        cosmetic: word(&mut table, "cosmetic", defaults.cosmetic, &words),
    };
    close(route, table);
    policies
}
