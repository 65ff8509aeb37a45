//! Loopback servers that speak the documented protocols of the services that notifiers and enrichers talk to, keep what they are
//! told, and fail on request.
//!
//! ```text
//! request ─▶ recorded ─▶ trouble? ──no──────────────▶ service ─▶ answer
//!                           ├─ before: service not asked          ▲
//!                           └─ after:  service asked ─ answer lost ┘
//! ```

pub mod abuseipdb;
pub mod github;
pub mod greynoise;
pub mod jira;
pub mod pagerduty;
mod request;
pub mod slack;
pub mod teams;
pub mod urlhaus;
pub mod virustotal;
pub mod webhook;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::request::Seen;

/// What a server does with a request.
pub trait Service: Send + 'static {
    /// Does what is asked for and answers.
    fn answer(&mut self, request: &Seen) -> Reply;
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// An answer of JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string()).header("content-type", "application/json")
    }

    /// An answer of text.
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This is answered.
    Answer(Reply),
    /// The connection is reset, without an answer.
    Reset,
    /// The right answer comes so late.
    Slow(Duration),
    /// The right status comes with a body that breaks off inside.
    Malformed,
}

impl Trouble {
    /// A status without more.
    pub fn status(status: u16) -> Self {
        Self::Answer(Reply::text(status, ""))
    }

    /// Too many requests, and when to come again.
    pub fn busy(seconds: u32) -> Self {
        Self::Answer(Reply::text(429, "").header("retry-after", &seconds.to_string()))
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Self {
        Self::Answer(Reply::text(302, "").header("location", to))
    }
}

/// A server on loopback; it stops when it is dropped.
#[derive(Debug)]
pub struct Server<S> {
    address: SocketAddr,
    shared: Arc<Shared<S>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared<S> {
    service: Mutex<S>,
    seen: Mutex<Vec<Seen>>,
    troubles: Mutex<VecDeque<(Trouble, bool)>>,
}

impl<S: Service> Server<S> {
    /// Starts a server for a service.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(service: S) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            service: Mutex::new(service),
            seen: Mutex::default(),
            troubles: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&serving)));
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Returns the base URL: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what the service keeps.
    pub fn service(&self) -> MutexGuard<'_, S> {
        lock(&self.shared.service)
    }

    /// Returns the requests that came, in order, those with trouble too.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Lets the next requests fail before the service does anything, after those that are to fail already.
    pub fn fail(&self, times: usize, trouble: &Trouble) {
        let mut troubles = lock(&self.shared.troubles);
        troubles.extend((0..times).map(|_| (trouble.clone(), false)));
    }

    /// Lets the service do what the next requests ask for, and what is answered go wrong.
    pub fn fail_after(&self, times: usize, trouble: &Trouble) {
        let mut troubles = lock(&self.shared.troubles);
        troubles.extend((0..times).map(|_| (trouble.clone(), true)));
    }

    /// Lets all go well again.
    pub fn heal(&self) {
        lock(&self.shared.troubles).clear();
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve<S: Service>(socket: TcpStream, shared: Arc<Shared<S>>) {
    let reset = Arc::new(Notify::new());
    let resets = Arc::clone(&reset);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        let reset = Arc::clone(&resets);
        Box::pin(async move {
            let seen = Seen::read(request).await?;
            let Some(reply) = shared.answer(&seen).await else {
                reset.notify_one();
                return std::future::pending().await;
            };
            let mut response = hyper::Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            response.body(reply.body).map_err(std::io::Error::other)
        })
    });
    let mut connection = Builder::new().serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        // A client that goes away ends the connection with an error: nothing to do.
        _ = &mut connection => {}
        () = reset.notified() => {
            let socket = connection.into_parts().io.into_inner();
            // Closed so, the socket sends a reset in place of an end.
            let _ = socket.set_zero_linger();
        }
    }
}

impl<S: Service> Shared<S> {
    /// Returns the answer, or nothing for a reset.
    async fn answer(&self, request: &Seen) -> Option<Reply> {
        lock(&self.seen).push(request.clone());
        let trouble = lock(&self.troubles).pop_front();
        let ask = || lock(&self.service).answer(request);
        match trouble {
            None => Some(ask()),
            Some((Trouble::Slow(late), is_done)) => {
                // Done at once or after the wait: a client that gives up may have been served or not.
                let done = is_done.then(ask);
                tokio::time::sleep(late).await;
                Some(done.unwrap_or_else(ask))
            }
            Some((trouble, is_done)) => {
                let done = is_done.then(ask);
                match trouble {
                    Trouble::Answer(reply) => Some(reply),
                    Trouble::Malformed => {
                        let status = done.map_or(200, |reply| reply.status);
                        Some(Reply::text(status, "{\"ok\": tr"))
                    }
                    Trouble::Reset | Trouble::Slow(_) => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
