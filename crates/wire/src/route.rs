//! Route tables: a path with braces for what varies, `[/]` where a slash at the end makes no difference.

use http::Method;

use crate::RequestHead;

/// One call that a dialect serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The call's name, by which the dialect decodes it.
    pub name: &'static str,
    /// The method; GET serves HEAD too.
    pub method: Method,
    /// The path, such as `/batches/{id}/log`.
    pub path: &'static str,
    /// What is read of the body.
    pub body: BodyKind,
}

impl Route {
    /// A call, as a line of a table.
    pub const fn new(name: &'static str, method: Method, path: &'static str, body: BodyKind) -> Self {
        Self { name, method, path, body }
    }
}

/// What is read of a request's body before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing: what comes is drained.
    None,
    /// All of it, within the limit.
    Bytes,
    /// A form if the content type says so, with its files spooled; else all of it.
    FormOrBytes,
    /// Nothing before it is decoded: what comes belongs to whom the request is relayed, and is drained if it is not.
    Stream,
}

/// What a route table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    /// This route, with what stands in its braces.
    Route(&'static Route, Vec<String>),
    /// None.
    Miss(Miss),
}

/// Why no route fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No route has the path.
    Path,
    /// The path is there, but not for this method; these are.
    Method(Vec<Method>),
}

/// The route that fits a request.
pub fn find(routes: &'static [Route], head: &RequestHead) -> Match {
    let wanted = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    let mut allowed = Vec::new();
    for route in routes {
        if let Some(params) = fit(route.path, &head.target.segments) {
            if route.method == *wanted {
                return Match::Route(route, params);
            }
            if !allowed.contains(&route.method) {
                allowed.push(route.method.clone());
            }
        }
    }
    Match::Miss(if allowed.is_empty() { Miss::Path } else { Miss::Method(allowed) })
}

fn fit(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    let (pattern, slash_is_free) = match pattern.strip_suffix("[/]") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let segments = match segments {
        [rest @ .., last] if slash_is_free && last.is_empty() && !rest.is_empty() => rest,
        all => all,
    };
    let inner = pattern.strip_prefix('/').unwrap_or(pattern);
    let mut wanted = inner.split('/').filter(|segment| !segment.is_empty());
    let mut params = Vec::new();
    for segment in segments {
        match wanted.next()? {
            brace if brace.starts_with('{') && !segment.is_empty() => params.push(segment.clone()),
            literal if literal == segment => {}
            _ => return None,
        }
    }
    wanted.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> Option<Vec<String>> {
        fit(pattern, &crate::Target::parse(path, None, "").expect("readable").segments)
    }

    #[test]
    fn patterns_fit_whole_paths() {
        assert_eq!(fits("/batches/{id}/log", "/batches/a%2Fb/log"), Some(vec!["a/b".to_owned()]));
        assert_eq!(fits("/batches[/]", "/batches/"), Some(vec![]));
        assert_eq!(fits("/batches[/]", "/batches"), Some(vec![]));
        assert_eq!(fits("/", "/"), Some(vec![]));
        for (pattern, path) in [
            ("/batches/{id}", "/batches/"),
            ("/batches/{id}", "/batches/0/"),
            ("/batches[/]", "/batches//"),
            ("/batches[/]", "//batches"),
            ("/batches/{id}", "/batches/0/log"),
            ("/batches", "/Batches"),
        ] {
            assert_eq!(fits(pattern, path), None, "{pattern} {path}");
        }
    }
}
