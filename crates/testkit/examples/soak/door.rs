//! Where clients go: one address for each platform, or several replicas that answer for all of them, as behind a balancer.

use std::net::SocketAddr;

use serde_json::Value;

use crate::http::{Failed, Reply, call};

/// Of one replica the addresses, by the platform that is wanted.
pub(crate) type Addresses = [SocketAddr; 3];

/// All replicas.
pub(crate) struct Door {
    pub(crate) replicas: Vec<Addresses>,
    /// Whether ids outlive the platform's records, as behind the proxy.
    pub(crate) keeps_ids: bool,
}

impl Door {
    /// Asks the replica whose turn it is, and the next one where nothing listens; says who it was.
    pub(crate) async fn ask(
        &self,
        turn: usize,
        platform: usize,
        line: &str,
        headers: &[(&str, String)],
        body: Option<&Value>,
    ) -> (usize, Result<Reply, Failed>) {
        let many = self.replicas.len();
        for replica in (turn..turn + many).map(|turn| turn % many) {
            match call(self.replicas[replica][platform], line, headers, body).await {
                Err(Failed::NotConnected) => {}
                answered => return (replica, answered),
            }
        }
        (turn % many, Err(Failed::NotConnected))
    }
}
