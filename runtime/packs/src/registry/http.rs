//! Requests to a registry, with answers that are bounded in size and time.
//!
//! Whoever answers may be broken or hostile, and nothing of an answer is trusted before it was read. So each answer has a
//! maximum of bytes, and the time to send them: [`RegistryOptions::timeout`] and a second more for each [`PACE`] bytes that came.
//! Documents (lists, manifests, configs, tokens) also have a maximum for all of a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_auth::ChallengeParser;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LINK, LOCATION, WWW_AUTHENTICATE,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use yagura_core::shown::without_controls;

use super::Reference;
use super::answer::{AnswerError, PACE};
use super::options::{Credentials, RegistryOptions};

/// Bytes of all documents that are read over one connection.
pub(super) const ALL_DOCUMENT_BYTES: u64 = 64 << 20;

/// Bytes of a token, or of what is said of an error.
const TOKEN_BYTES: u64 = 64 << 10;

/// Characters that are shown of what is said of an error.
const SHOWN: usize = 300;

/// How long a token is used before another is asked for: the least that registries promise.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Requests to one registry.
pub(super) struct Http {
    client: Client,
    scheme: &'static str,
    credentials: Credentials,
    timeout: Duration,
    tokens: Mutex<BTreeMap<(String, TokenScope), (Instant, Authorization)>>,
    document_bytes: AtomicU64,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TokenScope {
    /// To read.
    Pull,
    /// To write.
    Push,
}

/// How a request says who is asking.
#[derive(Clone)]
pub(super) enum Authorization {
    /// It does not.
    Anonymous,
    /// With user and password.
    Basic,
    /// With this token.
    Token(String),
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A list, a manifest, a config.
    Document,
    /// A part of a pack, whose size its manifest bounds.
    Blob,
}

/// An answer.
pub(super) struct RegistryAnswer {
    pub(super) bytes: Vec<u8>,
    /// Where a list goes on.
    pub(super) next: Option<Url>,
}

impl Http {
    pub(super) fn new(options: &RegistryOptions, is_plain: bool) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .connect_timeout(options.timeout)
            .user_agent(concat!("yagura/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            scheme: if is_plain { "http" } else { "https" },
            credentials: options.credentials.clone(),
            timeout: options.timeout,
            tokens: Mutex::default(),
            document_bytes: AtomicU64::new(0),
        })
    }

    /// Returns the address of something in the repository of a reference.
    pub(super) fn url(&self, reference: &Reference, rest: &str) -> Result<Url, AnswerError> {
        self.address(reference, &format!("{}/{rest}", reference.repository))
    }

    fn address(&self, reference: &Reference, rest: &str) -> Result<Url, AnswerError> {
        // As all clients of registries have it.
        let host = match reference.registry.as_str() {
            "docker.io" => "index.docker.io",
            host => host,
        };
        let text = format!("{}://{host}/v2/{rest}", self.scheme);
        Url::parse(&text).map_err(|_| AnswerError::Address {
            url: reference.to_string(),
            to: text,
            why: "which is not an address",
        })
    }

    /// Asks for something in the repository of a reference: at most `maximum` bytes.
    pub(super) async fn get(
        &self,
        reference: &Reference,
        url: &Url,
        accept: Option<&str>,
        kind: AnswerKind,
        maximum: u64,
    ) -> Result<RegistryAnswer, AnswerError> {
        let access = self.access(reference, TokenScope::Pull).await?;
        let mut request = self.with_access(self.client.get(url.clone()), &access);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let started = Instant::now();
        let mut response = self.send(request, url, started, 0).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, url, started).await);
        }
        let next = next_page(&response, url)?;
        let bytes = self.read(&mut response, url, maximum, started).await?;
        if kind == AnswerKind::Document {
            let read = bytes.len() as u64;
            let before = self.document_bytes.fetch_add(read, Ordering::Relaxed);
            if before + read > ALL_DOCUMENT_BYTES {
                return Err(AnswerError::AllBytes {
                    url: url.to_string(),
                    maximum: ALL_DOCUMENT_BYTES,
                });
            }
        }
        Ok(RegistryAnswer { bytes, next })
    }

    /// Puts a manifest, or another small document, into the repository of a reference.
    pub(super) async fn put(
        &self,
        reference: &Reference,
        url: &Url,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), AnswerError> {
        let access = self.access(reference, TokenScope::Push).await?;
        let request = self.with_access(self.client.put(url.clone()), &access);
        self.send_body(request, url, media_type, bytes).await
    }

    /// Puts a blob into the repository of a reference.
    pub(super) async fn upload(
        &self,
        reference: &Reference,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(), AnswerError> {
        let url = self.url(reference, "blobs/uploads/")?;
        let access = self.access(reference, TokenScope::Push).await?;
        let request = self.with_access(self.client.post(url.clone()), &access);
        let started = Instant::now();
        let request = request.header(CONTENT_LENGTH, 0);
        let response = self.send(request, &url, started, 0).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response, &url, started).await);
        }
        let to = response.headers().get(LOCATION);
        let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
        let Some(mut to) = to else {
            return Err(AnswerError::Lacks {
                url: url.to_string(),
                what: "an address to upload to",
            });
        };
        let is_own = to.origin() == url.origin();
        to.query_pairs_mut().append_pair("digest", digest);
        let request = self.client.put(to);
        // Another server gets no token of this one.
        let request = match is_own {
            true => self.with_access(request, &access),
            false => request,
        };
        self.send_body(request, &url, "application/octet-stream", bytes.to_vec())
            .await
    }

    async fn send_body(
        &self,
        request: RequestBuilder,
        url: &Url,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), AnswerError> {
        let started = Instant::now();
        let sent = bytes.len() as u64;
        let request = request.header(CONTENT_TYPE, media_type).body(bytes);
        let response = self.send(request, url, started, sent).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(self.refusal(response, url, Instant::now()).await),
        }
    }

    fn deadline(&self, started: Instant, bytes: u64) -> Instant {
        started + self.timeout + Duration::from_secs(bytes / PACE)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
        started: Instant,
        sent: u64,
    ) -> Result<Response, AnswerError> {
        match timeout_at(self.deadline(started, sent), request.send()).await {
            Ok(response) => response.map_err(|source| connection(url, source)),
            Err(_) => Err(slow(url, 0, started)),
        }
    }

    async fn read(
        &self,
        response: &mut Response,
        url: &Url,
        maximum: u64,
        started: Instant,
    ) -> Result<Vec<u8>, AnswerError> {
        let too_large = || AnswerError::Bytes {
            url: url.to_string(),
            maximum,
        };
        if response
            .content_length()
            .is_some_and(|length| length > maximum)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        loop {
            let read = bytes.len() as u64;
            let next = timeout_at(self.deadline(started, read), response.chunk()).await;
            let next = next.map_err(|_| slow(url, read, started))?;
            let Some(chunk) = next.map_err(|source| connection(url, source))? else {
                return Ok(bytes);
            };
            if read + chunk.len() as u64 > maximum {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// Returns how a registry says no.
    async fn refusal(&self, mut response: Response, url: &Url, started: Instant) -> AnswerError {
        let status = response.status();
        // An answer without end says no, too.
        let body = self.read(&mut response, url, TOKEN_BYTES, started).await;
        let body = body.unwrap_or_default();
        let errors = serde_json::from_slice::<OciEnvelope>(&body);
        let errors = errors.map_or_else(|_| Vec::new(), |envelope| envelope.errors);
        let is_missing = status == StatusCode::NOT_FOUND
            || errors.iter().any(|error| {
                matches!(
                    error.code,
                    OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                )
            });
        let text = match errors.first() {
            Some(error) if error.message.is_empty() => format!("{:?}", error.code),
            Some(error) => error.message.clone(),
            None => String::from_utf8_lossy(&body).into_owned(),
        };
        let message: String = without_controls(text.trim()).chars().take(SHOWN).collect();
        AnswerError::Status {
            url: url.to_string(),
            status: status.as_u16(),
            message,
            is_missing,
        }
    }

    fn with_access(&self, request: RequestBuilder, access: &Authorization) -> RequestBuilder {
        match (access, &self.credentials) {
            (Authorization::Token(token), _) => request.bearer_auth(token),
            (Authorization::Basic, Credentials::Basic { user, password }) => {
                request.basic_auth(user, Some(password))
            }
            _ => request,
        }
    }

    /// Returns how to ask for the repository of a reference: the registry names what it requires, and where it gives a token.
    pub(super) async fn access(
        &self,
        reference: &Reference,
        scope: TokenScope,
    ) -> Result<Authorization, AnswerError> {
        let key = (reference.repository.clone(), scope);
        let known = || self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, access)) = known().get(&key)
            && since.elapsed() < TOKEN_LIFE
        {
            return Ok(access.clone());
        }
        let access = match &self.credentials {
            Credentials::Token(token) => Authorization::Token(token.clone()),
            _ => self.ask_for_access(reference, scope).await?,
        };
        known().insert(key, (Instant::now(), access.clone()));
        Ok(access)
    }

    async fn ask_for_access(
        &self,
        reference: &Reference,
        scope: TokenScope,
    ) -> Result<Authorization, AnswerError> {
        let url = self.address(reference, "")?;
        let started = Instant::now();
        let request = self.client.get(url.clone());
        let response = self.send(request, &url, started, 0).await?;
        let wanted = response.headers().get(WWW_AUTHENTICATE);
        let Some(wanted) = wanted.and_then(|wanted| wanted.to_str().ok()) else {
            return Ok(Authorization::Anonymous);
        };
        let mut realm = None;
        let mut service = None;
        for challenge in ChallengeParser::new(wanted).flatten() {
            if !challenge.scheme.eq_ignore_ascii_case("bearer") || realm.is_some() {
                continue;
            }
            for (name, value) in &challenge.params {
                match name.to_ascii_lowercase().as_str() {
                    "realm" => realm = Some(value.to_unescaped()),
                    "service" => service = Some(value.to_unescaped()),
                    _ => {}
                }
            }
        }
        let Some(realm) = realm else {
            return Ok(Authorization::Basic);
        };
        let refuse = |why| AnswerError::Address {
            url: url.to_string(),
            to: without_controls(&realm).chars().take(SHOWN).collect(),
            why,
        };
        let Ok(mut realm) = Url::parse(&realm) else {
            return Err(refuse("which is not an address that gives tokens"));
        };
        if realm.scheme() != self.scheme && realm.scheme() != "https" {
            return Err(refuse("where a password would be sent without TLS"));
        }
        let actions = match scope {
            TokenScope::Pull => "pull",
            TokenScope::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", reference.repository);
        realm.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            realm.query_pairs_mut().append_pair("service", &service);
        }
        self.ask_for_token(&realm).await
    }

    async fn ask_for_token(&self, realm: &Url) -> Result<Authorization, AnswerError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let started = Instant::now();
        let request = self.with_access(self.client.get(realm.clone()), &Authorization::Basic);
        let mut response = self.send(request, realm, started, 0).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, realm, started).await);
        }
        let bytes = self
            .read(&mut response, realm, TOKEN_BYTES, started)
            .await?;
        let token: Token = json(&bytes, realm, "a token")?;
        match token.token.or(token.access_token) {
            Some(token) if HeaderValue::from_str(&token).is_ok() => Ok(Authorization::Token(token)),
            _ => Err(AnswerError::Lacks {
                url: realm.to_string(),
                what: "a token that can be sent",
            }),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// Reads a document that a registry answered with.
pub(super) fn json<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    url: &Url,
    what: &'static str,
) -> Result<T, AnswerError> {
    serde_json::from_slice(bytes).map_err(|source| AnswerError::Json {
        url: url.to_string(),
        what,
        source,
    })
}

/// Returns where a list goes on: the header `Link: <…>; rel="next"`, on the same server.
fn next_page(response: &Response, url: &Url) -> Result<Option<Url>, AnswerError> {
    let links = response.headers().get_all(LINK).iter();
    let links = links.filter_map(|link| link.to_str().ok());
    let next = links.flat_map(|link| link.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let parameters = parameters.to_ascii_lowercase().replace([' ', '"'], "");
        let is_next = parameters
            .split(';')
            .any(|parameter| parameter == "rel=next");
        is_next.then(|| target.to_owned())
    });
    let Some(target) = next else {
        return Ok(None);
    };
    match url.join(&target) {
        Ok(next) if next.origin() == url.origin() => Ok(Some(next)),
        _ => Err(AnswerError::Address {
            url: url.to_string(),
            to: without_controls(&target).chars().take(SHOWN).collect(),
            why: "which is not on the same server",
        }),
    }
}

fn connection(url: &Url, source: reqwest::Error) -> AnswerError {
    AnswerError::Connection {
        url: url.to_string(),
        // The address is in the message already.
        source: source.without_url(),
    }
}

fn slow(url: &Url, bytes: u64, started: Instant) -> AnswerError {
    AnswerError::Slow {
        url: url.to_string(),
        bytes,
        elapsed: started.elapsed(),
    }
}
