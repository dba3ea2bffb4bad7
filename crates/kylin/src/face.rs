//! Which face a request is answered in: `Accept` chooses, as Spring would, among those that have the call.
//!
//! Kylin answers who names no vendor type (curl, kylinpy's old face, every HTTP library) in the face that its framework finds first, which
//! refuses what the documentation shows. Here the parameters tell which face is meant, unless `strict` is set.

use batchlingua_wire::RequestHead;
use http::header;

pub(crate) const JSON: &str = "application/json;charset=UTF-8";
pub(crate) const V2: &str = "application/vnd.apache.kylin-v2+json;charset=UTF-8";
pub(crate) const V4: &str = "application/vnd.apache.kylin-v4+json;charset=UTF-8";
pub(crate) const V4_PUBLIC: &str = "application/vnd.apache.kylin-v4-public+json;charset=UTF-8";

/// One of Kylin's three ways to speak of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Face {
    /// Kylin 5's own.
    V4,
    /// Kylin 5's for older clients.
    V2,
    /// That of Kylin 2 to 4.
    Legacy,
}

/// A face, and the content type under which it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) face: Face,
    pub(crate) content_type: &'static str,
}

/// What became of `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Negotiated {
    /// This face.
    Spoken(Spoken),
    /// No face that it takes has the call.
    NotAcceptable,
    /// No face of Kylin 5 has the call.
    NoSuchCall,
}

impl Negotiated {
    /// What errors are said in.
    pub(crate) fn or_plain(self) -> Spoken {
        match self {
            Self::Spoken(spoken) => spoken,
            Self::NotAcceptable | Self::NoSuchCall => Spoken { face: Face::V4, content_type: JSON },
        }
    }
}

/// The faces of Kylin 5 that have a call, the one first that is taken where any will do.
fn faces(route: &str) -> &'static [Face] {
    match route {
        "list" | "output" => &[Face::V2, Face::V4],
        "get" | "resume" => &[Face::V2],
        "detail" | "log" | "status" | "forget" => &[Face::V4],
        "login" | "logout" => &[Face::V4, Face::V2],
        _ => &[],
    }
}

/// The face of a request whose route is known.
pub(crate) fn of(head: &RequestHead, strict: bool) -> Negotiated {
    let route = head.route_name();
    let accept = Accept::of(head);
    let served = faces(route);
    let vendor = accept.ranges.iter().filter_map(|range| vendor_of(range)).find(|spoken| served.contains(&spoken.face));
    if let Some(spoken) = vendor {
        return Negotiated::Spoken(spoken);
    }
    let names_vendor = accept.ranges.iter().find_map(|range| vendor_of(range));
    match names_vendor {
        // Kylin 5 has no call for one job in its own face, and clients look for one.
        Some(spoken) if !strict && route == "get" => Negotiated::Spoken(spoken),
        None if !strict => Negotiated::Spoken(by_parameters(head, &accept)),
        Some(_) | None => match served.first() {
            None => Negotiated::NoSuchCall,
            Some(first) if accept.takes_any() => Negotiated::Spoken(first.spoken()),
            Some(_) => Negotiated::NotAcceptable,
        },
    }
}

fn by_parameters(head: &RequestHead, accept: &Accept) -> Spoken {
    let has = |name: &str| head.target.query.get(name).is_some();
    let face = match head.route_name() {
        "status" | "detail" | "forget" | "log" => Face::V4,
        "list" if has("time_filter") => Face::V4,
        "list" if has("offset") || has("limit") => Face::Legacy,
        "list" if has("timeFilter") || has("pageOffset") || has("pageSize") => Face::V2,
        _ => Face::Legacy,
    };
    let content_type = if accept.names_json() { JSON } else { face.spoken().content_type };
    Spoken { face, content_type }
}

impl Face {
    fn spoken(self) -> Spoken {
        let content_type = match self {
            Self::V4 => V4_PUBLIC,
            Self::V2 => V2,
            Self::Legacy => JSON,
        };
        Spoken { face: self, content_type }
    }
}

fn vendor_of(range: &str) -> Option<Spoken> {
    let content_type = match range {
        "application/vnd.apache.kylin-v4-public+json" => V4_PUBLIC,
        "application/vnd.apache.kylin-v4+json" => V4,
        "application/vnd.apache.kylin-v2+json" => V2,
        _ => return None,
    };
    Some(Spoken { face: if content_type == V2 { Face::V2 } else { Face::V4 }, content_type })
}

/// The media ranges of `Accept`, those of more weight first.
struct Accept {
    ranges: Vec<String>,
}

impl Accept {
    fn of(head: &RequestHead) -> Self {
        let values = head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut weighed: Vec<(f32, String)> = Vec::new();
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let weight = weight.unwrap_or(0.0);
            if !name.is_empty() && weight > 0.0 {
                weighed.push((weight, name));
            }
        }
        weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { ranges: weighed.into_iter().map(|(_, name)| name).collect() }
    }

    /// Whether a vendor's type is as good as another.
    fn takes_any(&self) -> bool {
        let any = |range: &String| matches!(range.as_str(), "*/*" | "application/*" | "application/*+json");
        self.ranges.is_empty() || self.ranges.iter().any(any)
    }

    fn names_json(&self) -> bool {
        self.ranges.iter().any(|range| range == "application/json")
    }
}
