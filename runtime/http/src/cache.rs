//! Answers that are used again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

use crate::audit::PluginId;
use crate::request::{HttpRequest, HttpResponse};

/// Stores answers for a while. Answers hold placeholders in place of secrets.
pub trait HttpCache: Send + Sync {
    /// Returns the answer under a key, unless it has expired.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<HttpResponse>>;

    /// Stores an answer for `ttl`; a failure to store it only costs another call.
    fn put<'a>(
        &'a self,
        key: &'a str,
        response: &'a HttpResponse,
        ttl: Duration,
    ) -> BoxFuture<'a, ()>;
}

/// Returns the key under which the answer to a request is stored; `None` if it is not stored, as for all but GET.
///
/// Secrets are placeholders in it: another value of a secret does not change the key.
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

/// Returns whether an answer may be stored: a resource that was found, or that is known to be missing.
pub(crate) fn is_cacheable(response: &HttpResponse) -> bool {
    matches!(response.status, 200 | 404)
}

/// Stores answers in memory.
#[derive(Debug)]
pub struct MemoryCache {
    max_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, CachedAnswer>,
    /// Keys, oldest first.
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct CachedAnswer {
    response: HttpResponse,
    number: u64,
    expires: Instant,
}

impl MemoryCache {
    /// Makes a cache of at most `max_bytes`; the oldest entries are dropped first.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            entries: Mutex::default(),
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        // No panic can leave the entries half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: &str, now: Instant) -> Option<HttpResponse> {
        let mut entries = self.entries();
        let entry = entries.by_key.get(key)?;
        if entry.expires <= now {
            entries.remove(key);
            return None;
        }
        Some(entry.response.clone())
    }

    fn insert(&self, key: &str, response: &HttpResponse, expires: Instant) {
        let size = size(key, response);
        let mut entries = self.entries();
        entries.remove(key);
        if size > self.max_bytes {
            return;
        }
        while entries.bytes + size > self.max_bytes {
            let Some(oldest) = entries.order.values().next().cloned() else {
                break;
            };
            entries.remove(&oldest);
        }
        let number = entries.next;
        entries.next += 1;
        entries.bytes += size;
        entries.order.insert(number, key.to_owned());
        entries.by_key.insert(
            key.to_owned(),
            CachedAnswer {
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
                self.insert(key, response, expires);
            }
        })
    }
}

impl Entries {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.order.remove(&entry.number);
            self.bytes -= size(key, &entry.response);
        }
    }
}

/// Returns the approximate size of an entry in bytes.
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
    fn the_oldest_entry_is_dropped_first_and_expired_ones_are_gone() {
        let cache = MemoryCache::new(2500);
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        for key in ["a", "b"] {
            cache.insert(key, &response(1000), later);
        }
        cache.insert("a", &response(1000), later);
        cache.insert("c", &response(1000), later);
        assert!(cache.take("b", now).is_none());
        assert!(cache.take("a", now).is_some());
        assert!(cache.take("a", later).is_none());
        cache.insert("huge", &response(5000), later);
        assert!(cache.take("huge", now).is_none());
        assert!(cache.take("c", now).is_some());
        let entries = cache.entries();
        assert_eq!((entries.by_key.len(), entries.order.len()), (1, 1));
        assert_eq!(entries.bytes, size("c", &response(1000)));
    }

    #[test]
    fn a_key_differs_by_plugin_url_and_headers() {
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
