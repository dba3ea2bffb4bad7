//! TLS: 1.2 and later, HTTP/1.1 only, the server's name taken from the address.
//!
//! The provider of cryptography is given to each configuration: rustls panics where it has to guess one for the process and cannot.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::Settings;

/// Bundles of authorities have some 150 certificates of 2 KiB; a file above this is not what was meant.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Whom to trust, and what to show.
#[derive(Clone, Default)]
pub(super) struct Tls {
    /// `None`: whom the system trusts.
    ca: Option<Arc<RootCertStore>>,
    identity: Option<Arc<CertifiedKey>>,
}

/// Shows what is configured, never a key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca.is_some()).field("cert", &self.identity.is_some()).finish()
    }
}

impl Tls {
    /// Reads `tls` and the files that it names.
    pub(super) fn read(settings: &mut Settings, is_https: bool) -> Self {
        let mut table = settings.table("tls");
        if !is_https && ["ca", "cert", "key"].iter().any(|key| table.has(key)) {
            table.fault("", "says how to speak https, and `url` begins with http:");
        }
        let ca = table.text("ca").and_then(|file| told(&mut table, "ca", authorities(Path::new(&file))));
        let (cert, key) = (table.text("cert"), table.text("key"));
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => identity(&mut table, Path::new(&cert), Path::new(&key)),
            (None, None) => None,
            (Some(_), None) => told(&mut table, "cert", Err("needs its `key` beside it".to_owned())),
            (None, Some(_)) => told(&mut table, "key", Err("needs its `cert` beside it".to_owned())),
        };
        if let Err(faults) = table.finish() {
            settings.absorb(faults);
        }
        Self { ca: ca.map(Arc::new), identity: identity.map(Arc::new) }
    }

    /// What connections are made with; the system's authorities are read here.
    pub(super) fn config(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca {
            Some(roots) => roots.clone(),
            None => Arc::new(system_authorities()?),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone()))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn told<T>(table: &mut Settings, key: &str, read: Result<T, String>) -> Option<T> {
    read.map_err(|fault| table.fault(key, fault)).ok()
}

fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(roots);
    }
    let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(format!(
        "this system trusts no certificate authority; name a file of some by `tls.ca` ({})",
        reasons.join("; ")
    ))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{}: has a certificate that is none: {error}", file.display()))?;
    }
    Ok(roots)
}

fn identity(table: &mut Settings, cert: &Path, key: &Path) -> Option<CertifiedKey> {
    let chain = told(table, "cert", certificates(cert));
    let secret = told(table, "key", private_key(key));
    // That the key is the certificate's is found out here, not at the first handshake.
    let pair = CertifiedKey::from_der(chain?, secret?, &provider());
    told(table, "key", pair.map_err(|error| format!("does not fit `cert`: {error}")))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{}: has no certificate in PEM", file.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = zeroize::Zeroizing::new(read(file)?);
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("{}: has no private key in PEM: {error}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    let found = std::fs::metadata(file).map_err(told)?;
    if !found.is_file() || found.len() > MAX_FILE {
        return Err(format!("{}: is no file of at most {MAX_FILE} bytes", file.display()));
    }
    std::fs::read(file).map_err(told)
}
