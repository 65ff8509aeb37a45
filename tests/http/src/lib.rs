//! An HTTP service for tests: with two secrets, a record of its calls and names that the test resolves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up its servers must fail"
)]

pub mod server;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use yagura_core::capability::{CapabilityRequest, Grant, GrantedAccess};
use yagura_core::pack::World;
use yagura_http::{
    CallLog, CallOutcome, HttpCall, HttpCaller, HttpError, HttpPolicy, HttpRequest, HttpResponse,
    HttpService, LiveTransport, PluginId, Resolve, SecretSource, Secrets, Transport,
};

use crate::server::runtime;

/// The value of the secret `TOKEN`: with characters that every encoding changes.
pub const TOKEN: &str = "tok/en+\"7f&=%é-0123456789";
/// The value of the secret `OTHER`.
pub const OTHER: &str = "another-secret-of-the-operator";

/// Resolves names: each query gets the next list of addresses, and the last list repeats.
#[derive(Debug, Default)]
pub struct Names {
    answers: BTreeMap<String, Vec<Vec<&'static str>>>,
    /// The names that were resolved, in order.
    pub asked: Mutex<Vec<String>>,
}

impl Names {
    /// Makes a resolver that knows one name.
    pub fn new(name: &str, answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self {
            answers: BTreeMap::from([(name.to_owned(), answers)]),
            asked: Mutex::default(),
        })
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.iter().filter(|name| *name == host).count();
        asked.push(host.to_owned());
        let found = self.answers.get(host).map(|answers| {
            let answer = &answers[times.min(answers.len() - 1)];
            answer.iter().map(|text| text.parse().unwrap()).collect()
        });
        Box::pin(async { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Records calls.
#[derive(Debug, Default)]
pub struct Calls(Mutex<Vec<HttpCall>>);

impl Calls {
    /// Returns all calls so far.
    pub fn all(&self) -> Vec<HttpCall> {
        self.0.lock().unwrap().clone()
    }
}

impl CallLog for Calls {
    fn record(&self, call: HttpCall) {
        self.0.lock().unwrap().push(call);
    }
}

/// Returns the secrets `TOKEN` and `OTHER`, each from a command that prints it.
pub fn secrets() -> Arc<Secrets> {
    let source =
        |value: &str| SecretSource::Command(["printf", "%s", value].map(str::to_owned).to_vec());
    Arc::new(Secrets::new(BTreeMap::from([
        ("TOKEN".to_owned(), source(TOKEN)),
        ("OTHER".to_owned(), source(OTHER)),
    ])))
}

/// Returns the network, with these secrets and names.
pub fn live(names: Arc<Names>) -> Arc<LiveTransport> {
    Arc::new(LiveTransport::new(secrets(), names).unwrap())
}

/// A service, the calls that it recorded, and the outcome of the last one.
#[derive(Debug)]
pub struct Rig {
    /// The service.
    pub service: HttpService,
    /// Its calls.
    pub calls: Arc<Calls>,
    /// The outcome of the last call.
    pub outcome: CallOutcome,
}

impl Rig {
    /// Makes a service that sends by a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        let calls = Arc::new(Calls::default());
        let service = HttpService::new(transport, runtime().handle().clone());
        Self {
            service: service.with_log(calls.clone()),
            calls,
            outcome: CallOutcome::default(),
        }
    }

    /// Makes a service that sends over the network.
    pub fn on_loopback() -> Self {
        Self::new(live(Arc::default()))
    }

    /// Sends a request as the only one of a plugin's call, within ten seconds.
    ///
    /// # Errors
    /// [`HttpError`]
    pub fn send(
        &mut self,
        caller: &HttpCaller,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        self.send_within(caller, request, Duration::from_secs(10))
    }

    /// Sends a request as the only one of a plugin's call, within `time`.
    ///
    /// # Errors
    /// [`HttpError`]
    pub fn send_within(
        &mut self,
        caller: &HttpCaller,
        request: HttpRequest,
        time: Duration,
    ) -> Result<HttpResponse, HttpError> {
        self.outcome = CallOutcome::default();
        let deadline = Instant::now() + time;
        self.service
            .send(caller, &mut self.outcome, request, deadline)
    }

    /// Sends a GET request within ten seconds.
    ///
    /// # Errors
    /// [`HttpError`]
    pub fn get(&mut self, caller: &HttpCaller, url: &str) -> Result<HttpResponse, HttpError> {
        self.send(caller, HttpRequest::get(url))
    }

    /// Returns the last recorded call.
    pub fn last_call(&self) -> HttpCall {
        self.calls.all().pop().unwrap()
    }
}

/// Returns a caller that requests every server and secret; `grant` is its grant in TOML.
pub fn caller(grant: &str) -> HttpCaller {
    HttpCaller {
        plugin: PluginId {
            pack: "shop".to_owned(),
            file: "a.wasm".to_owned(),
        },
        access: Arc::new(access(World::Enricher, grant)),
        policy: HttpPolicy::default(),
        subject: Some("alert-1".to_owned()),
    }
}

/// Returns the access of a plugin that requests everything; `grant` is its grant in TOML.
pub fn access(world: World, grant: &str) -> GrantedAccess {
    let everything = || vec!["*".to_owned()];
    let mut request = CapabilityRequest::default();
    if world != World::Reviewer {
        request.http = vec!["http://*".to_owned(), "https://*".to_owned()];
        request.secrets = everything();
    }
    if world == World::Enricher {
        request.search = everything();
    }
    if world != World::Notifier {
        request.lookups = everything();
    }
    let grant: Grant = toml::from_str(grant).unwrap();
    GrantedAccess::new("shop", world, &request, &grant).unwrap()
}

/// Returns a grant for a server on loopback, with the secret `TOKEN`.
pub fn grant(url: &str) -> String {
    format!("http = [\"{url}\"]\nnetworks = [\"127.0.0.1/32\"]\nsecrets.TOKEN = [\"127.0.0.1\"]\n")
}

/// Returns the reason of a refusal.
pub fn denied(result: Result<HttpResponse, HttpError>) -> String {
    match result {
        Err(HttpError::Denied(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Returns the reason of a failure.
pub fn failed(result: Result<HttpResponse, HttpError>) -> String {
    match result {
        Err(HttpError::Failed(reason)) => reason,
        other => panic!("expected a failure, got {other:?}"),
    }
}
