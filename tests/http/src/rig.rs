//! Services of a host for tests.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use yagura_core::capability::{Access, CapabilityRequest, Grant};
use yagura_core::pack::World;
use yagura_host::http::{
    CallLog, CallOutcome, HttpCall, HttpCaller, HttpError, HttpPolicy, HttpRequest, HttpResponse,
    HttpService, Live, PluginId, Resolve, SecretSource, Secrets, Transport,
};

use crate::server::runtime;

/// The value of the secrets `TOKEN` and `OTHER`: with characters that every encoding changes.
pub(crate) const TOKEN: &str = "tok/en+\"7f&=%é-0123456789";
pub(crate) const OTHER: &str = "another-secret-of-the-operator";

/// Addresses of names, a list for each time that it is asked for, the last again and again.
#[derive(Default)]
pub(crate) struct Names {
    answers: BTreeMap<String, Vec<Vec<&'static str>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn new(name: &str, answers: &[&[&'static str]]) -> Arc<Self> {
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

/// Keeps calls.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Vec<HttpCall>>);

impl Calls {
    pub(crate) fn all(&self) -> Vec<HttpCall> {
        self.0.lock().unwrap().clone()
    }
}

impl CallLog for Calls {
    fn record(&self, call: HttpCall) {
        self.0.lock().unwrap().push(call);
    }
}

/// Returns the secrets, each from a command that prints it.
pub(crate) fn secrets() -> Arc<Secrets> {
    let source =
        |value: &str| SecretSource::Command(["printf", "%s", value].map(str::to_owned).to_vec());
    Arc::new(Secrets::new(BTreeMap::from([
        ("TOKEN".to_owned(), source(TOKEN)),
        ("OTHER".to_owned(), source(OTHER)),
    ])))
}

pub(crate) fn live(names: Arc<Names>) -> Arc<Live> {
    Arc::new(Live::new(secrets(), names).unwrap())
}

/// A service, and what it recorded.
pub(crate) struct Rig {
    pub(crate) service: HttpService,
    pub(crate) calls: Arc<Calls>,
    pub(crate) outcome: CallOutcome,
}

impl Rig {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        let calls = Arc::new(Calls::default());
        let service = HttpService::new(transport, runtime().handle().clone());
        Self {
            service: service.with_log(calls.clone()),
            calls,
            outcome: CallOutcome::default(),
        }
    }

    pub(crate) fn on_loopback() -> Self {
        Self::new(live(Arc::default()))
    }

    /// Sends a request as a plugin's call of its own, with ten seconds to live.
    pub(crate) fn send(
        &mut self,
        caller: &HttpCaller,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        self.send_within(caller, request, Duration::from_secs(10))
    }

    pub(crate) fn send_within(
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

    pub(crate) fn get(
        &mut self,
        caller: &HttpCaller,
        url: &str,
    ) -> Result<HttpResponse, HttpError> {
        self.send(caller, HttpRequest::get(url))
    }

    pub(crate) fn last_call(&self) -> HttpCall {
        self.calls.all().pop().unwrap()
    }
}

/// Returns a caller that wants every server and secret and is granted what the TOML text says.
pub(crate) fn caller(grant: &str) -> HttpCaller {
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

pub(crate) fn access(world: World, grant: &str) -> Access {
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
    Access::new("shop", world, &request, &grant).unwrap()
}

/// Returns a grant for a server on loopback, with the secret `TOKEN`.
pub(crate) fn grant(url: &str) -> String {
    format!("http = [\"{url}\"]\nnetworks = [\"127.0.0.1/32\"]\nsecrets.TOKEN = [\"127.0.0.1\"]\n")
}

pub(crate) fn denied(result: Result<HttpResponse, HttpError>) -> String {
    match result {
        Err(HttpError::Denied(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(crate) fn failed(result: Result<HttpResponse, HttpError>) -> String {
    match result {
        Err(HttpError::Failed(reason)) => reason,
        other => panic!("expected a failure, got {other:?}"),
    }
}
