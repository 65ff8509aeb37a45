//! Enrichers that try to get what they may not, and the bounds of what they answer.
//!
//! The guest is `tests/guests/hostile-enricher`; an alert's title says what it does.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use yagura_core::alert::hex;
use yagura_core::pack::World;
use yagura_core::report::Enriched;
use yagura_host::{CallError, Enricher, EnricherPlugin, LimitKind, LoadError, PluginError};
use yagura_http::HttpCall;

use crate::guests::{alert, grant_capabilities, guest, host, limits};
use yagura_http_testing::server::{Server, answer, answer_with};
use yagura_http_testing::{Calls, OTHER, TOKEN};

fn enricher() -> &'static EnricherPlugin {
    static PLUGIN: OnceLock<EnricherPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let bytes = guest("hostile_enricher");
        host().load_enricher("e.wasm", &bytes, &limits()).unwrap()
    })
}

/// A server that repeats what it gets, in every form.
fn echo_server(other: String) -> Server {
    let remembered = std::sync::Mutex::new(String::new());
    Server::start(move |seen| {
        let token = seen.header("x-token");
        let path = seen.path.split('?').next().unwrap_or_default();
        match path {
            "/plain" => answer(200, "plain"),
            "/encoded" => {
                let percent: String =
                    url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
                let body = [
                    STANDARD.encode(token),
                    URL_SAFE_NO_PAD.encode(format!("x{token}")),
                    hex(token.as_bytes()),
                    percent,
                    serde_json::json!({ "token": token }).to_string(),
                ];
                answer(200, body.join("\n"))
            }
            "/remember" => {
                *remembered.lock().unwrap() = token.to_owned();
                answer(200, "")
            }
            "/remembered" => answer(200, remembered.lock().unwrap().clone()),
            "/to-other" => answer_with(307, "location", &format!("{other}/stolen")),
            _ => {
                let mut answer = answer(
                    403,
                    format!("{} {:?} {}", seen.path, seen.headers, seen.body),
                );
                if let Ok(value) = token.parse() {
                    answer.headers_mut().insert("x-echo", value);
                }
                answer
            }
        }
    })
}

/// The outcome of one behaviour of the enricher.
struct Outcome {
    enriched: Enriched,
    log: String,
    calls: Vec<HttpCall>,
    server: Server,
    other: Server,
}

impl Outcome {
    fn text(&self) -> String {
        let attributes = self.enriched.attributes.iter();
        let lines: Vec<String> = attributes
            .map(|attribute| format!("{}={}", attribute.name, attribute.value))
            .collect();
        lines.join("\n")
    }
}

fn open(behaviour: &str) -> (Enricher, Arc<Calls>, Server, Server) {
    let other = Server::start(|_| answer(200, "other"));
    // A host that may be called and may not have the secret.
    let other_url = other.url().replace("127.0.0.1", "127.0.0.1.nip.example");
    let server = echo_server(other_url.clone());
    let grant = format!(
        "http = [\"{}\", \"{}\", \"{other_url}\", \"http://169.254.169.254\"]\nnetworks = [\"127.0.0.1/32\"]\n\
         secrets.TOKEN = [\"127.0.0.1\"]\nsearch = [\"dns\"]\nlookups = [\"assets\"]",
        server.url(),
        other.url()
    );
    let granted = grant_capabilities(World::Enricher, &grant);
    let config = format!("{} {other_url}", server.url());
    let enricher = enricher()
        .open(&config, &granted.capabilities)
        .unwrap_or_else(|error| panic!("{behaviour}: {error}"));
    (enricher, granted.calls, server, other)
}

/// Runs a behaviour and checks that nothing that leaves the host but to the server holds the secret.
fn enrich(behaviour: &str) -> Outcome {
    let (mut enricher, calls, server, other) = open(behaviour);
    let enriched = enricher.enrich(&alert(behaviour)).unwrap();
    let outcome = Outcome {
        log: format!("{:?}", enricher.last_log()),
        enriched,
        calls: calls.all(),
        server,
        other,
    };
    let all = format!("{:?} {} {:?}", outcome.enriched, outcome.log, outcome.calls);
    let parts = [
        TOKEN.to_owned(),
        "0123456789".to_owned(),
        OTHER.to_owned(),
        STANDARD.encode(TOKEN)[4..12].to_owned(),
        hex(TOKEN.as_bytes())[4..16].to_owned(),
    ];
    for part in parts {
        assert!(!all.contains(&part), "{behaviour} shows {part}: {all}");
    }
    for seen in outcome.other.seen() {
        assert!(
            !format!("{seen:?}").contains("0123456789"),
            "{behaviour}: {seen:?}"
        );
    }
    outcome
}

#[test]
fn every_behaviour_of_the_guests_has_a_test() {
    let tests = concat!(
        include_str!("hostile.rs"),
        include_str!("normalizers.rs"),
        include_str!("responders.rs")
    );
    for guest in [
        include_str!("../../../../tests/guests/hostile-enricher/src/lib.rs"),
        include_str!("../../../../tests/guests/hostile-normalizer/src/lib.rs"),
        include_str!("../../../../tests/guests/hostile-notifier/src/lib.rs"),
        include_str!("../../../../tests/guests/hostile-reviewer/src/lib.rs"),
    ] {
        let (_, list) = guest.split_once("const BEHAVIOURS").unwrap();
        let (list, _) = list.split_once("];").unwrap();
        let behaviours: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert!(!behaviours.is_empty());
        for behaviour in behaviours {
            let quoted = format!("\"{behaviour}\"");
            assert!(tests.contains(&quoted), "no test uses `{behaviour}`");
        }
    }
}

#[test]
fn an_enricher_that_keeps_to_its_grant_works() {
    let outcome = enrich("well-behaved");
    assert!(outcome.text().ends_with("body=plain"), "{}", outcome.text());
    let observable = &outcome.enriched.observables[0];
    assert_eq!(
        (observable.kind.as_str(), observable.value.as_str()),
        ("ip", "192.0.2.1")
    );
    assert_eq!(outcome.calls[0].subject.as_deref(), Some("alert-7"));
    assert_eq!(outcome.calls[0].plugin.to_string(), "shop/e.wasm");
}

#[test]
fn a_secret_cannot_be_read() {
    let outcome = enrich("echo-secret");
    let seen = outcome.server.seen().pop().unwrap();
    assert_eq!((seen.header("x-token"), seen.body.as_str()), (TOKEN, TOKEN));
    assert!(
        outcome.text().contains("x-echo: {{secret:TOKEN}}"),
        "{}",
        outcome.text()
    );
    let text = enrich("echo-encoded").text();
    assert_eq!(text.matches("{{secret:TOKEN}}").count(), 5, "{text}");
    let text = enrich("secret-in-later-call").text();
    assert!(text.contains("body={{secret:TOKEN}}"), "{text}");
}

#[test]
fn a_secret_cannot_be_logged() {
    let outcome = enrich("log-secret");
    assert!(
        outcome.log.contains("x-echo: {{secret:TOKEN}}"),
        "{}",
        outcome.log
    );
    assert_eq!(outcome.calls.len(), 1);
    assert!(outcome.calls[0].url.ends_with("/echo?key={{secret:TOKEN}}"));
}

#[test]
fn a_secret_goes_nowhere_else() {
    let outcome = enrich("redirect-secret");
    assert!(
        outcome
            .text()
            .contains("`TOKEN` may not go to `127.0.0.1.nip.example`"),
        "{}",
        outcome.text()
    );
    assert_eq!(
        (outcome.server.seen().len(), outcome.other.seen().len()),
        (1, 0)
    );
    let outcome = enrich("secret-elsewhere");
    assert!(
        outcome
            .text()
            .contains("`TOKEN` may not go to `127.0.0.1.nip.example`"),
        "{}",
        outcome.text()
    );
    assert!(outcome.other.seen().is_empty());
    let text = enrich("other-secret").text();
    assert!(text.contains("the secret `OTHER` is not granted"), "{text}");
    let text = enrich("secret-in-host").text();
    assert!(text.contains("only in its path and its query"), "{text}");
}

#[test]
fn data_does_not_become_a_secret() {
    let outcome = enrich("placeholder-of-data");
    assert_eq!(
        outcome.server.seen().pop().unwrap().body,
        "{ secret:TOKEN}}"
    );
}

#[test]
fn other_servers_are_refused() {
    let text = enrich("other-server").text();
    assert!(
        text.contains("`https://exfiltration.example` is not granted"),
        "{text}"
    );
    let outcome = enrich("metadata-server");
    assert!(
        outcome.text().contains("169.254.169.254 is link-local"),
        "{}",
        outcome.text()
    );
    assert!(
        outcome.calls[0]
            .error
            .as_ref()
            .unwrap()
            .contains("link-local")
    );
    let outcome = enrich("inject-header");
    assert!(outcome.text().contains("line break"), "{}", outcome.text());
    assert!(outcome.server.seen().is_empty());
}

#[test]
fn an_enricher_that_calls_for_ever_is_stopped() {
    let (mut enricher, calls, server, _other) = open("call-for-ever");
    let start = Instant::now();
    let error = enricher.enrich(&alert("call-for-ever")).unwrap_err();
    assert!(
        matches!(&error, CallError::Limit(limit) if limit.kind == LimitKind::Time),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(6));
    assert_eq!(server.seen().len(), 16);
    assert_eq!(calls.all().len(), 17);
    assert!(enricher.is_poisoned());
    enrich("well-behaved");
}

#[test]
fn too_much_is_garbage() {
    for (behaviour, part) in [
        ("attribute-flood", "it has 100000 attributes"),
        (
            "attribute-huge",
            "the value of an attribute has 1048576 bytes",
        ),
    ] {
        let (mut enricher, ..) = open(behaviour);
        let error = enricher.enrich(&alert(behaviour)).unwrap_err();
        assert!(matches!(&error, CallError::Garbage { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(enricher.is_poisoned());
    }
    let (mut enricher, ..) = open("unknown");
    let error = enricher.enrich(&alert("unknown")).unwrap_err();
    assert!(matches!(error, CallError::Guest(PluginError::Config(_))));
    assert!(!enricher.is_poisoned());
}

#[test]
fn tables_need_a_grant_and_their_text_is_no_placeholder() {
    let text = enrich("search").text();
    let mut lines = text.lines();
    let found = lines.next().unwrap();
    assert!(
        found.contains("dns=Ok(\"1 query shop/e.wasm for Some("),
        "{found}"
    );
    assert!(
        found.contains("alert-7") && found.contains("{ secret:TOKEN}}"),
        "{found}"
    );
    let refused = lines.next().unwrap();
    assert!(
        refused.contains("PluginError::Config") && refused.contains("`dhcp` is not granted"),
        "{refused}"
    );
    assert!(refused.contains("search = ["), "{refused}");

    let text = enrich("lookup").text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("own=Ok(Some("), "{text}");
    assert!(lines[1].starts_with("assets=Ok(Some("), "{text}");
    assert!(
        lines[2].contains("`users` is not granted") && lines[2].contains("lookups = ["),
        "{text}"
    );
}

#[test]
fn a_world_is_loaded_as_what_it_is() {
    let bytes = guest("hostile_enricher");
    let error = host()
        .load_notifier("e.wasm", &bytes, &limits())
        .unwrap_err();
    assert!(matches!(&error, LoadError::WrongWorld { .. }), "{error}");
    let imports = &enricher().info().imports;
    assert!(
        imports.contains(&"yagura:plugin/http@0.1.0".to_owned()),
        "{imports:?}"
    );
}
