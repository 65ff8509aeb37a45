//! Any webhook: the whole report as JSON, signed where a secret is given.
//!
//! `Idempotency-Key` is the incident's id and the revision, so a receiver that remembers the keys it has seen takes a second
//! attempt for what it is. The signature covers the body; what it says cannot be used for another revision.

use std::collections::BTreeMap;

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::{Receive, parse, secret};

mod body;

yagura_sdk::notifier!(Webhook);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    /// Name of the secret that signs the body.
    secret: Option<String>,
    /// More headers; values may hold placeholders of secrets.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

struct Webhook {
    settings: Settings,
}

impl Notifier for Webhook {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if !settings.url.starts_with("https://") && !settings.url.starts_with("http://") {
            return Err(PluginError::Config(format!(
                "`url` is \"{}\": write a URL like `https://example.com/hook`",
                settings.url
            )));
        }
        if let Some(name) = &settings.secret {
            secret(name)?;
        }
        Ok(Self { settings })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let mut request = http::post(&self.settings.url)
            .header("User-Agent", "yagura")
            .header("Idempotency-Key", report.revision_id());
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        if let Some(secret) = &self.settings.secret {
            request = request.sign("X-Yagura-Signature", secret, "sha256=", "");
        }
        let answer = request.json(body::body(report)).receive()?.success()?;
        // A receiver may name what it has made; the next report brings the name back to it as `earlier`.
        let named = Json::new(answer.text())
            .get("receipt")
            .and_then(Json::string);
        Ok(match (named, &report.earlier) {
            (Some(name), _) if !name.is_empty() => name.into_owned(),
            (_, Some(earlier)) => earlier.clone(),
            _ => report.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::{Blame, blames_the_right_one};
    use serde_json::{Value, json};
    use yagura_sdk::testing::{Answer, Host, alert, notify, report};

    use super::*;

    const CONFIG: &str = r#"{"url": "https://a.example/hook", "secret": "key", "headers": {"X-Api-Key": "{{secret:api}}"}}"#;
    const HOOK: &str = "POST https://a.example/hook";

    #[test]
    fn the_whole_report_is_posted_and_signed() {
        let host = Host::new()
            .answers(HOOK, Answer::text(204, ""))
            .answers(HOOK, Answer::json(200, r#"{"receipt":"T-9"}"#));
        let first = report()
            .alert(
                alert()
                    .observable(Observable::Ip, "192.0.2.1")
                    .context("port", "22")
                    .tag("x"),
            )
            .attribute("geo.country", "JP", "geo")
            .assessment("platform", Severity::Low, Verdict::Benign, "A scanner.")
            .build();
        assert_eq!(notify::<Webhook>(CONFIG, &first).unwrap(), "inc-1");
        assert_eq!(
            notify::<Webhook>(CONFIG, &report().revision(2).earlier("inc-1").build()).unwrap(),
            "T-9"
        );
        let request = &host.requests()[0];
        assert_eq!(request.header("idempotency-key"), Some("inc-1-1"));
        assert_eq!(request.header("x-api-key"), Some("{{secret:api}}"));
        let signature = request.signature().unwrap();
        assert_eq!(
            (
                signature.header.as_str(),
                signature.secret.as_str(),
                signature.prefix.as_str()
            ),
            ("X-Yagura-Signature", "key", "sha256=")
        );
        let body: Value = serde_json::from_str(request.body_text()).unwrap();
        assert_eq!(
            body,
            json!({
                "id": "inc-1", "revision": 1, "status": "open", "title": "An incident", "severity": "medium",
                "text": "What happened.", "time": "2026-01-02T03:04:06.000000Z", "alert_count": 1,
                "alerts": [{
                    "state": "final", "id": "a1", "rule": "test", "title": "An alert", "severity": "medium",
                    "key": "key", "window_start": "2026-01-02T03:04:05.000000Z",
                    "first_time": "2026-01-02T03:04:05.000000Z", "last_time": "2026-01-02T03:04:05.000000Z",
                    "count": 1, "observables": [{"kind": "ip", "value": "192.0.2.1"}],
                    "context": [{"name": "port", "value": "22"}], "tags": ["x"],
                }],
                "attributes": [{"name": "geo.country", "value": "JP", "source": "geo"}],
                "assessments": [{"reviewer": "platform", "severity": "low", "verdict": "benign", "reason": "A scanner."}],
                "earlier": null, "uncertain": false,
            })
        );
        let second: Value = serde_json::from_str(host.requests()[1].body_text()).unwrap();
        assert_eq!(second["earlier"], "inc-1");
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let host = Host::new().answers(HOOK, Answer::text(200, "thanks"));
        notify::<Webhook>(r#"{"url": "https://a.example/hook"}"#, &report().build()).unwrap();
        assert!(host.requests()[0].signature().is_none());
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(HOOK, || notify::<Webhook>(CONFIG, &report().build()));
        let _host = Host::new().answers(HOOK, Answer::text(413, ""));
        let error = notify::<Webhook>(CONFIG, &report().build()).unwrap_err();
        assert_eq!(Blame::of(&error), Blame::Data);
        for wrong in [
            r#"{"url": "a.example"}"#,
            r#"{"url": "https://a.example", "secret": "a b"}"#,
            "{}",
        ] {
            assert!(Webhook::open(&Config::new(wrong)).is_err(), "{wrong}");
        }
    }
}
