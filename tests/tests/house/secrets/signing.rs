//! A request signed with an access key, as Huawei's SDK signs it (`SDK-HMAC-SHA256`). Written from the algorithm's description and not from
//! the proxy's own code, so that the two check each other.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// An access key.
pub(super) struct Key {
    pub(super) access_key: &'static str,
    pub(super) secret_key: String,
}

impl Key {
    /// The headers that prove whose the request is. The path has no escapes, and the query's names and values are letters and digits or are
    /// escaped here.
    pub(super) fn sign(&self, line: &str, content_type: &str, body: &[u8]) -> Vec<(String, String)> {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut pairs: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                format!("{}={}", escaped(name), escaped(value))
            })
            .collect();
        pairs.sort();
        let date = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let canonical = format!(
            "{method}\n{path}/\n{}\ncontent-type:{content_type}\nx-sdk-date:{date}\n\ncontent-type;x-sdk-date\n{}",
            pairs.join("&"),
            hex(&Sha256::digest(body))
        );
        let to_sign = format!("SDK-HMAC-SHA256\n{date}\n{}", hex(&Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret_key.as_bytes()).expect("any key fits");
        mac.update(to_sign.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let access = self.access_key;
        let mut headers = vec![
            ("X-Sdk-Date".to_owned(), date),
            (
                "Authorization".to_owned(),
                format!(
                    "SDK-HMAC-SHA256 Access={access}, SignedHeaders=content-type;x-sdk-date, Signature={signature}"
                ),
            ),
        ];
        // Who sends a body says its type anyway.
        if body.is_empty() {
            headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        }
        headers
    }
}

fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let one = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
