//! Datagrams: a message each, as RFC 5426 says.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::counts::Count;
use crate::listener::Shared;
use crate::record::{Record, Transport, now};

/// The longest datagram.
const LONGEST: usize = 65_536;
/// So many datagrams that are there already are queued together, or so many bytes of them.
const TOGETHER: u64 = 256;
const BYTES_TOGETHER: usize = 64 << 10;
/// The buffer that the system is asked for, so that a burst is not lost while the process does something else.
const SYSTEM_BUFFER: usize = 8 << 20;
/// How often the system is asked how many datagrams it dropped.
const LOOK: Duration = Duration::from_secs(1);

/// Asks the system for a large buffer. It may give less.
pub(crate) fn enlarge(socket: &UdpSocket) {
    let _ = socket2::SockRef::from(socket).set_recv_buffer_size(SYSTEM_BUFFER);
}

/// Receives datagrams until the listener ends.
pub(crate) async fn receive(
    socket: UdpSocket,
    shared: Arc<Shared>,
    mut ending: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; LONGEST];
    #[cfg(target_os = "linux")]
    let mut looked = std::time::Instant::now();
    loop {
        let ends = tokio::select! {
            ready = socket.readable() => {
                if let Err(error) = ready {
                    shared.counters.fail(format!("cannot receive datagrams: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                false
            }
            _ = ending.changed() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        // At the end too, what has come is taken.
        while take(&socket, &shared, &mut buffer) {}
        #[cfg(target_os = "linux")]
        if (ends || looked.elapsed() >= LOOK)
            && let Some(dropped) = crate::kernel::dropped(&socket)
        {
            looked = std::time::Instant::now();
            shared.counters.set(Count::DroppedBySystem, dropped);
        }
        if ends {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Takes datagrams that are there, and says whether there may be more.
fn take(socket: &UdpSocket, shared: &Shared, buffer: &mut [u8]) -> bool {
    let mut lines = Vec::new();
    let mut messages = 0;
    let mut goes_on = true;
    while messages < TOGETHER && lines.len() < BYTES_TOGETHER {
        let (length, peer) = match socket.try_recv_from(buffer) {
            Ok(received) => received,
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    shared
                        .counters
                        .fail(format!("cannot receive a datagram: {error}"));
                }
                goes_on = false;
                break;
            }
        };
        if !shared.allows(peer.ip()) {
            shared.counters.add(Count::NotAllowed, 1);
            continue;
        }
        let mut message = buffer.get(..length).unwrap_or_default();
        while let [before @ .., b'\n' | b'\r' | 0] = message {
            message = before;
        }
        if message.is_empty() {
            continue;
        }
        let kept = message.len().min(shared.options.limits.message_bytes);
        let cut = (message.len() - kept) as u64;
        if cut > 0 {
            shared.counters.add(Count::Cut, 1);
        }
        let record = Record {
            received: now(),
            peer,
            transport: Transport::Udp,
            seq: shared.number(),
            message: &message[..kept],
            cut,
            is_incomplete: false,
        };
        record.write(&mut lines);
        messages += 1;
    }
    if messages > 0 {
        shared.counters.add(Count::Received, messages);
        if !shared.queue.try_send(lines, messages) {
            shared.counters.add(Count::Dropped, messages);
        }
    }
    goes_on
}
