//! A way to a server that can be closed and opened.

#![expect(
    clippy::unwrap_used,
    reason = "a test without the way to its server must fail"
)]

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A way to a server that can be closed and opened.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    is_open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// Makes an open way to a database, and returns it with the database's address on this way.
    pub fn to_database(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (who, rest) = rest.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let server = match server.contains(':') {
            true => server.to_owned(),
            false => format!("{server}:5432"),
        };
        let gate = Self::to(server);
        let here = format!("{scheme}://{who}@127.0.0.1:{}/{database}", gate.port);
        (gate, here)
    }

    fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(true));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (open, all) = (Arc::clone(&is_open), Arc::clone(&streams));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                if !open.load(Ordering::SeqCst) {
                    continue;
                }
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    all.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // It ends with either side.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self {
            port,
            is_open,
            streams,
        }
    }

    /// Opens or closes the way; what goes over it ends.
    pub fn set(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
