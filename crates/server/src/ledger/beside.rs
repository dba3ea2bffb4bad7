//! `ledger settle` while a proxy has the file for itself: the proxy settles it, asked on its admin listener.
//!
//! The submit is looked up in the file, which can be read beside the proxy, and the proxy is told its uuid. So one that happens to listen at
//! that address and works on another ledger settles nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use batchlingua_core::{ByHand, Entry};
use batchlingua_ledger::LedgerError;
use http::Method;
use serde_json::{Value, json};

use super::{Refusal, who};
use crate::{caller::Caller, print};

/// The proxy writes one row.
const PATIENCE: Duration = Duration::from_secs(30);
const SETTLE: &str = "/api/submits/settle";

/// Asks the proxy that listens there. `in_use`: what the ledger's lock says of who has it.
pub(super) fn settle(
    admin: Option<SocketAddr>,
    entry: &Entry,
    settled: &ByHand,
    in_use: &LedgerError,
) -> Result<ExitCode, Refusal> {
    let refused = |why: &str| Refusal::Other(format!("{in_use}. {why}"));
    let admin = match admin {
        None => return Err(refused("Its proxy cannot be asked either: the configuration has no [admin] listener")),
        Some(admin) if admin.port() == 0 => {
            return Err(refused(
                "Its proxy cannot be asked either: the configuration does not say the port of [admin]",
            ));
        }
        Some(admin) => reachable(admin),
    };
    let uuid = entry.batch.id.uuid.to_string();
    let (outcome, native) = match settled {
        ByHand::Accepted(native) => ("accepted", Some(native.as_str())),
        ByHand::Failed => ("failed", None),
    };
    let body = json!({ "id": uuid, "as": outcome, "native": native, "by": who() });
    let (status, answer) = ask(admin, &body).map_err(|why| {
        refused(&format!(
            "Its proxy was asked at {admin} (--config FILE names another [admin]), without a clear answer: {why}. \
             `ledger show {uuid}` says how the submit stands"
        ))
    })?;
    match (status, answer["phase"].as_str()) {
        (200, Some(phase)) => Ok(print::line(&format!("{uuid} is {phase}"))),
        _ => {
            let message = answer["message"].as_str().unwrap_or("no proxy of this program answers there");
            Err(Refusal::Other(format!("{uuid} was not settled by the proxy at {admin} ({status}): {message}")))
        }
    }
}

/// Where one that listens on all addresses is reached from here.
fn reachable(admin: SocketAddr) -> SocketAddr {
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, admin.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, admin.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => admin,
    }
}

fn ask(admin: SocketAddr, body: &Value) -> Result<(u16, Value), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let asked = Caller::json(admin);
        let answer = tokio::time::timeout(PATIENCE, asked.send(&Method::POST, SETTLE, Some(body))).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    })
}
