//! The keys of `[backend.NAME]` that every backend over HTTP has.

use std::{fmt, time::Duration};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};
use percent_encoding::percent_decode_str;

use super::{AccessKey, AuthScheme, auth, auth::Auth, tls::Tls};
use crate::Settings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
const POOL: u64 = 32;
/// Below the half minute after which Jetty, under all the products, closes an idle connection: who closes first has no race to lose.
const POOL_IDLE: Duration = Duration::from_secs(15);
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// How a backend is reached. No secret is in what `Debug` shows.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub(super) url: BaseUrl,
    pub(super) auth: Auth,
    pub(super) connect_timeout: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) pool: usize,
    pub(super) pool_idle: Duration,
    pub(super) max_answer: usize,
    pub(super) tls: Tls,
    pub(super) proxy: Option<Proxy>,
}

/// A backend's address, below which all its paths are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// Empty, or begins with a slash and ends with none.
    prefix: String,
}

/// A proxy on the way out.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) uri: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

impl ClientConfig {
    /// Reads the keys, with every fault left in the settings. Touches nothing but the files that they name.
    pub fn read(settings: &mut Settings, schemes: &[AuthScheme]) -> Option<Self> {
        let url = read_url(settings);
        let auth = Auth::read(settings, schemes);
        let connect_timeout = settings.span("connect_timeout", CONNECT_TIMEOUT);
        let attempt_timeout = settings.span("attempt_timeout", ATTEMPT_TIMEOUT);
        let pool = settings.integer("pool", POOL, 0..=10_000) as usize;
        let pool_idle = settings.span("pool_idle", POOL_IDLE);
        let max_answer = read_max_answer(settings);
        let tls = Tls::read(settings, url.as_ref().is_none_or(|url| url.scheme == Scheme::HTTPS));
        let proxy = read_proxy(settings);
        Some(Self { url: url?, auth, connect_timeout, attempt_timeout, pool, pool_idle, max_answer, tls, proxy })
    }

    /// The key that requests are to be signed with, for whoever makes the signer.
    pub fn access_key(&self) -> Option<&AccessKey> {
        self.auth.access_key()
    }

    /// Whether requests are sent with their caller's own credentials.
    pub fn takes_callers(&self) -> bool {
        self.auth.takes_callers()
    }

    /// The name that requests are sent under; `None`: a token or a key stands for somebody whose name is not known.
    pub fn user(&self) -> Option<&str> {
        self.auth.user()
    }

    /// Whether requests without a caller are sent with no credentials at all.
    pub fn is_anonymous(&self) -> bool {
        self.auth.is_empty()
    }

    /// The backend's address.
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }
}

impl BaseUrl {
    /// Host and port as the address has them.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The path in front of all others: empty, or with a slash at its begin and none at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The whole address of a target below it; the target begins with a slash or is a mere query.
    pub(super) fn join(&self, target: &str) -> Result<Uri, http::Error> {
        let slash =
            if target.starts_with('/') || (target.starts_with('?') && !self.prefix.is_empty()) { "" } else { "/" };
        let path = format!("{}{slash}{target}", self.prefix);
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path).build()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be an address such as \"http://10.0.0.5:8998\" or \"https://batch.example.com/livy\"";
        let uri: Uri = text.parse().map_err(|_| SHAPE)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(SHAPE) };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(SHAPE);
        }
        if authority.as_str().contains('@') {
            return Err("must not have a name and a password in it; they go into `auth`");
        }
        check_port(&authority)?;
        if text.contains('#') || parts.path_and_query.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err("must end with its path, without `?` and `#`");
        }
        let prefix = parts.path_and_query.map(|path| path.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        Ok(Self { scheme, authority, prefix })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

fn check_port(authority: &Authority) -> Result<(), &'static str> {
    let after_name = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    let port = after_name.strip_prefix(authority.host()).unwrap_or_default();
    match port.strip_prefix(':') {
        _ if authority.host().is_empty() => Err("has no host"),
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        Some(_) => Err("has a port that is none; ports are from 1 to 65535"),
        None => Ok(()),
    }
}

fn read_url(settings: &mut Settings) -> Option<BaseUrl> {
    let is_given = settings.has("url");
    let Some(text) = settings.text("url") else {
        if !is_given {
            settings.fault("url", "must be given: the address of the platform, such as \"http://10.0.0.5:8998\"");
        }
        return None;
    };
    BaseUrl::parse(&text).map_err(|fault| settings.fault("url", fault)).ok()
}

fn read_max_answer(settings: &mut Settings) -> usize {
    let max = settings.bytes("max_answer", MAX_ANSWER);
    if !(1024..=1 << 30).contains(&max) {
        settings.fault("max_answer", "must be from \"1KiB\" to \"1GiB\"");
        return MAX_ANSWER as usize;
    }
    max as usize
}

fn read_proxy(settings: &mut Settings) -> Option<Proxy> {
    let text = settings.secret("proxy")?;
    // Whatever is wrong with it, it is not quoted: there may be a password in it.
    Proxy::parse(text.expose()).map_err(|fault| settings.fault("proxy", fault)).ok()
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be an address such as \"http://proxy.example.com:3128\"";
        let uri: Uri = text.parse().map_err(|_| SHAPE)?;
        let authority = uri.authority().ok_or(SHAPE)?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.path().len() > 1 || uri.query().is_some() {
            return Err(SHAPE);
        }
        check_port(authority)?;
        let (user, host) =
            authority.as_str().rsplit_once('@').map_or((None, authority.as_str()), |(u, h)| (Some(u), h));
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            auth::basic_value(&plain(user), &plain(password))
        });
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(host).path_and_query("/").build().map_err(|_| SHAPE)?;
        Ok(Self { uri, authorization })
    }
}
