//! `kyuubiInstance`: the address that `kyuubi-ctl` dials for the log, always over plain HTTP. So it is the listener's own public one, and
//! null where that speaks TLS: then the client asks the address that it came by.
//!
//! A Kyuubi has no path in front of `/api`. Where this listener has one it is told too: a client puts `http://` before the text and
//! `/api/v1` behind it, so without the path it would ask for the log where nothing is.

use std::borrow::Cow;

use batchlingua_wire::Face;

/// Host and port of a listener's public URL, with the path in front of `/api` if there is any.
pub(crate) fn of(face: &Face) -> Option<Cow<'_, str>> {
    let rest = face.public_url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Behind the bracket of an IPv6 address.
    let has_port = authority.rsplit_once(']').map_or(authority, |(_, port)| port).contains(':');
    let port = if has_port { "" } else { ":80" };
    match (authority, port, path.trim_end_matches('/'), face.path_prefix.as_str()) {
        ("", ..) => None,
        (authority, "", "", "") => Some(Cow::Borrowed(authority)),
        (authority, port, path, prefix) => Some(Cow::Owned(format!("{authority}{port}{path}{prefix}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::face;

    #[test]
    fn the_address_is_one_that_can_be_dialled_as_it_is() {
        for (url, prefix, instance) in [
            ("http://127.0.0.1:8998", "", Some("127.0.0.1:8998")),
            ("http://batch.example", "", Some("batch.example:80")),
            ("http://batch.example", "/gw", Some("batch.example:80/gw")),
            ("http://batch.example:8998/knox/", "/gw", Some("batch.example:8998/knox/gw")),
            ("http://[::1]:8998", "", Some("[::1]:8998")),
            ("http://[::1]", "", Some("[::1]:80")),
            ("https://batch.example:8443", "", None),
            ("http://", "", None),
        ] {
            let face = Face { public_url: url.to_owned(), path_prefix: prefix.to_owned(), ..face().as_ref().clone() };
            assert_eq!(of(&face).as_deref(), instance, "{url} {prefix}");
        }
    }
}
