//! Listeners: sockets, and HTTP/1.1 on them, for any service.
//!
//! What hyper does with hostile or broken bytes is pinned by `tests/http.rs`; what it does not do is here: two timeouts instead of one
//! (`activity`), a close that lets the client read why (`io`), and a bound on connections. A connection holds a permit from before it is
//! accepted until it is gone, so beyond the bound clients wait in the kernel's queue and cost this process nothing.

mod activity;
mod connection;
mod io;
mod service;

use std::{convert::Infallible, io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use batchlingua_wire::Body;
use http::{Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::HttpLimits;

use service::Speaker;
pub use service::{BadMessage, RequestStream};

/// How far the end of the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Requests are taken.
    Serving,
    /// Requests are still taken, but whoever watches readiness is told to send none; each connection is closed with its next answer.
    Leaving,
    /// Requests in work are finished, no new ones are taken.
    Draining,
    /// Whatever is left is cut off.
    Ended,
}

/// Is told of connections.
pub trait ConnectionObserver: Send + Sync + 'static {
    /// One was accepted.
    fn opened(&self);

    /// One is gone.
    fn closed(&self);
}

/// A socket that is bound and not served yet: clients that come early wait.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    bad_message: BadMessage,
}

/// What the listeners of one process share.
#[derive(Clone)]
pub struct Shared {
    /// The bounds.
    pub limits: HttpLimits,
    /// One permit for each connection that may be open.
    pub permits: Arc<Semaphore>,
    /// How far the end is.
    pub stage: watch::Receiver<Stage>,
    /// Every connection, to be waited for.
    pub tasks: TaskTracker,
}

impl Listener {
    /// Binds an address.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, bad_message: Arc::new(|_, _| None) })
    }

    /// Gives it words of its own for heads that no service is asked about.
    pub fn with_bad_message(self, bad_message: BadMessage) -> Self {
        Self { bad_message, ..self }
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until connections are no longer taken; they may outlive the call.
    pub async fn serve<S>(self, service: S, mut shared: Shared, observer: Arc<dyn ConnectionObserver>)
    where
        S: Service<Request<RequestStream>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let builder = connection::builder(&shared.limits);
        let connections = shared.stage.clone();
        let mut leaving = std::pin::pin!(async move {
            shared.stage.wait_for(|stage| matches!(stage, Stage::Draining | Stage::Ended)).await.is_ok()
        });
        loop {
            let accepted = async {
                let permit = shared.permits.clone().acquire_owned().await.expect("the permits are never closed");
                (permit, self.accept().await)
            };
            let (permit, (socket, peer)) = tokio::select! {
                biased;
                _ = &mut leaving => return,
                accepted = accepted => accepted,
            };
            let open = Open::new(observer.clone());
            let speaker = Speaker { service: service.clone(), bad_message: self.bad_message.clone(), peer };
            let connection = connection::serve(socket, speaker, builder.clone(), shared.limits, connections.clone());
            shared.tasks.spawn(async move {
                connection.await;
                drop((open, permit));
            });
        }
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    // Answers are written whole: waiting for more to send with them only delays them. A socket that is gone already is
                    // found out by reading it.
                    let _ = socket.set_nodelay(true);
                    return (socket, peer);
                }
                // The client left before it was its turn.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::error!(%error, address = %self.address, "cannot accept connections");
                    // No descriptor or no memory: nothing tells when there will be, and the next call would fail at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Counts a connection while it is there, however its task ends.
struct Open(Arc<dyn ConnectionObserver>);

impl Open {
    fn new(observer: Arc<dyn ConnectionObserver>) -> Self {
        observer.opened();
        Self(observer)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed();
    }
}
