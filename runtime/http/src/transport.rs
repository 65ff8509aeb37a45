//! Carries one request to a server and its answer back: over the network, with a recording, or from a recording.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use yagura_core::capability::{Denied, GrantedAccess};

use crate::error::HttpError;
use crate::request::{HttpRequest, HttpResponse};
use crate::template::{Template, UrlTemplate};

/// Carries one request, without following redirects.
pub trait Transport: Send + Sync {
    /// Returns the answer, with placeholders in place of secrets.
    fn exchange<'a>(
        &'a self,
        outgoing: &'a Outgoing,
    ) -> BoxFuture<'a, Result<HttpResponse, ExchangeError>>;
}

/// Why a transport has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ExchangeError {
    /// The error that the plugin receives.
    pub error: HttpError,
    /// True if the request may have reached the server.
    pub is_sent: bool,
}

impl ExchangeError {
    /// An error before anything was sent.
    pub(crate) fn unsent(error: HttpError) -> Self {
        Self {
            error,
            is_sent: false,
        }
    }

    /// An error after something may have been sent.
    pub(crate) fn sent(error: HttpError) -> Self {
        Self {
            error,
            is_sent: true,
        }
    }
}

/// A request whose server and secrets were checked; the addresses of its server were not yet.
#[derive(Debug)]
pub struct Outgoing {
    /// With placeholders, the URL normalised: safe to show.
    pub(crate) request: HttpRequest,
    pub(crate) target: UrlTemplate,
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) body: Template,
    pub(crate) access: Arc<GrantedAccess>,
    pub(crate) max_response: usize,
    pub(crate) deadline: Instant,
}

impl Outgoing {
    /// Checks that a plugin may send a request to a target, with all secrets in it.
    pub(crate) fn check(
        request: &HttpRequest,
        target: UrlTemplate,
        access: &Arc<GrantedAccess>,
        max_response: usize,
        deadline: Instant,
    ) -> Result<Self, HttpError> {
        let denied = |Denied(reason)| HttpError::Denied(reason);
        access
            .server(target.scheme, &target.host, target.port)
            .map_err(denied)?;
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| {
            let value = Template::parse(value.as_bytes(), true)?;
            Ok((name.clone(), value))
        });
        let outgoing = Self {
            headers: headers.collect::<Result<_, HttpError>>()?,
            body: Template::parse(&request.body, false)?,
            request: HttpRequest {
                url: target.display_url.clone(),
                ..request.clone()
            },
            target,
            access: access.clone(),
            max_response,
            deadline,
        };
        for name in outgoing.secrets() {
            access.secret(name, &outgoing.target.host).map_err(denied)?;
        }
        Ok(outgoing)
    }

    /// Returns the request with placeholders, its URL normalised: safe to show.
    pub fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// Returns the names of all its secrets; a name can occur more than once.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.names());
        let sign = self.request.sign.iter().map(|sign| sign.secret.as_str());
        self.target
            .names()
            .chain(headers)
            .chain(self.body.names())
            .chain(sign)
    }
}
