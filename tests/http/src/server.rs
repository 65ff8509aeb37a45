//! HTTP servers on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

/// A request that a server received.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Seen {
    /// Returns the first value of a header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The answer of a handler.
pub type Answer = Response<Full<Bytes>>;

/// A server that keeps to the protocol.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Starts a server on a free port of loopback.
    pub fn start(handle: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let handle = Arc::new(handle);
        let listener = runtime()
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let kept = seen.clone();
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handle, seen) = (handle.clone(), seen.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (handle, seen) = (handle.clone(), seen.clone());
                    async move {
                        let request = read(request).await;
                        let answer = handle(&request);
                        seen.lock().unwrap().push(request);
                        Ok::<_, std::convert::Infallible>(answer)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client may close the connection early.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self {
            address,
            seen: kept,
        }
    }

    /// Returns its scheme, name and port.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(request: Request<Incoming>) -> Seen {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    Seen {
        path: request.uri().to_string(),
        headers: headers.collect(),
        body: {
            let body = request.into_body().collect().await;
            let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        },
    }
}

/// Returns an answer with a body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

/// Returns an answer with a header.
pub fn answer_with(status: u16, name: &str, value: &str) -> Answer {
    Response::builder()
        .status(status)
        .header(name, value)
        .body(Full::default())
        .unwrap()
}

/// Starts a server that reads a request and gives the connection to `misbehave`; returns its URL.
pub fn misbehaving(misbehave: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let misbehave = Arc::new(misbehave);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let misbehave = misbehave.clone();
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(size) => request.extend_from_slice(&buffer[..size]),
                    }
                }
                misbehave(stream);
            });
        }
    });
    format!("http://{address}")
}

/// Starts a server that answers with these bytes and closes the connection.
pub fn raw(bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    misbehaving(move |mut stream| drop(stream.write_all(&bytes)))
}

/// Starts a server that resets the connection.
pub fn resetting() -> String {
    misbehaving(|stream| {
        // A connection that is closed with unread bytes is reset.
        drop(stream);
    })
}

/// The runtime of servers and clients.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}
