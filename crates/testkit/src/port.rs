//! A port for a server that has to come back at the same address.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below those that the system gives to connections that go out: one of them could take a port while its server is away.
const FIRST: u16 = 10_000;
const MANY: u16 = 20_000;

/// A loopback port that nobody has, and that no call gives again soon.
pub fn lasting_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run side by side: each begins elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..MANY {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = begin.wrapping_add(step) % u32::from(MANY);
        let port = FIRST + u16::try_from(place).expect("it is below the number of ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_another_each_time() {
        let (one, two) = (lasting_port(), lasting_port());
        assert_ne!(one, two);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one)).is_ok());
    }
}
