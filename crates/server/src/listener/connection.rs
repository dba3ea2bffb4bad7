//! One connection, from its first byte to its last, within the bounds of `activity`.

use std::{convert::Infallible, pin::pin};

use batchlingua_wire::Body;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tower::Service;

use super::{
    RequestStream, Stage,
    activity::{Activity, Overdue},
    io::WatchedIo,
    service::{ConnectionService, Speaker},
};
use crate::config::HttpLimits;

/// hyper's side of the limits, the same for all connections.
pub(super) fn builder(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // `activity` tells a head that is slow from a connection that is idle; hyper does not.
        .header_read_timeout(None)
        // A client that has said all it has to say may close its side, and waits for the answer all the same.
        .half_close(true)
        .max_header_size(limits.max_header)
        // A read buffer grows with what a client sends at once; without this, to 400 KiB for each connection.
        .max_buf_size(limits.max_header);
    builder
}

/// Serves the connection until it ends, is overdue, or the stage says so.
pub(super) async fn serve<T, S>(
    socket: T,
    speaker: Speaker<S>,
    builder: http1::Builder,
    limits: HttpLimits,
    mut stage: watch::Receiver<Stage>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestStream>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let activity = Activity::new();
    if *stage.borrow() == Stage::Leaving {
        activity.leave();
    }
    let io = TokioIo::new(WatchedIo::new(socket, activity.clone()));
    let mut connection = pin!(builder.serve_connection(io, ConnectionService::new(speaker, activity.clone())));
    let mut timer = pin!(tokio::time::sleep_until(tokio::time::Instant::now()));
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // A client's fault or its leaving; its answer, if there was one to give, has been given.
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = timer.as_mut() => match activity.check(&limits) {
                Ok(later) => timer.as_mut().reset(later),
                Err(Overdue::Idle | Overdue::Linger) => return,
                Err(why @ (Overdue::Head | Overdue::Write)) => {
                    tracing::debug!(?why, "connection ended: too slow");
                    return;
                }
            },
            changed = stage.changed() => match changed.map(|()| *stage.borrow_and_update()) {
                Ok(Stage::Serving) => {}
                Ok(Stage::Leaving) => activity.leave(),
                // Ends it after the request in work, or at once if there is none.
                Ok(Stage::Draining) => connection.as_mut().graceful_shutdown(),
                Ok(Stage::Ended) | Err(_) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use http::StatusCode;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    fn limits() -> HttpLimits {
        HttpLimits {
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            ..HttpLimits::default()
        }
    }

    /// A connection to a service that leaves bodies alone, takes a minute for `/slow`, and has much to say at `/much`.
    fn connect() -> DuplexStream {
        let (client, server) = duplex(1024);
        serve_slowly(server);
        client
    }

    fn serve_slowly(server: DuplexStream) -> tokio::task::JoinHandle<()> {
        let service = tower::service_fn(|request: Request<RequestStream>| async move {
            let body = match request.uri().path() {
                "/slow" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Body::empty()
                }
                "/much" => Body::full(vec![b'x'; 1 << 20]),
                _ => Body::empty(),
            };
            Ok(Response::new(body))
        });
        let (stage, seen) = watch::channel(Stage::Serving);
        tokio::spawn(async move {
            let bad_message = Arc::new(|_: StatusCode, _: &str| None);
            let peer = (std::net::Ipv4Addr::LOCALHOST, 1).into();
            serve(server, Speaker { service, bad_message, peer }, builder(&limits()), limits(), seen).await;
            drop(stage);
        })
    }

    /// What comes until the connection ends, and when that is.
    async fn until_the_end(client: &mut DuplexStream) -> (String, Duration) {
        let (began, mut answer) = (Instant::now(), Vec::new());
        client.read_to_end(&mut answer).await.expect("an orderly end");
        (String::from_utf8(answer).expect("text"), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_and_a_slow_head_have_ten_seconds() {
        let (answer, after) = until_the_end(&mut connect()).await;
        assert_eq!((answer.as_str(), after.as_secs()), ("", 10));

        let mut client = connect();
        client.write_all(b"GET / HTTP/1.1\r\n").await.expect("open");
        tokio::time::sleep(Duration::from_secs(9)).await;
        client.write_all(b"Host: a\r\n").await.expect("open");
        let (_, after) = until_the_end(&mut client).await;
        assert_eq!(after.as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_closed_its_side_gets_its_answer() {
        let (client, server) = duplex(1024);
        let (mut reader, mut writer) = tokio::io::split(client);
        let served = serve_slowly(server);
        writer.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
        writer.shutdown().await.expect("open");
        let mut answer = String::new();
        reader.read_to_string(&mut answer).await.expect("an orderly end");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        served.await.expect("the connection ends by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_longer_than_a_head() {
        let mut client = connect();
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
        let (answer, after) = until_the_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(after.as_secs(), 60 + 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_head_has_ten_seconds_from_its_first_byte() {
        let mut client = connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
        tokio::time::sleep(Duration::from_secs(70)).await;
        client.write_all(b"GET").await.expect("open");
        let (_, after) = until_the_end(&mut client).await;
        assert_eq!(after.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_given_up() {
        let mut client = connect();
        client.write_all(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
        tokio::time::sleep(Duration::from_secs(31)).await;
        let (answer, after) = until_the_end(&mut client).await;
        assert!(answer.len() <= 1024 && after.is_zero(), "{} bytes after {after:?}", answer.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_stops_sending_is_not_listened_to_for_ever() {
        let mut client = connect();
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await.expect("open");
        let began = Instant::now();
        while client.write_all(&[b'x'; 64]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!((4..=6).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        let (answer, _) = until_the_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close"), "{answer}");
    }
}
