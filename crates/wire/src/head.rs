//! The head of a request, its target taken apart once.
//!
//! A path is split at its slashes before it is decoded, so that `%2F` stays inside its segment; path parameters (`;v=1`) are dropped, as
//! the servlet containers of all four products do. A method is another one in another case, but for the dialects that say otherwise.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock, OnceLock},
};

use batchlingua_core::{Allowed, IdempotencyKey, Identity, ListenerName, Principal, Replay, RequestId, Rights};
use http::{HeaderMap, Method, Version, request::Parts};
use percent_encoding::percent_decode_str;

use crate::Route;

/// What dialects need to know of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// Its name.
    pub listener: ListenerName,
    /// The address that clients are told, without a slash at its end.
    pub public_url: String,
    /// What is cut off in front of paths, and put back into `Location`.
    pub path_prefix: String,
    /// Whether Livy's rule about `X-Requested-By` holds.
    pub csrf: bool,
    /// Whether the listener serves one dialect only, and so answers as that product does even outside its paths.
    pub single: bool,
    /// Whether principals are authenticated.
    pub authenticated: bool,
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The request's id.
    pub id: RequestId,
    /// As it came, unless the dialect takes methods in any case.
    pub method: Method,
    /// Path and query.
    pub target: Target,
    /// The headers.
    pub headers: HeaderMap,
    /// HTTP's version.
    pub version: Version,
    /// The listener.
    pub face: Arc<Face>,
    /// Who asks, once that is known: when the body has been read, since a signature covers it.
    pub asker: OnceLock<Asker>,
    /// The route that fits.
    pub route: Option<&'static Route>,
    /// What stands in the route's braces, in order.
    pub params: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Who, and what he may do.
    pub identity: Identity,
    /// A session to be given to the client with the answer, if its dialect has sessions and the client is due one.
    pub session: Option<String>,
}

impl Asker {
    fn nobody() -> Self {
        let nothing = || Allowed::Only(Vec::new());
        let rights = Rights { administrator: false, projects: nothing(), queues: nothing(), run_as: nothing() };
        Self { identity: Identity { principal: Principal::anonymous(), rights: rights.into() }, session: None }
    }
}

impl RequestHead {
    /// Takes a request's head apart. `None`: the target's escapes cannot be read.
    pub fn new(id: RequestId, parts: &Parts, face: Arc<Face>) -> Option<Self> {
        let target = Target::parse(parts.uri.path(), parts.uri.query(), &face.path_prefix)?;
        Some(Self {
            id,
            method: parts.method.clone(),
            target,
            headers: parts.headers.clone(),
            version: parts.version,
            face,
            asker: OnceLock::new(),
            route: None,
            params: Vec::new(),
        })
    }

    /// Reads the method without regard to case, for a dialect that does.
    pub fn fold_method(&mut self) {
        let method = self.method.as_str();
        if method.bytes().any(|byte| byte.is_ascii_lowercase())
            && let Ok(upper) = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        {
            self.method = upper;
        }
    }

    /// Who asks. Before that is known: nobody, who may do nothing.
    pub fn asker(&self) -> &Asker {
        static NOBODY: LazyLock<Asker> = LazyLock::new(Asker::nobody);
        self.asker.get().unwrap_or(&NOBODY)
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The key that a client of any product may send beside its submit: the same submit again gets the first one's answer.
    pub fn idempotency_key(&self) -> Option<IdempotencyKey> {
        let given = self.header("idempotency-key").filter(|key| !key.is_empty())?;
        Some(IdempotencyKey { value: given.to_owned(), replay: Replay::FirstAnswer })
    }

    /// What stands in the route's braces at this place.
    pub fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// The name of the route that fits.
    pub fn route_name(&self) -> &'static str {
        self.route.map_or("", |route| route.name)
    }
}

/// Path and query of a request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path as it came, without the listener's prefix.
    pub raw_path: String,
    /// Its segments, decoded; a path that ends with a slash has an empty last one, `/` has none.
    pub segments: Vec<String>,
    /// The query.
    pub query: Query,
    /// The query as it came: a signature covers its bytes.
    pub raw_query: String,
}

impl Target {
    /// Takes a target apart. `None`: an escape in the path cannot be read, or the prefix is missing.
    pub fn parse(path: &str, query: Option<&str>, prefix: &str) -> Option<Self> {
        let path = if prefix.is_empty() {
            path
        } else {
            path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))?
        };
        let inner = path.strip_prefix('/').unwrap_or(path);
        let mut segments = Vec::new();
        if !inner.is_empty() {
            for segment in inner.split('/') {
                let name = segment.split(';').next().unwrap_or(segment);
                if !escapes_are_whole(name) {
                    return None;
                }
                segments.push(percent_decode_str(name).decode_utf8_lossy().into_owned());
            }
        }
        let raw_query = query.unwrap_or_default();
        let query = Query::parse(raw_query);
        Some(Self { raw_path: path.to_owned(), segments, query, raw_query: raw_query.to_owned() })
    }
}

/// The parameters of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
    torn: bool,
}

impl Query {
    /// Reads `a=1&b=2`, with `+` for a space. An escape that cannot be read stays as it is.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decode = |text: &str| -> String {
            let text: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        Self { pairs, torn: !escapes_are_whole(text) }
    }

    /// Whether all its escapes could be read. Some products answer nothing else if not.
    pub fn is_whole(&self) -> bool {
        !self.torn
    }

    /// A parameter's value; of several the first.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether every percent sign begins an escape.
pub(crate) fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(at, _)| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Option<Vec<String>> {
        Target::parse(path, None, "").map(|target| target.segments)
    }

    #[test]
    fn segments_are_split_before_they_are_decoded() {
        assert_eq!(segments("/batches/a%20b%2Fc;v=1/log").expect("readable"), ["batches", "a b/c", "log"]);
        assert_eq!(segments("/").expect("readable"), Vec::<String>::new());
        assert_eq!(segments("/batches/").expect("readable"), ["batches", ""]);
        assert_eq!(segments("//batches").expect("readable"), ["", "batches"]);
        assert_eq!(segments("/batches/%zz"), None);
        assert_eq!(segments("/batches/%ff").expect("readable"), ["batches", "\u{fffd}"]);
    }

    #[test]
    fn a_prefix_is_cut_off_as_a_whole_segment() {
        assert_eq!(Target::parse("/gw/batches", None, "/gw").expect("readable").segments, ["batches"]);
        assert_eq!(Target::parse("/gwx/batches", None, "/gw"), None);
        assert_eq!(Target::parse("/gw", None, "/gw").expect("readable").segments, Vec::<String>::new());
    }

    #[test]
    fn the_first_of_a_repeated_parameter_wins() {
        let query = Query::parse("from=1&from=2&size=+1&x");
        assert_eq!(
            (query.get("from"), query.get("size"), query.get("x"), query.get("y")),
            (Some("1"), Some(" 1"), Some(""), None)
        );
        assert_eq!(query.all("from").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_method_is_as_it_came_until_it_is_folded() {
        let face = Face {
            listener: "main".into(),
            public_url: String::new(),
            path_prefix: String::new(),
            csrf: false,
            single: true,
            authenticated: false,
        };
        for (sent, folded) in [("get", Method::GET), ("Delete", Method::DELETE), ("POST", Method::POST)] {
            let request = http::Request::builder().method(sent).uri("/a").body(()).expect("a request");
            let mut head =
                RequestHead::new("r".into(), &request.into_parts().0, face.clone().into()).expect("a target");
            assert_eq!(head.method.as_str(), sent);
            head.fold_method();
            assert_eq!(head.method, folded);
        }
    }

    #[test]
    fn a_query_is_also_kept_as_it_came() {
        let raw = |query| Target::parse("/a", query, "").expect("readable").raw_query;
        assert_eq!((raw(Some("x=%2b+&&y")), raw(None)), ("x=%2b+&&y".to_owned(), String::new()));
    }

    #[test]
    fn a_torn_escape_stays_as_it_is_and_is_told() {
        let query = Query::parse("size=%zz&from=%25zz");
        assert_eq!((query.get("size"), query.get("from"), query.is_whole()), (Some("%zz"), Some("%zz"), false));
        assert!(Query::parse("from=%25zz").is_whole() && Query::default().is_whole());
    }
}
