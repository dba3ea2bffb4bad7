//! From a URL to what connects: who, where, and whether under TLS.
//!
//! The rest of the URL is the driver's to read. TLS is decided here, since its words for it allow a connection whose other side nobody has
//! looked at: `disable` or `require`, and `require` means that the certificate is checked. The default is what the way to the server asks for:
//! none on this machine, `require` to any other. A password is in none of the texts that are made here.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::LedgerError;

/// Where the database is. Cheap to clone, and silent about the password.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) config: Arc<tokio_postgres::Config>,
    pub(super) tls: Option<MakeRustlsConnect>,
    /// As people may read it.
    pub(super) shown: PathBuf,
}

/// Names a replica in the database's list of who is connected.
const APPLICATION: &str = "batchlingua";
const KEEPALIVE: Duration = Duration::from_secs(10);

impl Place {
    pub(super) fn of(url: &str, timeout: Duration) -> Result<Self, LedgerError> {
        let shown = PathBuf::from(batchlingua_core::redact::line(url));
        // What the driver says of a URL may quote it.
        let bad = |why: &str| LedgerError::open(&shown, why);
        let (plain, own) = split(url).map_err(bad)?;
        let mut config: tokio_postgres::Config = plain.parse().map_err(|_| {
            bad("it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, what is not a letter or digit being percent-encoded")
        })?;
        if config.get_dbname().is_none() {
            return Err(bad("it names no database: postgres://HOST/DATABASE"));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("it names no host: postgres://HOST/DATABASE, or ?host=FOLDER for the folder of a socket"));
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        // Of several hosts, the one that takes writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(timeout).tcp_user_timeout(timeout).keepalives_idle(KEEPALIVE);
        let secure = own.tls.unwrap_or_else(|| !is_near(&config));
        config.ssl_mode(if secure { SslMode::Require } else { SslMode::Disable });
        let tls = if secure { Some(tls(own.root.as_deref()).map_err(|why| bad(&why))?) } else { None };
        Ok(Self { config: Arc::new(config), tls, shown })
    }
}

/// Whether nobody can listen on the way.
fn is_near(config: &tokio_postgres::Config) -> bool {
    let near = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(near) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[derive(Default)]
struct Own {
    tls: Option<bool>,
    root: Option<String>,
}

/// The URL without what is read here.
fn split(url: &str) -> Result<(String, Own), &'static str> {
    let mut own = Own::default();
    let Some((before, query)) = url.split_once('?') else { return Ok((url.to_owned(), own)) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", "disable")) => own.tls = Some(false),
            Some(("sslmode", "require" | "verify-full")) => own.tls = Some(true),
            Some(("sslmode", _)) => return Err("sslmode must be disable or require; require checks the certificate"),
            Some(("sslrootcert", path)) => own.root = Some(path.replace("%2F", "/").replace("%2f", "/")),
            _ => rest.push(pair),
        }
    }
    Ok((format!("{before}{}{}", if rest.is_empty() { "" } else { "?" }, rest.join("&")), own))
}

fn tls(root: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let found = found.map_err(|error| format!("sslrootcert {path}: {error}"))?;
            roots.add_parsable_certificates(found);
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(
            "there is no certificate authority to check the server by: name one with sslrootcert=FILE".to_owned()
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(1);

    #[test]
    fn tls_is_asked_for_where_somebody_could_listen() {
        let mode = |url: &str| Place::of(url, T).expect("the URL is good").config.get_ssl_mode();
        for near in ["postgres://a@localhost/d", "postgres://a@127.0.0.1:5433/d", "postgres:///d?host=/run/pg&user=a"] {
            assert_eq!(mode(near), SslMode::Disable, "{near}");
        }
        for secure in
            ["postgres://a@db.example/d", "postgresql://a@10.0.0.1/d", "postgres://a@localhost/d?sslmode=require"]
        {
            assert_eq!(mode(secure), SslMode::Require, "{secure}");
        }
        assert_eq!(mode("postgres://a@db.example/d?sslmode=disable&connect_timeout=3"), SslMode::Disable);
    }

    #[test]
    fn what_is_refused_says_why_and_never_the_password() {
        for (url, why) in [
            ("postgres://a:hunter2@h", "no database"),
            ("postgres:///d?user=a&password=hunter2", "no host"),
            ("postgres://a:hunter2@h/d?sslmode=prefer", "sslmode"),
            ("postgres://a:hunter2@h/d?sslrootcert=/proc/nowhere", "/proc/nowhere"),
            ("postgres://a:hunter2@h:port/d", "percent-encoded"),
        ] {
            let said = Place::of(url, T).err().expect("the URL is bad").to_string();
            assert!(said.contains(why) && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}
