//! Keyed hashes: HMAC-SHA256 over parts that cannot run into each other, and comparisons that take the same time wherever they fail.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A keyed hash.
pub(super) type Mac = [u8; 32];

/// A key, ready to be used: cloning it is cheaper than taking the key in again.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// One that no other process knows.
    pub(super) fn random() -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the system has random numbers");
        Self::new(&secret)
    }

    /// Over these bytes alone.
    pub(super) fn of(&self, bytes: &[u8]) -> Mac {
        let mut mac = self.0.clone();
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// Over these parts, each with its length, so that no two lists of parts are one.
    pub(super) fn of_parts(&self, parts: &[&[u8]]) -> Mac {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// A hash without a key, where what is hashed cannot be guessed anyway.
pub(super) fn digest(parts: &[&[u8]]) -> Mac {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Whether two secrets are the same.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// In lower-case hexadecimal digits.
pub(super) fn hex(mac: &Mac) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(mac) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = Key::random();
        assert_eq!(key.of_parts(&[b"ana", b"secret"]), key.of_parts(&[b"ana", b"secret"]));
        assert_ne!(key.of_parts(&[b"ana", b"secret"]), key.of_parts(&[b"anas", b"ecret"]));
        assert_ne!(key.of_parts(&[b"ana", b"secret"]), Key::random().of_parts(&[b"ana", b"secret"]));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let mac = Key::new(b"Jefe").of(b"what do ya want for nothing?");
        assert_eq!(&hex(&mac), b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
