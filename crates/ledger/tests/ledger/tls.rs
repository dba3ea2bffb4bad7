//! TLS to a real PostgreSQL that lets nobody in without it: who is trusted, who is not, and what is said before that is known.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    thread,
};

use batchlingua_core::{BatchRef, Intended};
use batchlingua_ledger::{LedgerError, Options, open};
use batchlingua_testkit::{lasting_port, origin::Authority, postgres::Postgres};
use tempfile::TempDir;

use crate::house::{intent, scope};

const PASSWORD: &str = "hunter2";

fn url(who: &str, host: &str, port: u16, database: &str, options: &str) -> String {
    format!("postgres://{who}@{host}:{port}/{database}?{options}")
}

fn trusting(file: &Path) -> String {
    format!("sslmode=require&sslrootcert={}", file.display())
}

fn refused(url: &str) -> LedgerError {
    open(url, Options::default()).err().unwrap_or_else(|| panic!("{url} was opened"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_known_by_its_certificate_and_else_not_spoken_to() {
    let (dir, elsewhere) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let authority = Authority::new();
    let server = Postgres::start_tls(&authority, "localhost", PASSWORD);
    let (ours, others) =
        (trusting(&authority.ca_file(dir.path())), trusting(&Authority::new().ca_file(elsewhere.path())));
    let (port, me) = (server.port(), format!("test:{PASSWORD}"));

    let ledger = open(&url(&me, "localhost", port, "postgres", &ours), Options::default()).expect("it is trusted");
    let Ok(Intended::Fresh(entry, _)) = ledger.intend(intent()).await else { panic!("it is new") };
    let wanted = BatchRef::Ordinal(entry.batch.id.ordinal);
    assert!(ledger.find(&wanted, &scope("livy")).await.expect("it can be read").is_some());
    let connections = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'batchlingua'";
    assert_eq!(server.sql("postgres", &format!("SELECT count(*) > 1 AND bool_and(ssl) {connections}")), "t");
    drop(ledger);

    for (who, host, database, options, why) in [
        // Both authorities have the same name.
        (&*me, "localhost", "postgres", &*others, "BadSignature"),
        (&*me, "localhost", "postgres", "sslmode=require", "certificate"),
        (&*me, "127.0.0.1", "postgres", &*ours, "not valid for name"),
        (&*me, "localhost", "postgres", "sslmode=disable", "no encryption"),
        (&*me, "localhost", "nowhere", &*ours, "\"nowhere\" does not exist"),
        ("test:wrong", "localhost", "postgres", &*ours, "password authentication failed"),
        ("test", "localhost", "postgres", &*ours, "password missing"),
    ] {
        let error = refused(&url(who, host, port, database, options));
        let said = error.to_string();
        assert!(matches!(error, LedgerError::Open { .. }), "waiting would not mend it: {said}");
        assert!(said.contains(why) && !said.contains(PASSWORD), "{why}: {said}");
    }
    server.stop();
    let error = refused(&url(&me, "localhost", port, "postgres", &ours));
    assert!(matches!(error, LedgerError::Away { .. }) && !error.to_string().contains(PASSWORD), "{error}");
}

/// One that says that it has no TLS, be it only somebody on the way, learns neither the password nor who comes.
#[test]
fn nothing_is_said_to_a_server_without_tls() {
    let dir = TempDir::new().expect("a folder");
    let port = lasting_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    let heard = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("somebody comes");
        let mut heard = vec![0; 8];
        client.read_exact(&mut heard).expect("it asks for TLS");
        client.write_all(b"N").expect("it listens");
        client.read_to_end(&mut heard).expect("it goes away");
        heard
    });
    let trusting = trusting(&Authority::new().ca_file(dir.path()));
    let error = refused(&url(&format!("test:{PASSWORD}"), "127.0.0.1", port, "postgres", &trusting));
    assert!(matches!(error, LedgerError::Open { .. }) && error.to_string().contains("support TLS"), "{error}");
    let heard = heard.join().expect("the other side does not panic");
    assert_eq!(heard, [0, 0, 0, 8, 4, 210, 22, 47], "the request for TLS, and not a byte more");
}
