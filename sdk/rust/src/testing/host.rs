//! A host for unit tests: a script of HTTP answers, lookup tables and events.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::Events;
use crate::bindings::enricher::yagura::plugin::http as raw;
use crate::bindings::enricher::yagura::plugin::search::Events as RawEvents;
use crate::http::HttpError;
use crate::{Observable, PluginError, json};

pub use crate::bindings::enricher::yagura::plugin::http::Signature;
pub use crate::bindings::enricher::yagura::plugin::search::Query;

/// Stands for the host until it is dropped, on the thread of its test.
///
/// HTTP requests must come in the order of [`Host::answers`]. Any other request, and an answer without a request, fails the test.
/// A request without a `Host` fails it too.
#[derive(Default)]
pub struct Host {
    script: Rc<RefCell<Script>>,
}

#[derive(Default)]
struct Script {
    expected: VecDeque<(String, Answer)>,
    requests: Vec<Request>,
    lookups: BTreeMap<String, BTreeMap<String, String>>,
    events: Vec<(String, String, String, Events)>,
    searches: Vec<Query>,
}

thread_local! {
    static SCRIPT: RefCell<Option<Rc<RefCell<Script>>>> = const { RefCell::new(None) };
}

impl Host {
    /// Makes a host without answers.
    ///
    /// # Panics
    /// If this thread already has a host.
    pub fn new() -> Self {
        let host = Self::default();
        SCRIPT.with_borrow_mut(|script| {
            assert!(script.is_none(), "a test has one `Host` at a time");
            *script = Some(Rc::clone(&host.script));
        });
        host
    }

    /// Answers the next request, which must be `METHOD URL`: `GET https://api.example.com/v1/ip?x=1`.
    #[must_use]
    pub fn answers(self, request: &str, answer: Answer) -> Self {
        let mut script = self.script.borrow_mut();
        script.expected.push_back((request.to_owned(), answer));
        drop(script);
        self
    }

    /// Adds a row, as JSON text, to a lookup table, and creates the table if it does not exist.
    #[must_use]
    pub fn lookup(self, table: &str, key: &str, row: &str) -> Self {
        assert!(json::is_valid(row), "a row of `{table}` is no JSON: {row}");
        let mut script = self.script.borrow_mut();
        let rows = script.lookups.entry(table.to_owned()).or_default();
        rows.insert(key.to_owned(), row.to_owned());
        drop(script);
        self
    }

    /// Makes a lookup table without rows.
    #[must_use]
    pub fn empty_lookup(self, table: &str) -> Self {
        let mut script = self.script.borrow_mut();
        script.lookups.entry(table.to_owned()).or_default();
        drop(script);
        self
    }

    /// Lets searches in a table find events by an observable. The events must have the columns of the search. Their times are not
    /// compared with the search: check [`Host::searches`].
    #[must_use]
    pub fn events(self, table: &str, kind: Observable, value: &str, events: &Events) -> Self {
        let entry = (
            table.to_owned(),
            kind.name().to_owned(),
            value.to_owned(),
            events.clone(),
        );
        self.script.borrow_mut().events.push(entry);
        self
    }

    /// Returns the requests that were made, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.script.borrow().requests.clone()
    }

    /// Returns the searches that were made, in order.
    pub fn searches(&self) -> Vec<Query> {
        self.script.borrow().searches.clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        SCRIPT.set(None);
        // A test that fails already says why.
        if !std::thread::panicking() {
            let script = self.script.borrow();
            let left: Vec<&str> = script
                .expected
                .iter()
                .map(|(what, _)| what.as_str())
                .collect();
            assert!(left.is_empty(), "these requests never came: {left:?}");
        }
    }
}

/// The answer to a request, or the error of the host.
#[derive(Debug, Clone)]
pub struct Answer {
    result: Result<raw::Response, HttpError>,
}

impl Answer {
    /// An answer with a body of JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::text(status, body).header("content-type", "application/json")
    }

    /// An answer with any text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            result: Ok(raw::Response {
                status,
                headers: Vec::new(),
                body: body.into().into_bytes(),
            }),
        }
    }

    /// No answer but an error of the host.
    pub fn error(error: HttpError) -> Self {
        Self { result: Err(error) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.result {
            let name = name.to_ascii_lowercase();
            response.headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Request {
    raw: raw::Request,
}

impl Request {
    /// Returns method and URL: `GET https://api.example.com/v1/ip?x=1`.
    pub fn line(&self) -> String {
        format!("{} {}", self.raw.method, self.raw.url)
    }

    /// Returns the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.raw.headers.iter();
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn body_text(&self) -> &str {
        match str::from_utf8(&self.raw.body) {
            Ok(text) => text,
            Err(error) => fail(&format!("the body of {} is no text: {error}", self.line())),
        }
    }

    /// Returns the signature that the host adds to the request.
    pub fn signature(&self) -> Option<&Signature> {
        self.raw.sign.as_ref()
    }
}

#[expect(clippy::panic, reason = "fails the test, and says why")]
fn fail(message: &str) -> ! {
    panic!("{message}")
}

fn script<T>(what: &str, work: impl FnOnce(&mut Script) -> T) -> T {
    SCRIPT.with_borrow(|script| match script {
        Some(script) => work(&mut script.borrow_mut()),
        None => fail(&format!(
            "{what} needs a host: make a `yagura_sdk::testing::Host` first, and keep it"
        )),
    })
}

pub(crate) fn send(request: raw::Request) -> Result<raw::Response, HttpError> {
    let request = Request { raw: request };
    let line = request.line();
    script(&line, |script| {
        script.requests.push(request);
        match script.expected.pop_front() {
            Some((expected, answer)) if expected == line => answer.result,
            Some((expected, _)) => fail(&format!(
                "a request came that the script has not:\n  it has {expected}\n  it got {line}"
            )),
            None => fail(&format!("a request came after the script's end: {line}")),
        }
    })
}

pub(crate) fn lookup(table: &str, key: &str) -> Result<Option<String>, PluginError> {
    script("a lookup", |script| match script.lookups.get(table) {
        Some(rows) => Ok(rows.get(key).cloned()),
        None => Err(PluginError::Config(format!(
            "there is no lookup table `{table}`, or no grant for it"
        ))),
    })
}

pub(crate) fn find(query: Query) -> Result<RawEvents, PluginError> {
    script("a search", |script| {
        script.searches.push(query.clone());
        let mut tables = script
            .events
            .iter()
            .filter(|(table, ..)| *table == query.table);
        if tables.clone().next().is_none() {
            return Err(PluginError::Config(format!(
                "there is no table `{}`, or no grant for it",
                query.table
            )));
        }
        let found = tables.find(|(_, kind, value, _)| {
            (kind, value) == (&query.observable.0, &query.observable.1)
        });
        let none = Events::default();
        let events = found.map_or(&none, |(.., events)| events);
        events.found(&query.columns, query.limit)
    })
}
