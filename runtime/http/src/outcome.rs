//! The outcome of all HTTP calls within one call of a plugin, for the caller of the plugin.

use std::time::{Duration, SystemTime};

use crate::request::HttpResponse;
use crate::transport::ExchangeError;

/// Maximum time that a server can ask the host to wait.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The outcome of all HTTP calls within one call of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallOutcome {
    /// Number of HTTP calls, refused ones included.
    pub calls: u32,
    /// True if a request that may change something was sent and its result is unknown: no complete answer, or a status of 500
    /// or above. The server may have done what was asked.
    pub uncertain: bool,
    /// The longest wait that a server or a call limit of the host asked for.
    pub retry_after: Option<Duration>,
}

impl CallOutcome {
    /// Adds a call that a call limit of the host refused.
    pub(crate) fn limited(&mut self, wait: Duration) {
        self.retry_after = self.retry_after.max(Some(wait));
    }

    /// Adds an exchange.
    pub(crate) fn add(&mut self, is_safe: bool, result: &Result<HttpResponse, ExchangeError>) {
        self.uncertain |= !is_safe
            && match result {
                Ok(answer) => answer.status >= 500,
                Err(failed) => failed.is_sent,
            };
        if let Ok(answer) = result
            && matches!(answer.status, 429 | 503)
            && let Some(wait) = answer
                .header("retry-after")
                .and_then(|text| retry_after(text, SystemTime::now()))
        {
            self.retry_after = self.retry_after.max(Some(wait));
        }
    }
}

/// Reads a number of seconds or an HTTP date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HttpError;

    fn answer(status: u16, retry_after: &str) -> Result<HttpResponse, ExchangeError> {
        Ok(HttpResponse {
            status,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            body: Vec::new(),
        })
    }

    #[test]
    fn an_outcome_is_the_worst_of_its_calls() {
        let mut outcome = CallOutcome::default();
        outcome.add(false, &answer(429, "30"));
        outcome.add(false, &answer(503, "7"));
        assert_eq!(outcome.retry_after, Some(Duration::from_secs(30)));
        assert!(outcome.uncertain, "503 may come after the server acted");
        let of = |is_safe, result| {
            let mut outcome = CallOutcome::default();
            outcome.add(is_safe, &result);
            outcome.uncertain
        };
        assert!(!of(false, answer(429, "")));
        assert!(!of(false, answer(404, "")));
        assert!(!of(true, answer(500, "")));
        assert!(of(false, Err(ExchangeError::sent(HttpError::Timeout))));
        assert!(!of(true, Err(ExchangeError::sent(HttpError::Timeout))));
        assert!(!of(false, Err(ExchangeError::unsent(HttpError::Timeout))));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let read = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(read("99999999999"), Some(86_400));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
