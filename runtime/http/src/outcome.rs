//! What the HTTP calls of one call of a plugin mean for whoever made it.

use std::time::{Duration, SystemTime};

use super::{ExchangeError, HttpResponse};

/// Longest time that a server may ask to be left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What came of the HTTP calls of one call of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallOutcome {
    /// How many there were, also those that were refused.
    pub calls: u32,
    /// True when a request that may change something was sent without a clear answer: no full one, or a status of 500 or
    /// above. The server may have done what was asked.
    pub uncertain: bool,
    /// The longest time for which a server, or a limit of ours, asks to wait.
    pub retry_after: Option<Duration>,
}

impl CallOutcome {
    /// Takes note of a call that a limit of ours refused.
    pub(crate) fn limited(&mut self, wait: Duration) {
        self.retry_after = self.retry_after.max(Some(wait));
    }

    /// Takes note of an exchange.
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
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpError;

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
        assert!(outcome.uncertain, "503 may come after the deed");
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
