//! What a backend is shown: the configured credentials, or those of the client that the request is made for.
//!
//! The two never mix: where `caller = true`, a client's request goes with what that client showed or not at all, and only work that no
//! client showed anything for goes with the configured ones. Nothing is remembered between requests, so no caller's credentials can
//! reach another's, and none of these schemes binds a connection to anybody.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use batchlingua_core::Credentials;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use crate::Settings;

/// DLI's token.
pub(super) const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// A way of authentication that a product takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// Name and password.
    Basic,
    /// A bearer token.
    Bearer,
    /// `X-Auth-Token`.
    Token,
    /// A signature with an access key.
    Signature,
    /// The caller's own credentials, of those of the others that have a header of their own.
    Caller,
}

impl AuthScheme {
    const ALL: [Self; 5] = [Self::Basic, Self::Bearer, Self::Token, Self::Signature, Self::Caller];

    /// Its key in `auth`.
    fn key(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Token => "token",
            Self::Signature => "ak_sk",
            Self::Caller => "caller",
        }
    }
}

/// A secret text: wiped when it is dropped, and never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key that requests are signed with.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its id, which is sent.
    pub ak: String,
    /// What is signed with, which is not.
    pub sk: Secret,
    /// The region that the signature is for, where the platform wants one.
    pub region: Option<String>,
    /// What a temporary key is sent with.
    pub security_token: Option<Secret>,
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub(super) struct Auth {
    own: Own,
    /// Empty: no caller's credentials are used.
    of_callers: Vec<AuthScheme>,
}

#[derive(Clone, Debug)]
enum Own {
    Nothing,
    /// A name, and what proves it.
    Named(String, HeaderValue),
    Header(HeaderName, HeaderValue),
    Key(AccessKey),
}

/// What one request shows.
#[derive(Debug)]
pub(super) enum Shown {
    Nothing,
    Header(HeaderName, HeaderValue),
    Signature,
}

impl Auth {
    /// Reads `auth`; only these schemes are there.
    pub(super) fn read(settings: &mut Settings, schemes: &[AuthScheme]) -> Self {
        let mut table = settings.secret_table("auth");
        refuse_others(&mut table, schemes);
        let given: Vec<&str> = schemes.iter().map(|scheme| scheme.key()).filter(|key| table.has(key)).collect();
        let mut owns = Vec::new();
        for scheme in schemes {
            owns.extend(own(&mut table, *scheme).filter(|_| given.contains(&scheme.key())));
        }
        let takes_callers = schemes.contains(&AuthScheme::Caller) && table.flag("caller", false);
        if given.iter().filter(|key| **key != AuthScheme::Caller.key()).count() > 1 {
            table.fault("", format!("has more than one way ({}); keep one", given.join(", ")));
        }
        if let Err(faults) = table.finish() {
            settings.absorb(faults);
        }
        let of_callers = if takes_callers { schemes.to_vec() } else { Vec::new() };
        Self { own: owns.pop().unwrap_or(Own::Nothing), of_callers }
    }

    /// The configured key.
    pub(super) fn access_key(&self) -> Option<&AccessKey> {
        match &self.own {
            Own::Key(key) => Some(key),
            Own::Nothing | Own::Named(..) | Own::Header(..) => None,
        }
    }

    /// The configured name.
    pub(super) fn user(&self) -> Option<&str> {
        match &self.own {
            Own::Named(user, _) => Some(user),
            Own::Nothing | Own::Header(..) | Own::Key(_) => None,
        }
    }

    /// Whether nothing is shown that is not a caller's.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.own, Own::Nothing)
    }

    /// Whether callers' own credentials are used.
    pub(super) fn takes_callers(&self) -> bool {
        !self.of_callers.is_empty()
    }

    /// What a request on behalf of this caller shows. `None`: the caller's own is wanted, and cannot be sent on.
    pub(super) fn shown(&self, caller: Option<&Credentials>) -> Option<Shown> {
        match caller {
            Some(caller) if !self.of_callers.is_empty() => self.of_caller(caller),
            Some(_) | None => Some(match &self.own {
                Own::Nothing => Shown::Nothing,
                Own::Named(_, value) => Shown::Header(header::AUTHORIZATION, value.clone()),
                Own::Header(name, value) => Shown::Header(name.clone(), value.clone()),
                Own::Key(_) => Shown::Signature,
            }),
        }
    }

    fn of_caller(&self, caller: &Credentials) -> Option<Shown> {
        let (scheme, header) = match caller {
            Credentials::Basic { user, password } => (AuthScheme::Basic, basic(user, password)),
            Credentials::Bearer(token) => (AuthScheme::Bearer, bearer(token)?),
            Credentials::Token(token) => (AuthScheme::Token, token_header(token)?),
            // A session is this proxy's own, and a signature holds for the request that came, not for the one that goes.
            Credentials::Session(_) | Credentials::Signature { .. } => return None,
        };
        self.of_callers.contains(&scheme).then_some(Shown::Header(header.0, header.1))
    }
}

fn refuse_others(table: &mut Settings, schemes: &[AuthScheme]) {
    let there: Vec<String> = schemes.iter().map(|scheme| format!("`{}`", scheme.key())).collect();
    for other in AuthScheme::ALL.into_iter().filter(|scheme| !schemes.contains(scheme)) {
        if table.has(other.key()) {
            table.skip(other.key());
            table.fault(other.key(), format!("this kind of backend does not take it; it takes {}", there.join(", ")));
        }
    }
}

fn own(table: &mut Settings, scheme: AuthScheme) -> Option<Own> {
    match scheme {
        AuthScheme::Basic => own_basic(table),
        AuthScheme::Bearer => own_token(table, scheme.key(), bearer),
        AuthScheme::Token => own_token(table, scheme.key(), token_header),
        AuthScheme::Signature => own_key(table),
        AuthScheme::Caller => None,
    }
}

fn own_basic(table: &mut Settings) -> Option<Own> {
    let is_given = table.has("basic");
    let mut inner = table.secret_table("basic");
    let (user, password) = (inner.text("user"), inner.secret("password"));
    if is_given && user.as_ref().is_none_or(|user| user.is_empty() || user.contains(':')) {
        inner.fault("user", "must be given, without a colon");
    }
    if is_given && password.is_none() {
        inner.fault("password", "must be given");
    }
    close(table, inner);
    let user = user?;
    let value = basic_value(&user, password?.expose());
    Some(Own::Named(user, value))
}

fn own_token(
    table: &mut Settings,
    key: &'static str,
    make: fn(&str) -> Option<(HeaderName, HeaderValue)>,
) -> Option<Own> {
    let secret = table.secret(key)?;
    let header = make(secret.expose());
    if header.is_none() {
        table.fault(key, "has a character that a header cannot carry");
    }
    header.map(|(name, value)| Own::Header(name, value))
}

fn own_key(table: &mut Settings) -> Option<Own> {
    let is_given = table.has("ak_sk");
    let mut inner = table.secret_table("ak_sk");
    let (ak, sk) = (inner.text("ak").filter(|ak| !ak.is_empty()), inner.secret("sk"));
    let (region, security_token) = (inner.text("region"), inner.secret("security_token"));
    for (key, is_missing) in [("ak", ak.is_none()), ("sk", sk.is_none())] {
        if is_given && is_missing {
            inner.fault(key, "must be given");
        }
    }
    close(table, inner);
    Some(Own::Key(AccessKey { ak: ak?, sk: sk?, region, security_token }))
}

fn close(table: &mut Settings, inner: Settings) {
    if let Err(faults) = inner.finish() {
        table.absorb(faults);
    }
}

/// The value of `Authorization` or `Proxy-Authorization` for a name and a password.
pub(super) fn basic_value(user: &str, password: &str) -> HeaderValue {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).expect("base64 is a header's text");
    value.set_sensitive(true);
    value
}

fn basic(user: &str, password: &str) -> (HeaderName, HeaderValue) {
    (header::AUTHORIZATION, basic_value(user, password))
}

fn bearer(token: &str) -> Option<(HeaderName, HeaderValue)> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    secret_value(&text).map(|value| (header::AUTHORIZATION, value))
}

fn token_header(token: &str) -> Option<(HeaderName, HeaderValue)> {
    secret_value(token).map(|value| (X_AUTH_TOKEN, value))
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
