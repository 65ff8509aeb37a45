//! PagerDuty, by version 2 of its events: one incident there for one here, by the key that PagerDuty itself goes by. So an
//! attempt may be made again, and nothing has to be searched for.

use serde::Deserialize;
use serde_json::{Value, json};
use yagura_sdk::prelude::*;
use yagura_sdk::time::rfc3339;

use plugin_common::{Receive, base_url, describe, parse, secret, shorten};

yagura_sdk::notifier!(PagerDuty);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Name of the secret with the integration's key.
    #[serde(default = "routing_key")]
    secret: String,
    #[serde(default = "source")]
    source: String,
    #[serde(default = "events")]
    base_url: String,
}

fn routing_key() -> String {
    "pagerduty_routing_key".to_owned()
}

fn source() -> String {
    "yagura".to_owned()
}

fn events() -> String {
    "https://events.pagerduty.com".to_owned()
}

struct PagerDuty {
    routing_key: String,
    source: String,
    url: String,
}

/// PagerDuty takes 1024 characters in a summary, and 512 KB in all.
const SUMMARY: usize = 1024;
const TEXT: usize = 100_000;

impl Notifier for PagerDuty {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        Ok(Self {
            routing_key: secret(&settings.secret)?,
            source: settings.source,
            url: format!("{}/v2/enqueue", base_url(&settings.base_url)?),
        })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        match report.status {
            Status::Open => self.send("trigger", report)?,
            Status::Acknowledged => {
                // To acknowledge says nothing but that: what is new goes before it.
                self.send("trigger", report)?;
                self.send("acknowledge", report)?;
            }
            Status::Closed => self.send("resolve", report)?,
        }
        Ok(report.id.clone())
    }
}

impl PagerDuty {
    fn send(&self, action: &str, report: &Report) -> Result<(), PluginError> {
        let mut event = json!({
            "routing_key": self.routing_key,
            "event_action": action,
            "dedup_key": report.id,
        });
        if action == "trigger" {
            event["payload"] = self.payload(report);
            event["client"] = json!("Yagura");
        }
        let answer = http::post(&self.url).json(event).receive()?.success()?;
        let status = answer.json()?.get("status").and_then(Json::string);
        if status.as_deref() == Some("success") {
            return Ok(());
        }
        Err(PluginError::Retry(format!(
            "PagerDuty answered {}",
            shorten(answer.text(), 200)
        )))
    }

    fn payload(&self, report: &Report) -> Value {
        let severity = match report.severity {
            Severity::Critical => "critical",
            Severity::High => "error",
            Severity::Medium => "warning",
            Severity::Low | Severity::Info => "info",
        };
        let first = report.alerts.iter().map(|alert| alert.first_time).min();
        let rules: Vec<&str> = report
            .alerts
            .iter()
            .map(|alert| alert.rule.as_str())
            .collect();
        let facts: Vec<Value> = report
            .attributes
            .iter()
            .map(|fact| json!({"name": fact.name, "value": fact.value, "source": fact.source}))
            .collect();
        json!({
            "summary": shorten(&report.title, SUMMARY),
            "source": self.source,
            "severity": severity,
            "timestamp": rfc3339(first.unwrap_or(report.time)),
            "class": rules.first(),
            "custom_details": {
                "state": describe(report),
                "report": shorten(&report.text, TEXT),
                "facts": facts,
                "revision": report.revision,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::{Blame, blames_the_right_one};
    use yagura_sdk::testing::{Answer, Host, ReportBuilder, alert, notify, report};

    use super::*;

    const ENQUEUE: &str = "POST https://events.pagerduty.com/v2/enqueue";
    const ACCEPTED: &str =
        r#"{"status":"success","message":"Event processed","dedup_key":"inc-1"}"#;

    fn sent(builder: ReportBuilder, events: usize) -> Vec<Value> {
        let mut host = Host::new();
        for _ in 0..events {
            host = host.answers(ENQUEUE, Answer::json(202, ACCEPTED));
        }
        assert_eq!(
            notify::<PagerDuty>("{}", &builder.build()).unwrap(),
            "inc-1"
        );
        let bodies = host.requests().into_iter();
        bodies
            .map(|request| serde_json::from_str(request.body_text()).unwrap())
            .collect()
    }

    #[test]
    fn the_status_decides_the_action_and_the_id_is_the_key() {
        let opened = sent(
            report()
                .title("Root login")
                .severity(Severity::High)
                .alert(alert()),
            1,
        );
        assert_eq!(opened[0]["event_action"], "trigger");
        assert_eq!(opened[0]["routing_key"], "{{secret:pagerduty_routing_key}}");
        assert_eq!(opened[0]["payload"]["severity"], "error");
        assert_eq!(opened[0]["payload"]["summary"], "Root login");
        assert_eq!(
            opened[0]["payload"]["timestamp"],
            "2026-01-02T03:04:05.000000Z"
        );
        let taken = sent(report().status(Status::Acknowledged).earlier("inc-1"), 2);
        assert_eq!(taken[0]["event_action"], "trigger");
        assert_eq!(taken[1]["event_action"], "acknowledge");
        assert_eq!(taken[1]["payload"], Value::Null);
        let closed = sent(report().status(Status::Closed).earlier("inc-1"), 1);
        assert_eq!(closed[0]["event_action"], "resolve");
        assert!(
            [&opened, &taken, &closed]
                .iter()
                .all(|events| events[0]["dedup_key"] == "inc-1")
        );
        // An attempt that may have worked is simply made again.
        assert_eq!(sent(report().uncertain(), 1)[0]["dedup_key"], "inc-1");
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(ENQUEUE, || notify::<PagerDuty>("{}", &report().build()));
        for (status, body, blame) in [
            (
                400,
                r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key'"]}"#,
                Blame::Data,
            ),
            (202, "{", Blame::Retry),
            (200, "{}", Blame::Retry),
        ] {
            let _host = Host::new().answers(ENQUEUE, Answer::json(status, body));
            let error = notify::<PagerDuty>("{}", &report().build()).unwrap_err();
            assert_eq!(Blame::of(&error), blame, "{error}");
        }
    }
}
