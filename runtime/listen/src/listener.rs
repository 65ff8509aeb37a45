//! A listener: its sockets, its queue and its objects, from start to stop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::counts::{Counters, ListenCounts};
use crate::objects::Objects;
use crate::options::ListenOptions;
use crate::queue::Queue;
use crate::{connection, udp};

/// Why a listener cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket cannot be opened.
    #[error("listener `{name}`: cannot listen on {transport} {address}")]
    Bind {
        /// The listener.
        name: String,
        /// `udp`, `tcp` or `tls`.
        transport: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no random number.
    #[error("listener `{0}`: the system gives no random number for the names of its objects")]
    Random(String),
}

/// What all tasks of a listener share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Arc<ListenOptions>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) queue: Queue,
    numbers: AtomicU64,
}

impl Shared {
    /// Returns the number of the next message.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Says whether a peer is listened to.
    pub(crate) fn allows(&self, peer: IpAddr) -> bool {
        let allow = &self.options.allow;
        allow.is_empty() || allow.iter().any(|net| net.contains(&peer.to_canonical()))
    }
}

/// Where a listener listens, with the ports that the system chose for port 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// Datagrams.
    pub udp: Option<SocketAddr>,
    /// Connections.
    pub tcp: Option<SocketAddr>,
    /// Connections with TLS.
    pub tls: Option<SocketAddr>,
}

/// A listener at work, until it is stopped or dropped.
#[derive(Debug)]
pub struct Listener {
    options: Arc<ListenOptions>,
    counters: Arc<Counters>,
    bound: Bound,
    ending: watch::Sender<bool>,
    sockets: JoinSet<()>,
    objects: Option<JoinHandle<()>>,
}

/// How a listener ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// What it received and what became of it.
    pub counts: ListenCounts,
    /// Messages that it had received and could not write.
    pub lost: u64,
}

impl Listener {
    /// Opens the sockets, and listens.
    ///
    /// # Errors
    /// [`ListenError`]: when one of them cannot be opened; none is open then.
    pub async fn start(options: ListenOptions) -> Result<Self, ListenError> {
        let bind = |transport, address| {
            let name = options.name.clone();
            move |source| ListenError::Bind {
                name,
                transport,
                address,
                source,
            }
        };
        let mut bound = Bound::default();
        let mut datagrams = None;
        if let Some(address) = options.udp {
            let socket = UdpSocket::bind(address).await;
            let socket = socket.map_err(bind("udp", address))?;
            udp::enlarge(&socket);
            bound.udp = Some(socket.local_addr().map_err(bind("udp", address))?);
            datagrams = Some(socket);
        }
        let mut streams = Vec::new();
        if let Some(address) = options.tcp {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(bind("tcp", address))?;
            bound.tcp = Some(listener.local_addr().map_err(bind("tcp", address))?);
            streams.push((listener, None));
        }
        if let Some((address, tls)) = &options.tls {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(bind("tls", *address))?;
            bound.tls = Some(listener.local_addr().map_err(bind("tls", *address))?);
            streams.push((listener, Some(Arc::clone(tls))));
        }
        let run = getrandom::u32().map_err(|_| ListenError::Random(options.name.clone()))?;

        let options = Arc::new(options);
        let counters = Arc::<Counters>::default();
        let (queue, chunks) = Queue::new(options.limits.queue_bytes);
        let objects = Objects::new(Arc::clone(&options), Arc::clone(&counters), chunks, run);
        let (ending, ends) = watch::channel(false);
        let shared = Arc::new(Shared {
            options: Arc::clone(&options),
            counters: Arc::clone(&counters),
            queue,
            numbers: AtomicU64::new(1),
        });
        let places = Arc::new(Semaphore::new(options.limits.connections));
        let mut sockets = JoinSet::new();
        if let Some(socket) = datagrams {
            sockets.spawn(udp::receive(socket, Arc::clone(&shared), ends.clone()));
        }
        for (listener, tls) in streams {
            let (places, shared) = (Arc::clone(&places), Arc::clone(&shared));
            sockets.spawn(connection::accept(
                listener,
                tls,
                places,
                shared,
                ends.clone(),
            ));
        }
        Ok(Self {
            options,
            counters,
            bound,
            ending,
            sockets,
            objects: Some(tokio::spawn(objects.run())),
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Returns where it listens.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Returns what it received so far and what became of it.
    pub fn counts(&self) -> ListenCounts {
        self.counters.read()
    }

    /// Stops listening, reads what peers had sent, and writes all of it, for `patience` at most.
    pub async fn stop(mut self, patience: Duration) -> Stopped {
        // Nobody listens to it where there is no socket.
        let _ = self.ending.send(true);
        if let Some(objects) = self.objects.take() {
            let mut objects = Aborting(objects);
            let all = async {
                while self.sockets.join_next().await.is_some() {}
                // The queue is closed when the last socket is.
                let _ = (&mut objects.0).await;
            };
            let _ = timeout(patience, all).await;
        }
        let counts = self.counters.read();
        Stopped {
            lost: counts.waiting(),
            counts,
        }
    }
}

/// A task that ends when this is dropped.
struct Aborting(JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(objects) = &self.objects {
            objects.abort();
        }
    }
}
