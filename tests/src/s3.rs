//! A real S3 server on loopback that counts what it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use yagura_lake::Location;

const KEY: &str = "loopback-test-key";
const SECRET: &str = "loopback-test-secret";

/// A server that accepts only requests signed with its key; it stops when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    traffic: Arc<Traffic>,
    task: JoinHandle<()>,
}

/// What was asked of the server.
#[derive(Debug, Default)]
pub struct Traffic {
    lines: Mutex<Vec<String>>,
    bytes: AtomicU64,
}

impl S3Server {
    /// Serves the folders below `root` as buckets.
    pub async fn start(root: &Path) -> Result<Self> {
        let files = FileSystem::new(root).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let traffic = Arc::new(Traffic::default());
        let counted = Arc::clone(&traffic);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                let traffic = Arc::clone(&counted);
                let counting = hyper::service::service_fn(move |request: hyper::Request<_>| {
                    let service = service.clone();
                    let traffic = Arc::clone(&traffic);
                    async move {
                        let range = request.headers().get("range");
                        let range = range.and_then(|range| range.to_str().ok());
                        let (method, uri) = (request.method(), request.uri());
                        let line = format!("{method} {uri} {}", range.unwrap_or_default());
                        let answer = hyper::service::Service::call(&service, request).await;
                        if let Ok(response) = &answer {
                            let length = response.headers().get("content-length");
                            let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
                            traffic
                                .bytes
                                .fetch_add(length.unwrap_or(0), Ordering::Relaxed);
                        }
                        traffic.lock().push(line);
                        answer
                    }
                });
                tokio::spawn(async move {
                    let connection =
                        Builder::new().serve_connection(TokioIo::new(socket), counting);
                    // A client that goes away ends the connection with an error: nothing to do.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self {
            address,
            traffic,
            task,
        })
    }

    /// Returns a client's options with the right key.
    pub fn options(&self) -> BTreeMap<String, String> {
        [
            ("endpoint", format!("http://{}", self.address)),
            ("region", "us-east-1".to_owned()),
            ("access_key_id", KEY.to_owned()),
            ("secret_access_key", SECRET.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Returns a location on this server.
    pub fn location(&self, url: &str) -> Result<Location> {
        Ok(Location::parse(url, &self.options())?)
    }

    /// Returns and forgets the requests and the bytes answered so far.
    pub fn take_traffic(&self) -> (Vec<String>, u64) {
        let lines = std::mem::take(&mut *self.traffic.lock());
        (lines, self.traffic.bytes.swap(0, Ordering::Relaxed))
    }
}

impl Traffic {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
