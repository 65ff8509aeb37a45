//! A real S3 server on loopback that counts what it is asked for, and fails on demand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

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

/// Returns options of a store as lines of a configuration.
pub(crate) fn settings_of(options: &BTreeMap<String, String>) -> String {
    let options = options.iter();
    options
        .map(|(key, value)| format!("{key} = {value:?}\n"))
        .collect()
}

/// What was asked of the server.
#[derive(Debug, Default)]
pub struct Traffic {
    lines: Mutex<Vec<String>>,
    bytes: AtomicU64,
    /// What fails: paths that begin so, and how.
    faults: Mutex<Vec<(String, Fault)>>,
}

/// How the server fails to give objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this status.
    Status(u16),
    /// It ends the connection in the middle of a body.
    Cut,
    /// It gives half of a body, and says that this is all.
    Half,
    /// It does not answer, whatever is asked.
    Silent,
}

/// A body that ends with an error.
struct CutBody(Option<hyper::body::Bytes>);

impl hyper::body::Body for CutBody {
    type Data = hyper::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(bytes) => Ok(hyper::body::Frame::data(bytes)),
            None => Err(std::io::ErrorKind::ConnectionReset.into()),
        }))
    }
}

impl Fault {
    /// Says whether it concerns a request for a path that begins as it should: Parquet objects, the object that `of` names, or
    /// anything where nothing is answered.
    fn concerns(self, line: &str, of: &str) -> bool {
        let is_object = line.contains(".parquet") || of.ends_with(".json");
        self == Self::Silent || line.starts_with("GET") && is_object
    }

    async fn spoil(
        self,
        answer: hyper::Response<s3s::Body>,
    ) -> Result<hyper::Response<s3s::Body>, s3s::StdError> {
        let (mut parts, mut body) = answer.into_parts();
        let body = match self {
            Self::Status(status) => {
                parts.status = hyper::StatusCode::from_u16(status)?;
                parts.headers.remove("content-length");
                s3s::Body::empty()
            }
            Self::Cut | Self::Half => {
                let whole = body.store_all_limited(usize::MAX).await?;
                let half = whole.slice(..whole.len() / 2);
                match self {
                    Self::Half => {
                        parts.headers.insert("content-length", half.len().into());
                        s3s::Body::from(half)
                    }
                    _ => s3s::Body::http_body(CutBody(Some(half))),
                }
            }
            Self::Silent => std::future::pending().await,
        };
        Ok(hyper::Response::from_parts(parts, body))
    }
}

impl S3Server {
    /// Serves the folders below `root` as buckets.
    pub async fn start(root: &Path) -> Result<Self> {
        Self::start_with(root, true).await
    }

    /// Serves the folders below `root` as buckets to anybody, as the clients for Google's store ask too.
    pub async fn start_open(root: &Path) -> Result<Self> {
        Self::start_with(root, false).await
    }

    async fn start_with(root: &Path, is_signed: bool) -> Result<Self> {
        let files = FileSystem::new(root).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        if is_signed {
            builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        }
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
                        let path = uri.path().to_owned();
                        let mut answer = hyper::service::Service::call(&service, request).await;
                        if let Some(fault) = traffic.fault_of(&path, &line) {
                            answer = match answer {
                                Ok(answer) => Ok(fault
                                    .spoil(answer)
                                    .await
                                    .unwrap_or_else(|_| hyper::Response::new(s3s::Body::empty()))),
                                failed => failed,
                            };
                        }
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

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the options of the store as lines of a configuration.
    pub fn settings(&self) -> String {
        settings_of(&self.options())
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

    /// Fails from now on for requests whose paths begin with `path`, the bucket first; nothing ends it.
    pub fn fail(&self, path: &str, fault: Option<Fault>) {
        let mut faults = self
            .traffic
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        faults.retain(|(of, _)| of != path);
        faults.extend(fault.map(|fault| (path.to_owned(), fault)));
    }

    /// Returns and forgets the requests and the bytes answered so far.
    pub fn take_traffic(&self) -> (Vec<String>, u64) {
        let lines = std::mem::take(&mut *self.traffic.lock());
        (lines, self.traffic.bytes.swap(0, Ordering::Relaxed))
    }
}

impl Traffic {
    fn fault_of(&self, path: &str, line: &str) -> Option<Fault> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = faults.iter().filter(|(of, fault)| fault.concerns(line, of));
        // A listing names the bucket alone.
        let path = format!("{}/", path.trim_matches('/').replace("%3D", "="));
        let fault = faults.find(|(of, _)| path.starts_with(of));
        fault.map(|(_, fault)| *fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
