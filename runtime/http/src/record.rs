//! Records calls as they are sent.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use crate::exchange::{Exchange, RecordingError};
use crate::request::HttpResponse;
use crate::transport::{ExchangeError, Outgoing, Transport};

/// Records what another transport does, one line per exchange. Requests that the host refuses are not recorded.
pub struct RecordingTransport {
    inner: Arc<dyn Transport>,
    file: Mutex<std::fs::File>,
}

impl RecordingTransport {
    /// Begins a new recording.
    ///
    /// # Errors
    /// [`RecordingError::File`]
    pub fn create(inner: Arc<dyn Transport>, path: &Path) -> Result<Self, RecordingError> {
        let file = std::fs::File::create(path).map_err(|source| RecordingError::File {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            inner,
            file: Mutex::new(file),
        })
    }

    fn write(&self, exchange: &Exchange) {
        let written = serde_json::to_string(exchange)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push('\n');
                // One write per line, so that the file only holds whole lines even if a thread panicked.
                let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(line.as_bytes())
            });
        if let Err(error) = written {
            tracing::error!(%error, "a call cannot be recorded");
        }
    }
}

impl Transport for RecordingTransport {
    fn exchange<'a>(
        &'a self,
        outgoing: &'a Outgoing,
    ) -> BoxFuture<'a, Result<HttpResponse, ExchangeError>> {
        Box::pin(async {
            let result = self.inner.exchange(outgoing).await;
            if let Some(exchange) = Exchange::of(outgoing.request(), &result) {
                self.write(&exchange);
            }
            result
        })
    }
}
