//! What a listener does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::framing::Framing;

/// What a listener does.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Its name, with which the names of its objects begin.
    pub name: String,
    /// Where datagrams are received.
    pub udp: Option<SocketAddr>,
    /// Where connections are accepted.
    pub tcp: Option<SocketAddr>,
    /// Where connections with TLS are accepted, and by what.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Peers that are listened to; all of them if there are none here.
    pub allow: Vec<IpNet>,
    /// How the messages of a connection are told apart.
    pub framing: Framing,
    /// The store that receives the objects.
    pub store: Arc<dyn ObjectStore>,
    /// The prefix of the objects.
    pub prefix: Path,
    /// How objects are compressed.
    pub compression: Compression,
    /// When objects are written, and how much is held.
    pub limits: ListenLimits,
}

/// Limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenLimits {
    /// An object is written when its first message was received so long ago …
    pub age: Duration,
    /// … or when it has so many bytes, before compression.
    pub object_bytes: usize,
    /// Longest message in bytes. Of a longer one the beginning is kept, and how much was left out.
    pub message_bytes: usize,
    /// Connections that are open at the same time.
    pub connections: usize,
    /// A connection from which nothing has come for so long is closed.
    pub idle: Duration,
    /// Bytes of messages that wait for the store, beside the object that is being written.
    pub queue_bytes: usize,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(60),
            object_bytes: 8 << 20,
            message_bytes: 64 << 10,
            connections: 1_000,
            idle: Duration::from_secs(600),
            queue_bytes: 32 << 20,
        }
    }
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// zstd, level 3.
    #[default]
    Zstd,
    /// gzip.
    Gzip,
    /// They are not.
    None,
}

impl Compression {
    /// Returns the end of the names of objects.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => "ndjson.zst",
            Self::Gzip => "ndjson.gz",
            Self::None => "ndjson",
        }
    }
}
