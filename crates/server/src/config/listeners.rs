//! `[[listener]]` and `[admin]`: where requests come in, and under which names.
//!
//! Where nobody has to prove who he is, whoever reaches an address may run jobs. An address that other machines can reach is therefore refused
//! there until the file says `insecure = true`. The admin listener asks nobody, so the same holds for it.

use std::net::{IpAddr, SocketAddr};

use batchlingua_core::{DialectName, ListenerName};
use batchlingua_wire::Settings;

use super::{
    ListenerConfig, dialect_names,
    read::{close, name_fault, nearest},
    told_twice,
};

const CLIENTS: &str = "127.0.0.1:8998";
const ADMIN: &str = "127.0.0.1:9998";

/// `[admin]`.
pub(super) fn admin(root: &mut Settings, insecure: bool) -> Option<SocketAddr> {
    let mut table = root.table("admin");
    let enabled = table.flag("enabled", true);
    let given = table.text("address");
    let address = match given.as_deref() {
        Some("") => None,
        given => Some(read_address(&mut table, given.unwrap_or(ADMIN), insecure, "")),
    };
    close(root, table);
    address.filter(|_| enabled)
}

/// `[[listener]]`; without any there is one.
pub(super) fn listeners(
    root: &mut Settings,
    insecure: bool,
    has_auth: bool,
    admin: Option<SocketAddr>,
) -> Vec<ListenerConfig> {
    let mut tables = root.tables("listener");
    if tables.is_empty() {
        tables.push(Settings::new("listener", serde_json::json!({})));
    }
    let mut listeners = Vec::new();
    for mut table in tables {
        listeners.push(listener(&mut table, insecure, has_auth));
        close(root, table);
    }
    for at in told_twice(listeners.iter().map(|listener| listener.name.as_str())) {
        let message = format!("another listener has the name \"{}\"; give each its own", listeners[at].name);
        root.fault(&format!("listener[{at}].name"), message);
    }
    let addresses: Vec<SocketAddr> = admin.into_iter().chain(listeners.iter().map(|l| l.address)).collect();
    let admins = addresses.len() - listeners.len();
    for (at, address) in addresses.iter().enumerate().skip(admins) {
        if addresses[..at].iter().any(|other| clash(*other, *address)) {
            let message = format!("{address} is taken by another listener or by [admin]; give each its own");
            root.fault(&format!("listener[{}].address", at - admins), message);
        }
    }
    listeners
}

fn listener(table: &mut Settings, insecure: bool, has_auth: bool) -> ListenerConfig {
    let name = table.text("name").unwrap_or_else(|| "main".into());
    if let Some(fault) = name_fault(&name) {
        table.fault("name", fault);
    }
    if name == "admin" {
        table.fault("name", "\"admin\" is the admin listener's name in metrics; take another");
    }
    let auth = table.flag("auth", has_auth);
    if auth && !has_auth {
        table.fault("auth", "there is no [auth] that says who may come in; add it, or leave this out");
    }
    let is_safe = insecure || auth;
    let address = table.text("address");
    let remedy = if has_auth { "leave `auth = false` out, " } else { "say in [auth] who may come in, " };
    let address = read_address(table, address.as_deref().unwrap_or(CLIENTS), is_safe, remedy);
    let dialects = dialects(table);
    let public_url = table.text("public_url").and_then(|url| public_url(table, &url));
    let hosts = hosts(table, public_url.as_deref());
    if address.ip().is_unspecified() && is_safe && hosts.is_empty() {
        table.fault(
            "public_url",
            format!(
                "must be set where the address is {}: clients are told it, and their Host is held against it",
                address.ip()
            ),
        );
    }
    let csrf = table.flag("csrf", false);
    let path_prefix = path_prefix(table);
    let trust_real_ip = table.flag("trust_real_ip", false);
    let name = ListenerName::from(name);
    ListenerConfig { name, address, dialects, public_url, hosts, csrf, path_prefix, auth, trust_real_ip }
}

fn dialects(table: &mut Settings) -> Vec<DialectName> {
    let given = table.texts("dialects").unwrap_or_else(|| dialect_names().map(str::to_owned).collect());
    if given.is_empty() {
        table.fault("dialects", "names no dialect; leave the key out for all of them");
    }
    for name in &given {
        if !dialect_names().any(|known| known == name) {
            let message = format!("there is no dialect \"{name}\"; {}", nearest(name, dialect_names()));
            table.fault("dialects", message);
        }
    }
    for at in told_twice(given.iter().map(String::as_str)) {
        table.fault("dialects", format!("names \"{}\" twice", given[at]));
    }
    given.into_iter().map(DialectName::from).collect()
}

fn public_url(table: &mut Settings, given: &str) -> Option<String> {
    let fits = given.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'))
            && uri.query().is_none()
    });
    if !fits || given.contains('#') {
        table.fault(
            "public_url",
            "must be an address such as \"https://batch.example.com\", without user, query or fragment",
        );
        return None;
    }
    Some(given.trim_end_matches('/').to_owned())
}

fn hosts(table: &mut Settings, public_url: Option<&str>) -> Vec<String> {
    let mut hosts = table.texts("hosts").unwrap_or_default();
    for host in &hosts {
        if host.is_empty() || host.contains(['/', ':', '@', '*', ' ']) && host.parse::<IpAddr>().is_err() {
            table.fault("hosts", format!("must be host names without scheme, port or wildcard, not \"{host}\""));
        }
    }
    hosts.extend(public_url.and_then(host_of));
    hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
    hosts
}

/// The host of an address that has been checked, an IPv6 address without its brackets.
fn host_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

fn path_prefix(table: &mut Settings) -> String {
    let prefix = table.text("path_prefix").unwrap_or_default();
    let fits = prefix.is_empty() || prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//");
    if !fits || !prefix.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b';' | b'%')) {
        table
            .fault("path_prefix", "must begin with a slash and not end with one, such as \"/gateway/default/livy/v1\"");
    }
    prefix
}

fn read_address(table: &mut Settings, given: &str, is_safe: bool, remedy: &str) -> SocketAddr {
    let numeric = given.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let Ok(address) = numeric.as_deref().unwrap_or(given).parse::<SocketAddr>() else {
        table.fault("address", format!("must be an IP address and a port such as \"{CLIENTS}\", not \"{given}\""));
        return CLIENTS.parse().expect("an address");
    };
    if !address.ip().is_loopback() && !is_safe {
        table.fault(
            "address",
            format!(
                "{} can be reached from other machines and nobody has to prove who he is: listen on 127.0.0.1, {remedy}or write \
                 `insecure = true` above the first table if the network keeps others out",
                address.ip()
            ),
        );
    }
    address
}

/// Whether two addresses cannot both be bound.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap =
        a.ip() == b.ip() || a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_clash_where_the_system_would_refuse_the_second() {
        let clashes = |a: &str, b: &str| clash(a.parse().expect("an address"), b.parse().expect("an address"));
        assert!(clashes("127.0.0.1:1", "127.0.0.1:1") && clashes("0.0.0.0:1", "10.0.0.1:1"));
        assert!(!clashes("127.0.0.1:0", "127.0.0.1:0") && !clashes("127.0.0.1:1", "127.0.0.2:1"));
    }

    #[test]
    fn the_host_of_an_address_has_neither_port_nor_brackets() {
        assert_eq!(host_of("https://batch.example.com:8443/gw").as_deref(), Some("batch.example.com"));
        assert_eq!(host_of("http://[::1]:80").as_deref(), Some("::1"));
    }
}
