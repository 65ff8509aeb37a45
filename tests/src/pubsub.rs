//! A stand-in for Google Pub/Sub on loopback: one subscription, whose messages come again unless they are acknowledged.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a message that was pulled stays hidden: shorter than in the real service, so that tests need not wait.
const HIDDEN: Duration = Duration::from_secs(3);

/// A subscription; it ends when it is dropped.
#[derive(Debug)]
pub struct PubSub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    messages: Vec<Waiting>,
    /// The verbs that were called.
    verbs: Vec<String>,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    message: Value,
    visible: Instant,
}

impl PubSub {
    /// Starts a server.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request: Request<Incoming>| {
                    let state = Arc::clone(&state);
                    async move {
                        let path = request.uri().path().to_owned();
                        let body = read(request.into_body()).await;
                        let asked = serde_json::from_slice(&body).unwrap_or_default();
                        let answer = lock(&state).answer(&path, &asked);
                        let answer = Bytes::from(answer.to_string());
                        Ok::<_, std::convert::Infallible>(Response::new(OneBody(Some(answer))))
                    }
                });
                tokio::spawn(async move {
                    let connection = Builder::new().serve_connection(TokioIo::new(socket), service);
                    // A client that goes away ends the connection with an error: nothing to do.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Returns the subscription's URL.
    pub fn url(&self) -> String {
        format!("http://{}/v1/projects/test/subscriptions/raw", self.address)
    }

    /// Announces an object as Cloud Storage does.
    pub fn announce(&self, bucket: &str, key: &str) {
        let data = json!({"kind": "storage#object", "bucket": bucket, "name": key});
        self.send(json!({
            "data": STANDARD.encode(data.to_string()),
            "attributes": {
                "eventType": "OBJECT_FINALIZE",
                "bucketId": bucket,
                "objectId": key,
                "payloadFormat": "JSON_API_V1",
            },
        }));
    }

    /// Sends a message.
    pub fn send(&self, message: Value) {
        let mut state = lock(&self.state);
        state.next += 1;
        let id = state.next.to_string();
        state.messages.push(Waiting {
            id,
            message,
            visible: Instant::now(),
        });
    }

    /// Returns how many messages are not acknowledged.
    pub fn left(&self) -> usize {
        lock(&self.state).messages.len()
    }

    /// Returns the verbs that were called so far.
    pub fn verbs(&self) -> Vec<String> {
        lock(&self.state).verbs.clone()
    }
}

impl Drop for PubSub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn answer(&mut self, path: &str, asked: &Value) -> Value {
        let verb = path.rsplit(':').next().unwrap_or_default();
        self.verbs.push(verb.to_owned());
        match verb {
            "pull" => {
                let most = asked["maxMessages"].as_u64().unwrap_or(1);
                let now = Instant::now();
                let visible = self.messages.iter_mut().filter(|of| of.visible <= now);
                let mut pulled = Vec::new();
                for of in visible.take(usize::try_from(most).unwrap_or(1)) {
                    of.visible = now + HIDDEN;
                    pulled.push(json!({"ackId": of.id, "message": of.message}));
                }
                match pulled.is_empty() {
                    // As the service does.
                    true => json!({}),
                    false => json!({"receivedMessages": pulled}),
                }
            }
            "acknowledge" => {
                let ids = asked["ackIds"].as_array().cloned().unwrap_or_default();
                self.messages
                    .retain(|of| !ids.iter().any(|id| id.as_str() == Some(&of.id)));
                json!({})
            }
            _ => json!({}),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        let mut pinned = std::pin::Pin::new(&mut body);
        let frame = std::future::poll_fn(|context| pinned.as_mut().poll_frame(context)).await;
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
            _ => return read,
        }
    }
}

/// A body of one part.
struct OneBody(Option<Bytes>);

impl Body for OneBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(
            self.0
                .take()
                .map(|bytes| Ok(hyper::body::Frame::data(bytes))),
        )
    }
}
