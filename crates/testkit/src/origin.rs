//! A backend over HTTP that does what a test says, byte by byte: an answer cut off, a connection reset, a stall, two answers for one request.
//!
//! It is raw TCP on purpose, since a server that speaks HTTP well cannot speak it badly. Requests are read by their framing, so that a
//! handler sees what was sent; what an answer is worth is the client's affair. Nothing waits for time: [`Origin::wait_for`] and
//! [`Origin::closed`] are events. All ends when it is dropped.

mod reply;
mod request;
mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

pub use reply::Reply;
pub use request::Asked;
pub use tls::Authority;

use reply::Ending;
pub(crate) use request::Reader;

type Handler = Arc<dyn Fn(Asked) -> BoxFuture<'static, Reply> + Send + Sync>;

/// A backend that is listening on a port of its own until it is dropped.
pub struct Origin {
    scheme: &'static str,
    address: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

/// What happened so far.
struct Log {
    asked: watch::Sender<Vec<Asked>>,
    closed: watch::Sender<u64>,
    connections: AtomicU64,
}

impl Origin {
    /// One that answers at once.
    pub async fn start(handler: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_async(move |asked| std::future::ready(handler(asked))).await
    }

    /// One whose answers may have to wait for something.
    pub async fn start_async<F, A>(handler: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |asked| Box::pin(handler(asked)));
        Self::start_over("http", handler, |stream| std::future::ready(Ok(stream))).await
    }

    /// One that speaks TLS.
    pub async fn start_tls(tls: Arc<ServerConfig>, handler: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        let handler: Handler = Arc::new(move |asked| Box::pin(std::future::ready(handler(asked))));
        let acceptor = TlsAcceptor::from(tls);
        Self::start_over("https", handler, move |stream| acceptor.clone().accept(stream)).await
    }

    async fn start_over<S, W, T>(scheme: &'static str, handler: Handler, secure: S) -> Self
    where
        S: Fn(TcpStream) -> W + Send + Sync + 'static,
        W: Future<Output = io::Result<T>> + Send + 'static,
        T: Wire,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let log = Arc::new(Log {
            asked: watch::Sender::new(Vec::new()),
            closed: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, log.clone(), handler, secure));
        Self { scheme, address, log, _tasks: tasks }
    }

    /// Its address, as a configuration has it. One that speaks TLS is asked by a name, as its certificate has one.
    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.address.port()),
            scheme => format!("{scheme}://{}", self.address),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far, in the order in which the requests were whole.
    pub fn asked(&self) -> Vec<Asked> {
        self.log.asked.borrow().clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> u64 {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Waits until it was asked so many times, and gives all that it was asked.
    pub async fn wait_for(&self, count: usize) -> Vec<Asked> {
        let mut asked = self.log.asked.subscribe();
        asked.wait_for(|asked| asked.len() >= count).await.expect("the log lives as long as the origin").clone()
    }

    /// Waits until so many connections have ended, from whichever side.
    pub async fn closed(&self, count: u64) {
        let mut closed = self.log.closed.subscribe();
        closed.wait_for(|closed| *closed >= count).await.expect("the log lives as long as the origin");
    }
}

/// What an origin speaks over.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes its end a reset instead of a farewell.
    fn set_reset(&self);
}

impl Wire for TcpStream {
    fn set_reset(&self) {
        // With nothing left to wait for, closing sends RST.
        self.set_zero_linger().expect("an open socket takes its options");
    }
}

impl Wire for TlsStream<TcpStream> {
    fn set_reset(&self) {
        self.get_ref().0.set_reset();
    }
}

async fn accept<S, W, T>(listener: TcpListener, log: Arc<Log>, handler: Handler, secure: S)
where
    S: Fn(TcpStream) -> W + Send + Sync + 'static,
    W: Future<Output = io::Result<T>> + Send + 'static,
    T: Wire,
{
    // Connections end with this task, since its set is dropped with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = log.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        let (log, handler, secured) = (log.clone(), handler.clone(), secure(stream));
        connections.spawn(async move {
            if let Ok(stream) = secured.await {
                let _ = serve(stream, number, &log, &handler).await;
            }
            log.closed.send_modify(|closed| *closed += 1);
        });
    }
}

/// Until an answer ends the connection, or the client does.
async fn serve<T: Wire>(stream: T, connection: u64, log: &Log, handler: &Handler) -> io::Result<()> {
    let mut reader = Reader::new(stream, connection);
    while let Some(asked) = reader.next().await? {
        log.asked.send_modify(|all| all.push(asked.clone()));
        let reply = handler(asked).await;
        for piece in reply.pieces {
            // One write each, with the client given the time to see them apart.
            reader.stream().write_all(&piece).await?;
            reader.stream().flush().await?;
            tokio::task::yield_now().await;
        }
        match reply.ending {
            Ending::KeepOpen => {}
            Ending::Close => return reader.stream().shutdown().await,
            Ending::Reset => {
                reader.stream().set_reset();
                return Ok(());
            }
            Ending::Stall => return reader.until_closed().await,
        }
    }
    Ok(())
}

/// A status with its reason, for the first line of an answer.
fn status_line(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Other");
    format!("HTTP/1.1 {status} {reason}\r\n")
}
