//! The record of plugins' calls, written beside the work, and the stored answers of servers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use yagura_alerts::store::rows::CallRow;
use yagura_alerts::{AlertStore, Clock};
use yagura_core::Timestamp;
use yagura_http::{Bytes, CallLog, HttpCache, HttpCall, HttpResponse};

/// Calls that are written in one transaction.
const AT_ONCE: usize = 1_024;

/// Writes calls down.
pub(super) struct CallWriter {
    log: Arc<CallQueue>,
    task: JoinHandle<()>,
}

/// Plugins are slower than the store, and each of their calls may make sixteen at most: what waits stays small.
struct CallQueue(UnboundedSender<CallRow>);

impl CallWriter {
    /// Begins to write into a store.
    pub(super) fn start(store: AlertStore) -> Self {
        let (sender, mut receiver) = unbounded_channel();
        let task = tokio::spawn(async move {
            let mut calls = Vec::new();
            while receiver.recv_many(&mut calls, AT_ONCE).await > 0 {
                if let Err(error) = store.record_calls(&calls).await {
                    tracing::error!(%error, calls = calls.len(), "calls of plugins were not recorded");
                }
                calls.clear();
            }
        });
        Self {
            log: Arc::new(CallQueue(sender)),
            task,
        }
    }

    /// Returns where calls are handed in.
    pub(super) fn log(&self) -> Arc<dyn CallLog> {
        Arc::clone(&self.log) as Arc<dyn CallLog>
    }

    /// Waits until all calls are written, but not long: plugins that still hold the log keep it open.
    pub(super) async fn stop(self) {
        drop(self.log);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

impl CallLog for CallQueue {
    fn record(&self, call: HttpCall) {
        let row = CallRow {
            at: call.time,
            plugin: call.plugin.to_string(),
            subject: call.subject.unwrap_or_default(),
            method: call.method,
            url: call.url,
            status: call.status,
            bytes_sent: call.request_bytes,
            bytes_received: call.response_bytes,
            micros: u64::try_from(call.duration.as_micros()).unwrap_or(u64::MAX),
            is_cached: call.cached,
            error: call.error,
        };
        if let Err(error) = self.0.send(row) {
            tracing::error!(%error, "a call of a plugin was not recorded");
        }
    }
}

/// Answers of servers, kept in the store.
pub(super) struct StoredAnswers(pub(super) AlertStore);

#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl HttpCache for StoredAnswers {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<HttpResponse>> {
        Box::pin(async move {
            let text = self.0.kept_answer(key).await.ok()??;
            let answer: StoredAnswer = serde_json::from_str(&text).ok()?;
            Some(HttpResponse {
                status: answer.status,
                headers: answer.headers,
                body: answer.body.bytes(),
            })
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        response: &'a HttpResponse,
        ttl: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let answer = StoredAnswer {
                status: response.status,
                headers: response.headers.clone(),
                body: Bytes::of(&response.body),
            };
            let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
            let expires = Timestamp::clamped(Clock::system().now().micros().saturating_add(ttl));
            let Ok(text) = serde_json::to_string(&answer) else {
                return;
            };
            if let Err(error) = self.0.keep_answer(key, &text, expires).await {
                tracing::warn!(%error, "an answer was not kept");
            }
        })
    }
}
