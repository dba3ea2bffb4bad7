//! A running proxy: from a checked configuration to served sockets, and to its end.
//!
//! The order of the beginning: sockets are bound first, so that a second process started by mistake fails before it touches the ledger; then
//! ledger and backends are opened; then requests are taken. A client that comes in between waits in the kernel's queue, unless the ledger's
//! database is away: then its sockets are closed until it is there. Operators are served from the first moment. The order of the end:
//! readiness goes first; after `drain_delay`, in which whoever watches it turns away, no connection is accepted and none kept, then
//! requests in work are finished, then what no client waits for any more; all of that within `drain_max`. The admin listener is the last to go, so that the end can be watched.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use batchlingua_core::{Authenticator, ListenerName, SystemClock};
use batchlingua_ledger::LedgerError;
use batchlingua_router::{Access, Anyone, BackendSlot, Gateway, GatewayParts, Limits, ListenerParts};
use batchlingua_wire::{Face, OpenContext};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{
    admin::{Admin, Explaining, Running},
    auth::Guard,
    config::{BackendConfig, Config, HttpLimits, ListenerConfig},
    explain::{Door, Explainer},
    listener::{Listener, Shared, Stage},
    logging::Recorder,
    metrics::Metrics,
    opening,
    uploads::{self, InUse},
};

/// A scraper and a few probes need no more, and theirs must not be taken by clients.
const ADMIN_CONNECTIONS: usize = 64;

/// Why a proxy could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The ledger.
    #[error("cannot open the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// A backend.
    #[error("cannot open backend '{name}': {detail}")]
    Backend {
        /// Which.
        name: String,
        /// Why.
        detail: String,
    },
}

/// A running proxy.
pub struct Server {
    gateway: Arc<Gateway>,
    clients: Group,
    admins: Group,
    drain_delay: Duration,
    drain_max: Duration,
    listeners: Vec<(ListenerName, SocketAddr)>,
    admin: Option<SocketAddr>,
    /// Held as long as files may be uploaded. `None`: the folder cannot be used, which uploads are told when they come.
    _uploads: Option<InUse>,
}

/// Listeners that end together.
struct Group {
    stage: watch::Sender<Stage>,
    shared: Shared,
}

impl Group {
    fn new(limits: HttpLimits, connections: usize) -> Self {
        let (stage, seen) = watch::channel(Stage::Serving);
        let permits = Arc::new(Semaphore::new(connections));
        Self { stage, shared: Shared { limits, permits, stage: seen, tasks: TaskTracker::new() } }
    }

    fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
        self.shared.tasks.close();
    }
}

impl Server {
    /// Begins to serve.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mut sockets = bind_all(&config.listeners).await?;
        let metrics = Arc::new(Metrics::new(&config.dialects));
        let clients = Group::new(config.http, config.http.max_connections);
        let admins = Group::new(config.http, ADMIN_CONNECTIONS);
        let admin = match config.admin {
            Some(address) => Some(serve_admin(bind(address).await?, &metrics, &clients, &admins)),
            None => None,
        };
        let clock = Arc::new(SystemClock);
        let ledger = opening::open(config.ledger, config.limits.lease, |why| {
            sockets.clear();
            if let Some((admin, _)) = &admin {
                admin.waits_for(why.to_string());
            }
        });
        let ledger = ledger.await?;
        if sockets.is_empty() {
            sockets = bind_all(&config.listeners).await?;
        }
        let uploads = enter_uploads(config.limits.upload.dir.clone()).await;
        let backends = open_backends(config.backends, &clock).await?;
        let Limits { max_body, body_read_timeout, .. } = config.limits;
        let gateway = Gateway::new(GatewayParts {
            dialects: config.dialects,
            backends,
            routing: config.routing,
            ledger: ledger.clone(),
            clock,
            observer: Arc::new(Recorder::new(metrics.clone())),
            limits: config.limits,
        });
        gateway.start();

        let guard = config.auth.map(|auth| Arc::new(Guard::new(auth, Arc::new(SystemClock))));
        let (mut listeners, mut doors) = (Vec::new(), Vec::new());
        for (settings, socket) in config.listeners.into_iter().zip(sockets) {
            let address = socket.address();
            info!(listener = %settings.name, %address, "listening");
            warn_of(&settings, address);
            let connections = metrics.connections(settings.name.as_str());
            listeners.push((settings.name.clone(), address));
            let (name, asks) = (settings.name.clone(), settings.auth);
            let service = gateway.listener(listener_parts(settings, address, guard.as_ref()));
            doors.push(Door { name, address, guard: guard.clone().filter(|_| asks), service: service.clone() });
            let speaker = service.clone();
            let socket =
                socket.with_bad_message(Arc::new(move |status, reason| speaker.bad_message(status, Some(reason))));
            clients.shared.tasks.spawn(socket.serve(service, clients.shared.clone(), connections));
        }
        let admin = admin.map(|(admin, address)| {
            let explaining = Explaining {
                explainer: Explainer::new(doors, config.http.max_header),
                max: config.http.max_header + max_body,
                within: body_read_timeout,
            };
            admin.begins(Running { gateway: gateway.clone(), ledger, explaining });
            address
        });
        let HttpLimits { drain_delay, drain_max, .. } = config.http;
        Ok(Self { gateway, clients, admins, drain_delay, drain_max, listeners, admin, _uploads: uploads })
    }

    /// Where clients are served.
    pub fn listeners(&self) -> &[(ListenerName, SocketAddr)] {
        &self.listeners
    }

    /// Where operators are served.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Turns clients away for `drain_delay`, then finishes what is in flight, for `drain_max` at most; none of it longer than until `hurry` is
    /// over. Whether all was finished.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> bool {
        let orderly = async {
            self.turn_away().await;
            self.finish().await
        };
        let in_time = tokio::select! {
            in_time = orderly => in_time,
            () = hurry => {
                warn!("told again to end; what is still in flight is cut off");
                false
            }
        };
        for group in [&self.clients, &self.admins] {
            group.enter(Stage::Ended);
            group.shared.tasks.wait().await;
        }
        in_time
    }

    async fn finish(&self) -> bool {
        self.clients.enter(Stage::Draining);
        info!("ending: what is in flight is finished");
        let finished = async {
            self.clients.shared.tasks.wait().await;
            // Only now can no further submit begin.
            self.gateway.drain().await;
        };
        let in_time = tokio::time::timeout(self.drain_max, finished).await.is_ok();
        if !in_time {
            let connections = self.clients.shared.tasks.len();
            warn!(connections, "drain_max is over; what is still in flight is cut off");
        }
        in_time
    }

    async fn turn_away(&self) {
        if !self.drain_delay.is_zero() {
            self.clients.stage.send_replace(Stage::Leaving);
            // Said when it is so.
            info!(
                for_ms = self.drain_delay.as_millis() as u64,
                "about to end: not ready any more, clients are still served"
            );
            tokio::time::sleep(self.drain_delay).await;
        }
    }
}

/// Opens what is behind the proxy.
pub(crate) async fn open_backends(
    backends: Vec<BackendConfig>,
    clock: &Arc<SystemClock>,
) -> Result<Vec<BackendSlot>, StartError> {
    let mut slots = Vec::with_capacity(backends.len());
    for backend in backends {
        let context = OpenContext { name: backend.name.clone(), clock: clock.clone() };
        let opened = (backend.open)(context).await;
        let platform =
            opened.map_err(|error| StartError::Backend { name: backend.name.to_string(), detail: error.detail() })?;
        slots.push(BackendSlot {
            name: backend.name,
            backend: platform.backend,
            relay: backend.relay.zip(platform.relay),
            limits: backend.limits,
            stage: backend.stage,
            foreign: backend.foreign,
        });
    }
    Ok(slots)
}

async fn bind_all(listeners: &[ListenerConfig]) -> Result<Vec<Listener>, StartError> {
    let mut sockets = Vec::new();
    for listener in listeners {
        sockets.push(bind(listener.address).await?);
    }
    Ok(sockets)
}

fn serve_admin(socket: Listener, metrics: &Arc<Metrics>, clients: &Group, admins: &Group) -> (Admin, SocketAddr) {
    let address = socket.address();
    info!(%address, "admin listening");
    let service = Admin::new(metrics.clone(), address.ip(), clients.shared.stage.clone());
    let connections = metrics.connections("admin");
    admins.shared.tasks.spawn(socket.serve(service.clone(), admins.shared.clone(), connections));
    (service, address)
}

async fn bind(address: SocketAddr) -> Result<Listener, StartError> {
    Listener::bind(address).await.map_err(|source| StartError::Bind { address, source })
}

async fn enter_uploads(dir: PathBuf) -> Option<InUse> {
    let shown = dir.display().to_string();
    let entered =
        tokio::task::spawn_blocking(move || uploads::enter(&dir)).await.expect("looking at a folder does not panic");
    entered.inspect_err(|error| warn!(%error, dir = shown, "upload_dir cannot be used: uploads will be refused")).ok()
}

fn warn_of(listener: &ListenerConfig, address: SocketAddr) {
    let danger = match (address.ip().is_loopback(), listener.auth) {
        (true, _) => return,
        (false, false) => "insecure: whoever reaches this address may run jobs",
        (false, true) => {
            "passwords and tokens cross the network as they are, unless something in front of this address speaks TLS"
        }
    };
    warn!(listener = %listener.name, %address, "{danger}");
}

pub(crate) fn listener_parts(config: ListenerConfig, bound: SocketAddr, guard: Option<&Arc<Guard>>) -> ListenerParts {
    let guard = guard.filter(|_| config.auth);
    let authenticated = guard.is_some();
    let mut hosts = config.hosts;
    hosts.push(bound.ip().to_string());
    let face = Face {
        listener: config.name,
        public_url: config.public_url.unwrap_or_else(|| format!("http://{bound}")),
        path_prefix: config.path_prefix,
        csrf: config.csrf,
        single: config.dialects.len() == 1,
        authenticated,
    };
    ListenerParts {
        face,
        dialects: config.dialects,
        access: Access { authenticated, hosts },
        trust_real_ip: config.trust_real_ip,
        auth: guard.map_or_else(|| Arc::new(Anyone) as Arc<dyn Authenticator>, |guard| guard.clone()),
    }
}
