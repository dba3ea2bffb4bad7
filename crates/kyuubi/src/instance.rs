//! `kyuubiInstance`: the address that `kyuubi-ctl` dials for the log, always over plain HTTP. So it is the listener's own public one, and
//! null where that speaks TLS: then the client asks the address that it came by.

use std::borrow::Cow;

/// Host and port of a public URL.
pub(crate) fn of(public_url: &str) -> Option<Cow<'_, str>> {
    let rest = public_url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // Behind the bracket of an IPv6 address.
    let port = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
    match (authority, port.contains(':')) {
        ("", _) => None,
        (authority, true) => Some(Cow::Borrowed(authority)),
        (authority, false) => Some(Cow::Owned(format!("{authority}:80"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_can_be_dialled_as_it_is() {
        for (url, instance) in [
            ("http://127.0.0.1:8998", Some("127.0.0.1:8998")),
            ("http://batch.example/gw", Some("batch.example:80")),
            ("http://[::1]:8998", Some("[::1]:8998")),
            ("http://[::1]", Some("[::1]:80")),
            ("https://batch.example:8443", None),
            ("http://", None),
        ] {
            assert_eq!(of(url).as_deref(), instance, "{url}");
        }
    }
}
