//! Connections: straight or by an egress proxy, plain or TLS, all within one time limit, names resolved included.
//!
//! Each connection remembers what went over it, since hyper's errors do not say what must be known of a request that failed: whether its
//! connection had served another one before, and whether a byte of an answer had come.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{CaptureConnection, Connected, Connection, HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower_service::Service;

use super::{ClientConfig, Failure};

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Dialled = Result<Stream, Box<dyn StdError + Send + Sync>>;

/// Makes a backend's connections.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    within: Duration,
}

#[derive(Clone)]
enum Way {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
    /// Requests go to the proxy as they are, with the whole address in their first line.
    Relayed(HttpConnector, Uri),
    /// The proxy only passes bytes on (`CONNECT`), TLS is with the backend.
    Tunnelled(HttpsConnector<Tunnel<HttpConnector>>),
}

impl Connector {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // Shared out among the addresses of a name, so that a dead one leaves time for the next.
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let way = match (config.url.scheme == Scheme::HTTPS, &config.proxy) {
            (false, None) => Way::Plain(tcp),
            (false, Some(proxy)) => Way::Relayed(tcp, proxy.uri.clone()),
            (true, None) => Way::Tls(HttpsConnector::from((tcp, config.tls.config()?))),
            (true, Some(proxy)) => {
                let tunnel = Tunnel::new(proxy.uri.clone(), tcp);
                let tunnel = proxy.authorization.iter().cloned().fold(tunnel, Tunnel::with_auth);
                Way::Tunnelled(HttpsConnector::from((tunnel, config.tls.config()?)))
            }
        };
        Ok(Self { way, within: config.connect_timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Line>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        match &mut self.way {
            Way::Plain(tcp) | Way::Relayed(tcp, _) => tcp.poll_ready(cx).map_err(|error| ConnectError::of(&error)),
            Way::Tls(tls) => tls.poll_ready(cx).map_err(|error| ConnectError::of(error.as_ref())),
            Way::Tunnelled(tls) => tls.poll_ready(cx).map_err(|error| ConnectError::of(error.as_ref())),
        }
    }

    fn call(&mut self, backend: Uri) -> Self::Future {
        let dialling: BoxFuture<'static, Dialled> = match &mut self.way {
            Way::Plain(tcp) => plain(tcp.call(backend)),
            Way::Relayed(tcp, proxy) => plain(tcp.call(proxy.clone())),
            Way::Tls(tls) => tls.call(backend),
            Way::Tunnelled(tls) => tls.call(backend),
        };
        let (within, is_relayed) = (self.within, matches!(self.way, Way::Relayed(..)));
        Box::pin(async move {
            match tokio::time::timeout(within, dialling).await {
                Ok(Ok(stream)) => Ok(TokioIo::new(Line::new(stream, is_relayed))),
                Ok(Err(error)) => Err(ConnectError::of(error.as_ref())),
                Err(_) => Err(ConnectError(Failure::Unreachable(format!("no connection within {within:?}")))),
            }
        })
    }
}

fn plain<E>(
    dialling: impl Future<Output = Result<TokioIo<TcpStream>, E>> + Send + 'static,
) -> BoxFuture<'static, Dialled>
where
    E: StdError + Send + Sync + 'static,
{
    Box::pin(async move { Ok(MaybeHttpsStream::Http(dialling.await?)) })
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectError(pub(super) Failure);

impl ConnectError {
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut links = vec![error];
        while let Some(next) = links.last().and_then(|link| cause(*link)) {
            links.push(next);
        }
        let root = links.last().map(ToString::to_string).unwrap_or_default();
        if links.iter().any(|link| link.is::<rustls::Error>()) {
            return Self(Failure::Tls(root));
        }
        // The tunnel's error has no name outside its crate, so its own words are what tells it.
        if links.iter().any(|link| link.to_string().starts_with("tunnel error")) {
            return Self(Failure::Proxy(root.trim_start_matches("tunnel error: ").to_owned()));
        }
        Self(Failure::Unreachable(root))
    }
}

/// What an error was caused by; an I/O error hides what it wraps from `source`.
pub(super) fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// A connection that remembers what went over it.
pub(super) struct Line {
    stream: TokioIo<Stream>,
    is_relayed: bool,
    memory: Arc<Memory>,
}

/// What went over a connection.
#[derive(Debug, Default)]
pub(super) struct Memory {
    answers: AtomicU64,
    wrote: AtomicBool,
    /// Something was written since anything was last read.
    is_waiting: AtomicBool,
}

impl Memory {
    /// Of the connection that a request was given. `None`: it was given none, so nothing of it was sent.
    pub(super) fn of(captured: &CaptureConnection) -> Option<Arc<Self>> {
        let connected = captured.connection_metadata();
        let mut extensions = http::Extensions::new();
        connected.as_ref()?.get_extras(&mut extensions);
        extensions.remove::<Arc<Self>>()
    }

    /// An answer has begun.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it had served a request before this one, which has no answer.
    pub(super) fn is_kept(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// Whether nothing at all was ever written to it.
    pub(super) fn is_blank(&self) -> bool {
        !self.wrote.load(Ordering::Acquire)
    }

    /// Whether a request was written and no byte came after it.
    pub(super) fn is_silent(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }
}

impl Line {
    fn new(stream: Stream, is_relayed: bool) -> Self {
        Self { stream: TokioIo::new(stream), is_relayed, memory: Arc::default() }
    }

    fn writing(&self) {
        self.memory.wrote.store(true, Ordering::Release);
        self.memory.is_waiting.store(true, Ordering::Release);
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.inner().connected().proxy(self.is_relayed).extra(self.memory.clone())
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.memory.is_waiting.store(false, Ordering::Release);
        }
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Said before it is tried: of a write that fails nobody knows how far it got.
        self.writing();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing();
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
