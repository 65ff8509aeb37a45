//! Microsoft Teams, by the webhook of a workflow: a card for each report that says something new.
//!
//! A card cannot be changed by who posted it, so updates are told only where they matter: at first, when the severity changes,
//! when the incident is final, and when somebody takes it up or it is closed. The receipt holds what was told last. There is no
//! way to see what was posted either: an attempt without an answer is made again.

use serde::Deserialize;
use serde_json::{Value, json};
use yagura_sdk::prelude::*;
use yagura_sdk::time::rfc3339;

use plugin_common::{Receive, describe, markers, parse, shorten};

yagura_sdk::notifier!(Teams);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
}

struct Teams {
    url: String,
}

/// Teams takes messages of 28 KB.
const TEXT: usize = 12_000;

impl Notifier for Teams {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if !settings.url.starts_with("https://") && !settings.url.starts_with("http://") {
            return Err(PluginError::Config(
                "`url` is no URL: write that of the workflow's webhook, with `{{secret:NAME}}` in place of its signature".to_owned(),
            ));
        }
        Ok(Self { url: settings.url })
    }

    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let now = told(report);
        if report.earlier.as_deref() == Some(now.as_str()) {
            return Ok(now);
        }
        let answer = http::post(&self.url)
            .json(message(report))
            .receive()?
            .success()?;
        // The older webhooks answer 200 to everything, and say in words what went wrong behind them.
        let text = answer.text();
        if text.contains("HTTP error 429") || text.contains("delivery failed") {
            return Err(PluginError::Retry(format!(
                "Teams answered {}",
                shorten(text, 200)
            )));
        }
        Ok(now)
    }
}

/// What readers would want to hear of when it changes.
fn told(report: &Report) -> String {
    let markers = markers(report);
    format!("{} {} {}", markers.severity, markers.status, markers.state)
}

fn message(report: &Report) -> Value {
    let color = match report.severity {
        Severity::Critical | Severity::High => "Attention",
        Severity::Medium => "Warning",
        Severity::Low | Severity::Info => "Default",
    };
    // Text runs are not read as Markdown: what comes from logs makes no links.
    let run = |text: &str| json!({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]});
    let title = json!({
        "type": "RichTextBlock",
        "inlines": [{
            "type": "TextRun",
            "text": shorten(&report.title, 500),
            "size": "Large",
            "weight": "Bolder",
            "color": color,
        }],
    });
    let mut body = vec![title, run(&describe(report))];
    let text = shorten(&report.text, TEXT);
    body.extend(
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .take(100)
            .map(run),
    );
    body.push(run(&format!(
        "{} · revision {} · {}",
        report.id,
        report.revision,
        rfc3339(report.time)
    )));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "msteams": {"width": "Full"},
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::blames_the_right_one;
    use yagura_sdk::testing::{Answer, Host, alert, notify, report};

    use super::*;

    const CONFIG: &str = r#"{"url": "https://flow.example.com/hook?sig={{secret:teams}}"}"#;
    const HOOK: &str = "POST https://flow.example.com/hook?sig={{secret:teams}}";

    #[test]
    fn a_card_is_posted_where_something_changes() {
        let host = Host::new()
            .answers(HOOK, Answer::text(202, ""))
            .answers(HOOK, Answer::text(202, ""));
        let provisional = || alert().state(AlertState::Provisional);
        let first = notify::<Teams>(
            CONFIG,
            &report().title("Root login").alert(provisional()).build(),
        )
        .unwrap();
        assert_eq!(first, "medium open provisional");
        // More facts, nothing new otherwise: no card.
        let same = report()
            .revision(2)
            .text("more")
            .alert(provisional())
            .earlier(&first)
            .build();
        assert_eq!(notify::<Teams>(CONFIG, &same).unwrap(), first);
        assert_eq!(host.requests().len(), 1);
        let update = report().revision(3).alert(alert()).earlier(&first).build();
        assert_eq!(
            notify::<Teams>(CONFIG, &update).unwrap(),
            "medium open final"
        );
        let card: Value = serde_json::from_str(host.requests()[0].body_text()).unwrap();
        let content = &card["attachments"][0]["content"];
        assert_eq!(content["type"], "AdaptiveCard");
        assert_eq!(content["body"][0]["inlines"][0]["text"], "Root login");
    }

    #[test]
    fn severity_and_status_are_told_too() {
        for builder in [
            report().severity(Severity::High),
            report().status(Status::Closed),
        ] {
            let _host = Host::new().answers(HOOK, Answer::text(202, ""));
            notify::<Teams>(CONFIG, &builder.earlier("medium open ").build()).unwrap();
        }
    }

    #[test]
    fn cards_keep_the_size_that_teams_takes() {
        let host = Host::new().answers(HOOK, Answer::text(200, "1"));
        let long = report()
            .title(&"t".repeat(5000))
            .text(&"line \"x\"\n".repeat(100_000))
            .build();
        notify::<Teams>(CONFIG, &long).unwrap();
        let size = host.requests()[0].body_text().len();
        assert!(size < 28_000, "{size}");
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(HOOK, || notify::<Teams>(CONFIG, &report().build()));
        let text = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429";
        let _host = Host::new().answers(HOOK, Answer::text(200, text));
        let error = notify::<Teams>(CONFIG, &report().build()).unwrap_err();
        assert!(matches!(error, PluginError::Retry(_)), "{error}");
        assert!(Teams::open(&Config::new(r#"{"url": "flow"}"#)).is_err());
    }
}
