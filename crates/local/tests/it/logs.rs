//! Logs of real jobs; the rules of lines and pages are tested beside them.

use batchlingua_core::{Backend, BatchState, ErrorKind, Lines, LogBody, LogQuery, LogSource};
use futures_util::TryStreamExt;

use crate::support::{Ground, context, shell};

#[tokio::test]
async fn a_log_is_read_while_it_grows() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let (begun, gate) = (ground.gate("begun"), ground.gate("gate"));
    let script = format!(
        "printf 'one\\ntw'; echo > {}; read x < {}; printf 'o\\nthree\\n'",
        begun.path().display(),
        gate.path().display()
    );
    let id = house.submit(shell(script)).await;
    begun.read().await;
    assert_eq!(house.log(&id).await, ["one", "tw"]);
    gate.open().await;
    house.ended(&id).await;
    assert_eq!(house.log(&id).await, ["one", "two", "three"]);
    assert_eq!(house.lines(&id, Lines::Tail(2)).await, ["two", "three"]);
    assert_eq!(house.lines(&id, Lines::From(1, 1)).await, ["two"]);
}

#[tokio::test]
async fn all_of_a_log_comes_as_bytes() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let id = house.submit(shell("printf 'cr\\rmiddle\\377\\n'; head -c 200000 /dev/zero")).await;
    assert_eq!(house.ended(&id).await.state, BatchState::Succeeded);
    let query = LogQuery { lines: Lines::All, source: LogSource::Default };
    let log = house.backend.log(&context(), &id, &query).await.expect("a log");
    assert_eq!((log.from, log.total), (0, Some(2 + 200_000_u64.div_ceil(65_536))));
    let LogBody::Stream(stream) = log.body else { panic!("a stream was asked for") };
    let pieces: Vec<_> = stream.try_collect().await.expect("read");
    assert!(pieces.iter().all(|piece| piece.len() <= 65_536));
    let expected = [b"cr\rmiddle\xff\n".to_vec(), vec![0; 200_000]].concat();
    assert!(pieces.concat() == expected, "the bytes differ");
}

#[tokio::test]
async fn logs_that_there_are_not() {
    let ground = Ground::new().with("concurrency", 1);
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    let first = house.submit(shell(format!("read x < {}", gate.path().display()))).await;
    let queued = house.submit(shell("true")).await;
    assert!(house.log(&queued).await.is_empty());
    let ask = async |source| house.backend.log(&context(), &queued, &LogQuery { lines: Lines::Tail(1), source }).await;
    assert!(ask(LogSource::Driver { attempt: 1 }).await.is_ok());
    for source in [LogSource::Driver { attempt: 2 }, LogSource::Step("s".into())] {
        let error = ask(source).await.expect_err("not there");
        assert!(matches!(error.kind, ErrorKind::NotFound(_)), "{error:?}");
    }
    gate.open().await;
    house.ended(&first).await;
}
