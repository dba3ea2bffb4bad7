//! A web page must not be able to start a job.
//!
//! While nobody has to prove who he is, a browser on the operator's machine would do whatever a page tells it to. So a request that a
//! browser marks as coming from another site is refused, and so is one whose `Host` is no name of ours (a page can make its own name
//! resolve to loopback, but not change what the browser sends as `Host`).

use batchlingua_core::{Denial, Error, ErrorKind, Result};
use http::{HeaderMap, header};

/// The names under which a listener may be addressed.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether principals are authenticated; then a browser's request proves nothing and these rules rest.
    pub authenticated: bool,
    /// Host names beside the loopback ones: the bound address, `public_url`'s host. Lower case, without a port.
    pub hosts: Vec<String>,
}

impl Access {
    /// Refuses what a browser was told to send.
    pub fn check(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<()> {
        if self.authenticated {
            return Ok(());
        }
        if headers.contains_key(header::ORIGIN) {
            return Err(forbidden(
                "a request with an Origin header is refused while authentication is off: web pages must not start jobs",
            ));
        }
        if headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
            return Err(forbidden(
                "a cross-site request is refused while authentication is off: web pages must not start jobs",
            ));
        }
        let mut hosts =
            headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or("\u{fffd}")).peekable();
        // HTTP/1.0 may leave Host out; a browser never does.
        if hosts.peek().is_none() && authority.is_none() {
            return Ok(());
        }
        match hosts.chain(authority).all(|host| self.knows(host)) {
            true => Ok(()),
            false => Err(forbidden(
                "the Host header names neither loopback, the listener's address nor its public_url; set public_url to that host",
            )),
        }
    }

    fn knows(&self, host: &str) -> bool {
        let name = name_of(host);
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || name.to_ascii_lowercase().ends_with(".localhost");
        loopback || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

/// A host without its port, an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

fn forbidden(message: &str) -> Error {
    Error::new(ErrorKind::Forbidden(Denial::Origin), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn only_our_own_names_pass() {
        let access = Access { authenticated: false, hosts: vec!["proxy.example".into()] };
        for host in ["127.0.0.1:8998", "localhost", "[::1]:8998", "127.9.9.9", "PROXY.example:80"] {
            assert!(access.check(&headers(&[("host", host)]), None).is_ok(), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""] {
            assert!(access.check(&headers(&[("host", host)]), None).is_err(), "{host}");
        }
        assert!(access.check(&HeaderMap::new(), None).is_ok(), "HTTP/1.0");
        assert!(access.check(&headers(&[("host", "localhost")]), Some("evil.example")).is_err());
    }

    #[test]
    fn what_a_browser_marks_is_refused_until_there_is_authentication() {
        for pair in [("origin", "null"), ("sec-fetch-site", "cross-site")] {
            let headers = headers(&[("host", "localhost"), pair]);
            assert!(Access::default().check(&headers, None).is_err(), "{pair:?}");
            assert!(Access { authenticated: true, hosts: Vec::new() }.check(&headers, None).is_ok(), "{pair:?}");
        }
    }
}
