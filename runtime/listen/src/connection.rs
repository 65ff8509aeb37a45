//! Connections, with TLS and without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::counts::Count;
use crate::framing::{Frame, Frames};
use crate::listener::Shared;
use crate::record::{Record, Transport, now};

/// Bytes that are read at once.
const READ_AT_ONCE: usize = 16 << 10;
/// A handshake must be over after so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// When the listener ends, what a peer had sent is read until nothing has come for so long …
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// … or until so long after.
const LAST_READ: Duration = Duration::from_secs(2);

/// Accepts connections until the listener ends, and then reads what their peers had sent.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
    mut ending: watch::Receiver<bool>,
) {
    let tls = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = ending.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: it may pass.
                shared
                    .counters
                    .fail(format!("cannot accept a connection: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !shared.allows(peer.ip()) {
            shared.counters.add(Count::NotAllowed, 1);
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            shared.counters.add(Count::Refused, 1);
            continue;
        };
        let (tls, shared, ending) = (tls.clone(), Arc::clone(&shared), ending.clone());
        connections.spawn(async move {
            let _place = place;
            let _open = Open::new(&shared);
            match tls {
                None => read(stream, peer, Transport::Tcp, &shared, ending).await,
                Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => read(stream, peer, Transport::Tls, &shared, ending).await,
                    Ok(Err(error)) => {
                        shared
                            .counters
                            .fail(format!("TLS handshake with {peer}: {error}"));
                    }
                    Err(_) => {
                        let seconds = HANDSHAKE.as_secs();
                        shared.counters.fail(format!(
                            "TLS handshake with {peer}: not over after {seconds} s"
                        ));
                    }
                },
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Counts a connection as open while it lives.
struct Open<'s>(&'s Shared);

impl<'s> Open<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.counters.add(Count::Open, 1);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.counters.take(Count::Open, 1);
    }
}

/// Reads the messages of a connection. While the queue is full, nothing is read: the peer waits.
async fn read(
    mut stream: impl AsyncRead + Unpin,
    peer: SocketAddr,
    transport: Transport,
    shared: &Shared,
    mut ending: watch::Receiver<bool>,
) {
    let limits = &shared.options.limits;
    let mut frames = Frames::new(shared.options.framing, limits.message_bytes);
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut found = Vec::new();
    let mut last: Option<Instant> = ending.borrow().then(|| Instant::now() + LAST_READ);
    loop {
        let result = match last {
            Some(last) => {
                let until = last.min(Instant::now() + LAST_PAUSE);
                match timeout_at(until, stream.read(&mut buffer)).await {
                    Ok(result) => result,
                    Err(_) => break,
                }
            }
            None => tokio::select! {
                result = timeout(limits.idle, stream.read(&mut buffer)) => match result {
                    Ok(result) => result,
                    Err(_) => {
                        shared.counters.add(Count::Idle, 1);
                        break;
                    }
                },
                _ = ending.changed() => {
                    last = Some(Instant::now() + LAST_READ);
                    continue;
                }
            },
        };
        let read = match result {
            Ok(0) => break,
            Ok(read) => read,
            // Many peers end without a word of TLS.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => {
                shared
                    .counters
                    .fail(format!("connection of {peer}: {error}"));
                break;
            }
        };
        let pushed = frames.push(buffer.get(..read).unwrap_or_default(), &mut found);
        queue(&mut found, peer, transport, shared).await;
        if pushed.is_err() {
            shared.counters.add(Count::Uncounted, 1);
            return;
        }
    }
    frames.end(&mut found);
    queue(&mut found, peer, transport, shared).await;
}

/// Queues messages, as soon as there is room.
async fn queue(found: &mut Vec<Frame>, peer: SocketAddr, transport: Transport, shared: &Shared) {
    if found.is_empty() {
        return;
    }
    let mut lines = Vec::new();
    let messages = found.len() as u64;
    let received = now();
    for frame in found.drain(..) {
        if frame.cut > 0 {
            shared.counters.add(Count::Cut, 1);
        }
        if frame.is_incomplete {
            shared.counters.add(Count::Incomplete, 1);
        }
        let record = Record {
            received,
            peer,
            transport,
            seq: shared.number(),
            message: &frame.bytes,
            cut: frame.cut,
            is_incomplete: frame.is_incomplete,
        };
        record.write(&mut lines);
    }
    shared.counters.add(Count::Received, messages);
    shared.queue.send(lines, messages).await;
}
