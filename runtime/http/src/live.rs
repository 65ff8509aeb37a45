//! The network: the host resolves names and checks addresses, fills secrets in last, and bounds and redacts answers.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use sha2::Sha256;
use yagura_core::alert::hex;
use yagura_core::capability::Denied;
use zeroize::Zeroizing;

use crate::address::not_public;
use crate::error::HttpError;
use crate::mask::masked;
use crate::redact::Redactor;
use crate::request::{HttpResponse, is_value};
use crate::secrets::{Secret, Secrets};
use crate::template::disarm;
use crate::transport::{ExchangeError, Outgoing, Transport};

/// Maximum size of the headers of an answer in bytes, names and values together.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Resolves names to addresses.
pub trait Resolve: Send + Sync {
    /// Returns all addresses of a host.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Resolves names as the system does for other programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why the network cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS")]
pub struct LiveTransportError(#[source] rustls::Error);

/// Sends over the network. Each request has a connection of its own, to an address that was checked for it.
pub struct LiveTransport {
    secrets: Arc<Secrets>,
    resolver: Arc<dyn Resolve>,
    tls: rustls::ClientConfig,
}

impl LiveTransport {
    /// Trusts the certificates of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// [`LiveTransportError`] if TLS has no usable protocol version.
    pub fn new(
        secrets: Arc<Secrets>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, LiveTransportError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a trusted certificate cannot be read");
        }
        let mut roots = rustls::RootCertStore::empty();
        let (count, _) = roots.add_parsable_certificates(found.certs);
        if count == 0 {
            tracing::warn!(
                "the system has no trusted certificates, so every https request will fail; install them or set SSL_CERT_FILE"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(LiveTransportError)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            secrets,
            resolver,
            tls,
        })
    }

    /// Sends a request; `is_begun` is set as soon as the request may reach the server.
    async fn send(
        &self,
        outgoing: &Outgoing,
        is_begun: &AtomicBool,
    ) -> Result<HttpResponse, ExchangeError> {
        let addresses = self.addresses(outgoing).await?;
        let mut values = BTreeMap::new();
        for name in outgoing.secrets() {
            let secret = self
                .secrets
                .get(name)
                .await
                .map_err(|error| ExchangeError::unsent(HttpError::Failed(error.to_string())))?;
            values.insert(name.to_owned(), secret);
        }
        // Built after the secrets were read, so that it knows them.
        let redactor = self.secrets.redactor();
        let request = self
            .request(outgoing, &values, &addresses)
            .map_err(ExchangeError::unsent)?;
        is_begun.store(true, Ordering::Relaxed);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(error, &redactor)),
        };
        if matches!(answer.status().as_u16(), 401 | 403) {
            self.secrets.refused(outgoing.secrets());
        }
        read(answer, outgoing.max_response, &redactor).await
    }

    /// Returns the addresses of the server, after a check that all of them are allowed.
    async fn addresses(&self, outgoing: &Outgoing) -> Result<Vec<SocketAddr>, ExchangeError> {
        let host = &outgoing.target.host;
        let unsent = |error| Err(ExchangeError::unsent(error));
        let found = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.resolver.resolve(host);
                match tokio::time::timeout_at(outgoing.deadline.into(), found).await {
                    Err(_) => return unsent(HttpError::Timeout),
                    Ok(Err(error)) => {
                        let reason = format!("cannot resolve `{host}`: {error}");
                        return unsent(HttpError::Failed(reason));
                    }
                    Ok(Ok(found)) => found,
                }
            }
        };
        for address in &found {
            if let Some(class) = not_public(*address)
                && !outgoing.access.network(*address)
            {
                let Denied(reason) = outgoing.access.refuse_address(host, *address, class);
                return unsent(HttpError::Denied(reason));
            }
        }
        if found.is_empty() {
            return unsent(HttpError::Failed(format!("`{host}` has no address")));
        }
        let port = outgoing.target.port;
        let found = found.into_iter();
        Ok(found
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// Fills the secrets in.
    fn request(
        &self,
        outgoing: &Outgoing,
        values: &BTreeMap<String, Secret>,
        addresses: &[SocketAddr],
    ) -> Result<reqwest::RequestBuilder, HttpError> {
        let value = |name: &str| {
            let secret = values.get(name).map_or(&[][..], Secret::expose);
            Zeroizing::new(secret.to_vec())
        };
        let url = outgoing.target.fill(value)?;
        if url.host_str() != Some(outgoing.target.host.as_str()) {
            let shown = masked(&outgoing.target.display_url);
            return Err(HttpError::Failed(format!(
                "the secrets in {shown} would change its host"
            )));
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("yagura/", env!("CARGO_PKG_VERSION"))),
        );
        let mut set = HeaderMap::new();
        for (name, template) in &outgoing.headers {
            let (name, value) = header(name, &template.fill(value))?;
            set.append(name, value);
        }
        let body = outgoing.body.fill(value);
        if let Some(sign) = &outgoing.request.sign {
            let mut mac = Hmac::<Sha256>::new_from_slice(&value(&sign.secret))
                .map_err(|error| HttpError::Failed(error.to_string()))?;
            mac.update(sign.before.as_bytes());
            mac.update(&body);
            let proof = format!("{}{}", sign.prefix, hex(&mac.finalize().into_bytes()));
            let (name, value) = header(&sign.header, proof.as_bytes())?;
            set.append(name, value);
        }
        for name in set.keys() {
            headers.remove(name);
        }
        headers.extend(set);
        let left = outgoing.deadline.saturating_duration_since(Instant::now());
        let failed = |error: reqwest::Error| HttpError::Failed(causes(&error.without_url()));
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(self.tls.clone())
            .resolve_to_addrs(&outgoing.target.host, addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .http1_only()
            .referer(false)
            .retry(reqwest::retry::never())
            // Sooner than the whole call, so that it differs from a server that does not answer.
            .connect_timeout(left * 9 / 10)
            .build()
            .map_err(failed)?;
        let method = reqwest::Method::from_bytes(outgoing.request.method.as_bytes())
            .map_err(|error| HttpError::Failed(error.to_string()))?;
        let request = client.request(method, url).headers(headers);
        Ok(match body.is_empty() {
            true if outgoing.request.is_safe() => request,
            _ => request.body(body.to_vec()),
        })
    }
}

impl Transport for LiveTransport {
    fn exchange<'a>(
        &'a self,
        outgoing: &'a Outgoing,
    ) -> BoxFuture<'a, Result<HttpResponse, ExchangeError>> {
        Box::pin(async {
            let is_begun = AtomicBool::new(false);
            let sent = self.send(outgoing, &is_begun);
            match tokio::time::timeout_at(outgoing.deadline.into(), sent).await {
                Ok(result) => result,
                Err(_) => Err(ExchangeError {
                    error: HttpError::Timeout,
                    is_sent: is_begun.load(Ordering::Relaxed),
                }),
            }
        })
    }
}

impl std::fmt::Debug for LiveTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTransport").finish_non_exhaustive()
    }
}

fn header(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), HttpError> {
    let wrong = || {
        HttpError::Failed(format!(
            "a secret in the header `{name}` has a line break or a control character"
        ))
    };
    if !is_value(value) {
        return Err(wrong());
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_bytes(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Reads an answer up to its maximum size, and redacts it.
async fn read(
    mut answer: reqwest::Response,
    max: usize,
    redactor: &Arc<Redactor>,
) -> Result<HttpResponse, ExchangeError> {
    let too_large = || Err(ExchangeError::sent(HttpError::TooLarge));
    let headers = answer.headers();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > MAX_HEADER_BYTES {
        return too_large();
    }
    let is_encoded = headers
        .get("content-encoding")
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        let reason =
            "the answer is compressed, although the request does not accept that".to_owned();
        return Err(ExchangeError::sent(HttpError::Failed(reason)));
    }
    let shown = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        disarm(&mut bytes);
        redactor.text(String::from_utf8_lossy(&bytes).into_owned())
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (shown(name.as_str().as_bytes()), shown(value.as_bytes())))
        .collect();
    let status = answer.status().as_u16();
    let announced = answer.content_length().unwrap_or(0);
    if usize::try_from(announced).is_ok_and(|size| size > max) {
        return too_large();
    }
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max => return too_large(),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(failed(error, redactor)),
        }
    }
    disarm(&mut body);
    // A large answer takes a while, so not on a thread that drives tasks.
    let redactor = Arc::clone(redactor);
    let searched = tokio::task::spawn_blocking(move || redactor.bytes(body)).await;
    let body = match searched {
        Ok(Ok(body)) => body,
        Ok(Err(reason)) => return Err(ExchangeError::sent(HttpError::Failed(reason.to_string()))),
        Err(error) => return Err(ExchangeError::sent(HttpError::Failed(error.to_string()))),
    };
    Ok(HttpResponse {
        status,
        headers,
        body,
    })
}

fn failed(error: reqwest::Error, redactor: &Redactor) -> ExchangeError {
    let is_sent = !error.is_connect() && !error.is_builder();
    let error = match error.is_timeout() {
        true => HttpError::Timeout,
        // The URL holds secrets, perhaps in a form that the redactor does not know.
        false => HttpError::Failed(redactor.text(causes(&error.without_url()))),
    };
    ExchangeError { error, is_sent }
}

/// Joins an error and its causes, each once.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
