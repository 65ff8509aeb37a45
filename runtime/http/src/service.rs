//! The HTTP calls of all plugins: each one checked, followed through its redirects, bounded in time and recorded.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use yagura_core::Timestamp;
use yagura_core::capability::{GrantedAccess, Scheme};

use crate::audit::{CallLog, HttpCall, NoCallLog, PluginId};
use crate::cache::{self, HttpCache};
use crate::error::HttpError;
use crate::mask::masked;
use crate::outcome::CallOutcome;
use crate::rate::{CallLimit, CallTimes};
use crate::request::{HttpRequest, HttpResponse};
use crate::template::UrlTemplate;
use crate::transport::{ExchangeError, Outgoing, Transport};

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Time that a plugin has left after a server that does not answer, so that it can return its own error.
const TIME_TO_RETURN: Duration = Duration::from_millis(100);

/// Maximum length of a URL in the record of calls, in bytes.
const MAX_RECORDED_URL: usize = 2048;

/// The limits of each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpSettings {
    /// Time of a call with all its redirects. The time limit of the plugin may end it sooner.
    pub timeout: Duration,
    /// Maximum size of a body that is sent, in bytes.
    pub max_request: usize,
    /// Maximum size of a body that is read, in bytes.
    pub max_response: usize,
    /// Maximum number of HTTP calls in one call of a plugin.
    pub max_calls: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_request: 1 << 20,
            max_response: 4 << 20,
            max_calls: 16,
        }
    }
}

/// What the operator chose for one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpPolicy {
    /// How long answers to GET with status 200 or 404 are used again; `None` for never.
    pub cache: Option<Duration>,
    /// How often each host may be called; a call needs room in all of them.
    pub limits: Vec<CallLimit>,
}

/// The plugin that calls, and what it may do.
#[derive(Debug, Clone)]
pub struct HttpCaller {
    /// The plugin.
    pub plugin: PluginId,
    /// What it requests and what it is granted.
    pub access: Arc<GrantedAccess>,
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
    call_times: CallTimes,
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
            call_times: CallTimes::default(),
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

    /// Sets the limits of each call.
    #[must_use]
    pub fn with_settings(mut self, settings: HttpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sends a request and returns the answer, both without secrets. It blocks the thread, which must not be one that drives
    /// tasks of a runtime. `deadline` is the end of the plugin's own time; the result of the call is added to `outcome`.
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
        let max = self.settings.max_calls;
        if outcome.calls > max {
            let reason = format!("a call of the plugin can make at most {max} HTTP calls");
            let error = HttpError::Denied(reason);
            // Once: a plugin that goes on must not fill the record.
            if outcome.calls == max.saturating_add(1) {
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
        let deadline = own.min(deadline.checked_sub(TIME_TO_RETURN).unwrap_or(deadline));
        let target = request
            .check(self.settings.max_request)
            .and_then(|()| UrlTemplate::parse(&request.url));
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
        mut target: UrlTemplate,
        deadline: Instant,
    ) -> Result<HttpResponse, HttpError> {
        let key = match (caller.policy.cache, &self.cache) {
            (Some(ttl), Some(cache)) => cache::key(&caller.plugin, request, &target.display_url)
                .map(|key| (key, ttl, cache)),
            _ => None,
        };
        let mut redirects = 0;
        loop {
            let attempt = Attempt::begin(&request.method, &target.display_url);
            let cached = key
                .as_ref()
                .filter(|_| redirects == 0)
                .map(|(key, _, cache)| (key.as_str(), *cache));
            let attempted = self
                .attempt(caller, outcome, request, target.clone(), deadline, cached)
                .await;
            attempt.record(self, caller, &attempted);
            let answer = attempted.result?;
            if attempted.cached {
                return Ok(answer);
            }
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 if request.is_safe() => answer.header("location"),
                _ => None,
            };
            let Some(location) = location else {
                if let Some((key, ttl, cache)) = key
                    && cache::is_cacheable(&answer)
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
        target: UrlTemplate,
        deadline: Instant,
        cached: Option<(&str, &Arc<dyn HttpCache>)>,
    ) -> AttemptResult {
        let host = target.host.clone();
        let checked = Outgoing::check(
            request,
            target,
            &caller.access,
            self.settings.max_response,
            deadline,
        );
        let outgoing = match checked {
            Ok(outgoing) => outgoing,
            Err(error) => return error.into(),
        };
        if let Some((key, cache)) = cached
            && let Some(answer) = cache.get(key).await
        {
            return AttemptResult {
                result: Ok(answer),
                cached: true,
                sent: 0,
            };
        }
        let plugin = caller.plugin.to_string();
        let limits = &caller.policy.limits;
        if let Err(wait) = self.call_times.take(&plugin, &host, limits, Instant::now()) {
            outcome.limited(wait);
            let seconds = wait.as_secs_f64().ceil();
            return HttpError::Limited(format!(
                "the call limit of the plugin for `{host}` is used up; the next call is possible in {seconds} s"
            ))
            .into();
        }
        let exchange = self.transport.exchange(&outgoing);
        // A transport keeps to the deadline by itself; this bounds one that does not.
        let grace = deadline.checked_add(TIME_TO_RETURN / 2).unwrap_or(deadline);
        let result = match tokio::time::timeout_at(grace.into(), exchange).await {
            Ok(result) => result,
            Err(_) => Err(ExchangeError::sent(HttpError::Timeout)),
        };
        outcome.add(request.is_safe(), &result);
        AttemptResult {
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

/// The result of one attempt, and what the record of calls says about it.
struct AttemptResult {
    result: Result<HttpResponse, HttpError>,
    cached: bool,
    /// Bytes of the body, if it was sent.
    sent: usize,
}

impl From<HttpError> for AttemptResult {
    fn from(error: HttpError) -> Self {
        Self {
            result: Err(error),
            cached: false,
            sent: 0,
        }
    }
}

/// An attempt that has begun.
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
            url: cut(&masked(url), MAX_RECORDED_URL),
            time: Timestamp::clamped(i64::try_from(micros).unwrap_or(i64::MAX)),
            start: Instant::now(),
        }
    }

    fn record(self, service: &HttpService, caller: &HttpCaller, attempted: &AttemptResult) {
        let answer = attempted.result.as_ref().ok();
        let error = attempted.result.as_ref().err();
        service.log.record(HttpCall {
            time: self.time,
            plugin: caller.plugin.clone(),
            subject: caller.subject.clone(),
            method: self.method,
            url: self.url,
            status: answer.map(|answer| answer.status),
            request_bytes: attempted.sent as u64,
            response_bytes: answer.map_or(0, |answer| answer.body.len() as u64),
            duration: self.start.elapsed(),
            error: error.map(|error| masked(&error.to_string()).into_owned()),
            cached: attempted.cached,
        });
    }
}

/// Returns where a redirect leads, unless it may not be followed.
fn next_target(
    from: &UrlTemplate,
    location: &str,
    redirects: usize,
) -> Result<UrlTemplate, HttpError> {
    if redirects > MAX_REDIRECTS {
        let reason = format!("more than {MAX_REDIRECTS} redirects");
        return Err(HttpError::Failed(reason));
    }
    let next = from.follow(location)?;
    if from.scheme == Scheme::Https && next.scheme == Scheme::Http {
        return Err(HttpError::Denied(format!(
            "a redirect leads from https to {}, without protection",
            masked(&next.display_url)
        )));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_does_not_give_up_protection() {
        let from = UrlTemplate::parse("https://a.example/x").unwrap();
        let error = next_target(&from, "http://a.example/y", 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "denied: a redirect leads from https to http://a.example/y, without protection"
        );
        let next = next_target(&from, "//b.example/y", 5).unwrap();
        assert_eq!(next.display_url, "https://b.example/y");
        assert!(next_target(&from, "/y", 6).is_err());
        let plain = UrlTemplate::parse("http://a.example/x").unwrap();
        assert!(next_target(&plain, "https://a.example/", 1).is_ok());
    }
}
