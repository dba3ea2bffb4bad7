//! Certificates of an authority that nobody trusts but the test that made it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no wrong names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, key()).expect("a key signs") }
    }

    /// Its own certificate, in a file.
    pub fn ca_file(&self, dir: &Path) -> PathBuf {
        written(dir.join("ca.pem"), &self.issuer.pem())
    }

    /// The certificate and key of a client or a server of this name, in files.
    pub fn files(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.issue(name);
        let file = |what| dir.join(format!("{name}-{what}.pem"));
        (written(file("cert"), &certificate.pem()), written(file("key"), &key.serialize_pem()))
    }

    /// What a server of this name is configured with. `of_clients` is the authority of the clients that it lets in; without one it lets in all.
    pub fn server(&self, name: &str, of_clients: Option<&Self>) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name);
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key just made");
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has all of them");
        let builder = match of_clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).expect("a certificate just made");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("it has a root"))
            }
        };
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).expect("the key is its own"))
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = key();
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name of a host");
        (params.signed_by(&key, &self.issuer).expect("the authority signs"), key)
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system gives random bytes")
}

fn written(file: PathBuf, pem: &str) -> PathBuf {
    std::fs::write(&file, pem).expect("the directory can be written");
    file
}
