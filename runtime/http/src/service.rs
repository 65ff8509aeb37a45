//! Outgoing HTTP of plugins, through the host.
//!
//! ```text
//! request    method, headers, size
//!    │
//! template   placeholders found, the URL taken apart          ◀── each redirect of GET and HEAD begins here again
//!    │
//! transport  server and secrets checked: manifest and grant
//!    │
//! cache      an answer from before   rate   too often?
//!    │
//! live       name resolved, addresses checked, secrets filled in, sent, read, redacted
//!    │         (record: the same, written down; replay: from what was written down, nothing sent)
//! audit      every call is recorded, also those that were refused
//! ```

mod address;
mod audit;
mod cache;
mod live;
mod mask;
mod outcome;
mod rate;
mod redact;
mod replay;
mod request;
mod secrets;
mod template;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use yagura_core::Timestamp;
use yagura_core::capability::{Access, Scheme};

pub use audit::{CallLog, HttpCall, NoCallLog, PluginId};
pub use cache::{HttpCache, MemoryCache};
pub use live::{Live, LiveError, Resolve, SystemResolver};
pub use outcome::CallOutcome;
pub use rate::CallLimit;
pub use replay::{Bytes, Exchange, Record, RecordedError, RecordingError, Replay};
pub use request::{HttpRequest, HttpResponse, Signature};
pub use secrets::{Secret, SecretError, SecretSource, Secrets};
pub use transport::{ExchangeError, Outgoing, Transport};

pub(crate) use mask::masked;
use rate::Rates;
use template::Target;
pub(crate) use template::{disarm, disarmed};

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// What is left to a plugin after a server that does not answer, so that it can say so.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Longest URL in the record of calls, in bytes.
const LONGEST_RECORDED_URL: usize = 2048;

/// Why a plugin gets no answer. Texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Manifest, grant or contract do not allow it.
    #[error("denied: {0}")]
    Denied(String),
    /// The limit of calls for this host is used up for now.
    #[error("too many calls: {0}")]
    Limited(String),
    /// The answer did not come in time.
    #[error("there was no answer in time")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// Connection, TLS or protocol.
    #[error("failed: {0}")]
    Failed(String),
}

/// What each call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpSettings {
    /// Time of a call with all its redirects; the plugin's own limit may end it sooner.
    pub timeout: Duration,
    /// Largest body that is sent, in bytes.
    pub most_request: usize,
    /// Largest body that is read, in bytes.
    pub most_response: usize,
    /// Most HTTP calls of one call of a plugin.
    pub most_calls: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            most_request: 1 << 20,
            most_response: 4 << 20,
            most_calls: 16,
        }
    }
}

/// What the operator chose for one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpPolicy {
    /// How long answers to GET with status 200 or 404 are used again; nothing for never.
    pub cache: Option<Duration>,
    /// How often each host may be called; all must have room.
    pub limits: Vec<CallLimit>,
}

/// Who calls, and what it may.
#[derive(Debug, Clone)]
pub struct HttpCaller {
    /// The plugin.
    pub plugin: PluginId,
    /// Its wants and its grant.
    pub access: Arc<Access>,
    /// What the operator chose for it.
    pub policy: HttpPolicy,
    /// Id of the alert or the incident at hand.
    pub subject: Option<String>,
}

/// Sends requests of all plugins.
pub struct HttpService {
    transport: Arc<dyn Transport>,
    runtime: Handle,
    log: Arc<dyn CallLog>,
    cache: Option<Arc<dyn HttpCache>>,
    settings: HttpSettings,
    rates: Rates,
}

impl HttpService {
    /// Makes a service that sends on `runtime`, which must have threads of its own, and time and IO enabled. It has no cache
    /// and keeps no record yet.
    pub fn new(transport: Arc<dyn Transport>, runtime: Handle) -> Self {
        Self {
            transport,
            runtime,
            log: Arc::new(NoCallLog),
            cache: None,
            settings: HttpSettings::default(),
            rates: Rates::default(),
        }
    }

    /// Records calls.
    #[must_use]
    pub fn with_log(mut self, log: Arc<dyn CallLog>) -> Self {
        self.log = log;
        self
    }

    /// Keeps answers, for plugins with [`HttpPolicy::cache`].
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<dyn HttpCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets what each call may use.
    #[must_use]
    pub fn with_settings(mut self, settings: HttpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sends a request and returns the answer, both without secrets. It blocks the thread, which must not be one that drives
    /// tasks of a runtime; `deadline` is when the plugin's own time ends, and `outcome` is told what came of the call.
    ///
    /// # Errors
    /// [`HttpError`]
    pub fn send(
        &self,
        caller: &HttpCaller,
        outcome: &mut CallOutcome,
        mut request: HttpRequest,
        deadline: Instant,
    ) -> Result<HttpResponse, HttpError> {
        outcome.calls = outcome.calls.saturating_add(1);
        let most = self.settings.most_calls;
        if outcome.calls > most {
            let reason = format!("a call of the plugin may make {most} HTTP calls");
            let error = HttpError::Denied(reason);
            // Once: a plugin that goes on must not fill the record.
            if outcome.calls == most.saturating_add(1) {
                Attempt::begin(&request.method, &request.url).record(
                    self,
                    caller,
                    &error.clone().into(),
                );
            }
            return Err(error);
        }
        let now = Instant::now();
        let own = now.checked_add(self.settings.timeout).unwrap_or(deadline);
        let deadline = own.min(deadline.checked_sub(LAST_WORDS).unwrap_or(deadline));
        let target = request
            .check(self.settings.most_request)
            .and_then(|()| Target::parse(&request.url));
        match target {
            Ok(target) => {
                let sent = self.follow(caller, outcome, &request, target, deadline);
                self.runtime.block_on(sent)
            }
            Err(error) => {
                Attempt::begin(&request.method, &request.url).record(
                    self,
                    caller,
                    &error.clone().into(),
                );
                Err(error)
            }
        }
    }

    /// Sends a request, and where the answer is a redirect to GET or HEAD, follows it.
    async fn follow(
        &self,
        caller: &HttpCaller,
        outcome: &mut CallOutcome,
        request: &HttpRequest,
        mut target: Target,
        deadline: Instant,
    ) -> Result<HttpResponse, HttpError> {
        let key = match (caller.policy.cache, &self.cache) {
            (Some(ttl), Some(cache)) => {
                cache::key(&caller.plugin, request, &target.shown).map(|key| (key, ttl, cache))
            }
            _ => None,
        };
        let mut redirects = 0;
        loop {
            let attempt = Attempt::begin(&request.method, &target.shown);
            let cached = key
                .as_ref()
                .filter(|_| redirects == 0)
                .map(|(key, _, cache)| (key.as_str(), *cache));
            let made = self
                .attempt(caller, outcome, request, target.clone(), deadline, cached)
                .await;
            attempt.record(self, caller, &made);
            let answer = made.result?;
            if made.cached {
                return Ok(answer);
            }
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 if request.is_safe() => answer.header("location"),
                _ => None,
            };
            let Some(location) = location else {
                if let Some((key, ttl, cache)) = key
                    && cache::is_kept(&answer)
                {
                    cache.put(&key, &answer, ttl).await;
                }
                return Ok(answer);
            };
            redirects += 1;
            let next = next_target(&target, location, redirects);
            target = match next {
                Ok(next) => next,
                Err(error) => {
                    Attempt::begin(&request.method, location).record(
                        self,
                        caller,
                        &error.clone().into(),
                    );
                    return Err(error);
                }
            };
        }
    }

    /// Makes one exchange, from the checks to the answer.
    async fn attempt(
        &self,
        caller: &HttpCaller,
        outcome: &mut CallOutcome,
        request: &HttpRequest,
        target: Target,
        deadline: Instant,
        cached: Option<(&str, &Arc<dyn HttpCache>)>,
    ) -> Made {
        let host = target.host.clone();
        let checked = Outgoing::check(
            request,
            target,
            &caller.access,
            self.settings.most_response,
            deadline,
        );
        let outgoing = match checked {
            Ok(outgoing) => outgoing,
            Err(error) => return error.into(),
        };
        if let Some((key, cache)) = cached
            && let Some(answer) = cache.get(key).await
        {
            return Made {
                result: Ok(answer),
                cached: true,
                sent: 0,
            };
        }
        let plugin = caller.plugin.to_string();
        let limits = &caller.policy.limits;
        if let Err(wait) = self.rates.take(&plugin, &host, limits, Instant::now()) {
            outcome.limited(wait);
            let seconds = wait.as_secs_f64().ceil();
            return HttpError::Limited(format!(
                "the calls of the plugin to `{host}` are used up; the next may be made in {seconds} s"
            ))
            .into();
        }
        let exchange = self.transport.exchange(&outgoing);
        // A transport keeps to the deadline by itself; this is for those that do not.
        let grace = deadline.checked_add(LAST_WORDS / 2).unwrap_or(deadline);
        let result = match tokio::time::timeout_at(grace.into(), exchange).await {
            Ok(result) => result,
            Err(_) => Err(ExchangeError::sent(HttpError::Timeout)),
        };
        outcome.add(request.is_safe(), &result);
        Made {
            result: result.map_err(|failed| failed.error),
            cached: false,
            sent: request.body.len(),
        }
    }
}

impl std::fmt::Debug for HttpService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpService")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What came of an attempt.
struct Made {
    result: Result<HttpResponse, HttpError>,
    cached: bool,
    /// Bytes of the body, if it was sent.
    sent: usize,
}

impl From<HttpError> for Made {
    fn from(error: HttpError) -> Self {
        Self {
            result: Err(error),
            cached: false,
            sent: 0,
        }
    }
}

/// An attempt under way.
struct Attempt {
    method: String,
    url: String,
    time: Timestamp,
    start: Instant,
}

impl Attempt {
    fn begin(method: &str, url: &str) -> Self {
        let cut = |text: &str, longest| text[..text.floor_char_boundary(longest)].to_owned();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Self {
            method: cut(method, 16),
            url: cut(&masked(url), LONGEST_RECORDED_URL),
            time: Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX)),
            start: Instant::now(),
        }
    }

    fn record(self, service: &HttpService, caller: &HttpCaller, made: &Made) {
        let answer = made.result.as_ref().ok();
        let error = made.result.as_ref().err();
        service.log.record(HttpCall {
            time: self.time,
            plugin: caller.plugin.clone(),
            subject: caller.subject.clone(),
            method: self.method,
            url: self.url,
            status: answer.map(|answer| answer.status),
            request_bytes: made.sent as u64,
            response_bytes: answer.map_or(0, |answer| answer.body.len() as u64),
            duration: self.start.elapsed(),
            error: error.map(|error| masked(&error.to_string()).into_owned()),
            cached: made.cached,
        });
    }
}

/// Returns where a redirect leads, unless it may not be followed.
fn next_target(from: &Target, location: &str, redirects: usize) -> Result<Target, HttpError> {
    if redirects > MOST_REDIRECTS {
        let reason = format!("more than {MOST_REDIRECTS} redirects");
        return Err(HttpError::Failed(reason));
    }
    let next = from.follow(location)?;
    if from.scheme == Scheme::Https && next.scheme == Scheme::Http {
        return Err(HttpError::Denied(format!(
            "a redirect leads from https to {}, without protection",
            masked(&next.shown)
        )));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_does_not_give_up_protection() {
        let from = Target::parse("https://a.example/x").unwrap();
        let error = next_target(&from, "http://a.example/y", 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "denied: a redirect leads from https to http://a.example/y, without protection"
        );
        let next = next_target(&from, "//b.example/y", 5).unwrap();
        assert_eq!(next.shown, "https://b.example/y");
        assert!(next_target(&from, "/y", 6).is_err());
        let plain = Target::parse("http://a.example/x").unwrap();
        assert!(next_target(&plain, "https://a.example/", 1).is_ok());
    }
}
