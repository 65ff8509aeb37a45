//! Answers that are used again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

use super::{HttpRequest, HttpResponse, PluginId};

/// Keeps answers for a while. Answers hold placeholders in place of secrets.
pub trait HttpCache: Send + Sync {
    /// Returns the answer under a key, unless it has expired.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<HttpResponse>>;

    /// Keeps an answer for `ttl`; a failure to keep it costs only another call.
    fn put<'a>(
        &'a self,
        key: &'a str,
        response: &'a HttpResponse,
        ttl: Duration,
    ) -> BoxFuture<'a, ()>;
}

/// Returns the key of a request's answer, or nothing for one whose answer is not kept: kept is what GET answers.
///
/// Secrets are in it as placeholders: another value of a secret does not change the key.
pub(crate) fn key(plugin: &PluginId, request: &HttpRequest, url: &str) -> Option<String> {
    if request.method != "GET" || !request.body.is_empty() || request.sign.is_some() {
        return None;
    }
    let mut headers = request.headers.clone();
    headers.sort();
    let mut hash = Sha256::new();
    let pairs = headers.iter().flat_map(|(name, value)| [name, value]);
    for part in [&plugin.pack, &plugin.file]
        .into_iter()
        .chain(pairs)
        .map(String::as_str)
        .chain([url])
    {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Some(hex(&hash.finalize()))
}

/// Says whether an answer is one to keep: found, or known not to be there.
pub(crate) fn is_kept(response: &HttpResponse) -> bool {
    matches!(response.status, 200 | 404)
}

/// Keeps answers in memory.
#[derive(Debug)]
pub struct MemoryCache {
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// By the order in which they came.
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    response: HttpResponse,
    number: u64,
    expires: Instant,
}

impl MemoryCache {
    /// Makes a cache of at most so many bytes; what came first goes first.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: &str, now: Instant) -> Option<HttpResponse> {
        let mut state = self.state();
        let entry = state.entries.get(key)?;
        if entry.expires <= now {
            state.remove(key);
            return None;
        }
        Some(entry.response.clone())
    }

    fn keep(&self, key: &str, response: &HttpResponse, expires: Instant) {
        let size = size(key, response);
        let mut state = self.state();
        state.remove(key);
        if size > self.most_bytes {
            return;
        }
        while state.bytes + size > self.most_bytes {
            let Some(oldest) = state.order.values().next().cloned() else {
                break;
            };
            state.remove(&oldest);
        }
        let number = state.next;
        state.next += 1;
        state.bytes += size;
        state.order.insert(number, key.to_owned());
        state.entries.insert(
            key.to_owned(),
            Entry {
                response: response.clone(),
                number,
                expires,
            },
        );
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl HttpCache for MemoryCache {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<HttpResponse>> {
        Box::pin(async { self.take(key, Instant::now()) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        response: &'a HttpResponse,
        ttl: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(expires) = Instant::now().checked_add(ttl) {
                self.keep(key, response, expires);
            }
        })
    }
}

impl State {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.number);
            self.bytes -= size(key, &entry.response);
        }
    }
}

/// Returns about how many bytes an entry takes.
fn size(key: &str, response: &HttpResponse) -> usize {
    let headers = response.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + value.len() + 48)
        .sum();
    2 * key.len() + headers + response.body.len() + 200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(size: usize) -> HttpResponse {
        HttpResponse {
            status: 200,
            headers: Vec::new(),
            body: vec![b'x'; size],
        }
    }

    #[test]
    fn what_came_first_goes_first_and_what_expired_is_gone() {
        let cache = MemoryCache::new(2500);
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        for key in ["a", "b"] {
            cache.keep(key, &response(1000), later);
        }
        cache.keep("a", &response(1000), later);
        cache.keep("c", &response(1000), later);
        assert!(cache.take("b", now).is_none());
        assert!(cache.take("a", now).is_some());
        assert!(cache.take("a", later).is_none());
        cache.keep("huge", &response(5000), later);
        assert!(cache.take("huge", now).is_none());
        assert!(cache.take("c", now).is_some());
        let state = cache.state();
        assert_eq!((state.entries.len(), state.order.len()), (1, 1));
        assert_eq!(state.bytes, size("c", &response(1000)));
    }

    #[test]
    fn a_key_tells_plugins_urls_and_headers_apart() {
        let plugin = |pack: &str| PluginId {
            pack: pack.to_owned(),
            file: "a.wasm".to_owned(),
        };
        let request = HttpRequest::get("https://x/");
        let with_header = HttpRequest {
            headers: vec![("a".to_owned(), "{{secret:A}}".to_owned())],
            ..request.clone()
        };
        let keys = [
            key(&plugin("p"), &request, "https://x/").unwrap(),
            key(&plugin("q"), &request, "https://x/").unwrap(),
            key(&plugin("p"), &request, "https://x/y").unwrap(),
            key(&plugin("p"), &with_header, "https://x/").unwrap(),
        ];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), 4);
        let post = HttpRequest {
            method: "POST".to_owned(),
            ..request
        };
        assert_eq!(key(&plugin("p"), &post, "https://x/"), None);
    }
}
