//! The pack's notifier. `cargo test` runs it natively; `yagura build ..` makes a component of it.

use yagura_sdk::prelude::*;

/// Posts reports as JSON.
struct Webhook {
    url: String,
}

impl Notifier for Webhook {
    // `[plugin.config]`: a wrong key or type is an error before the first report.
    fn open(config: &Config) -> Result<Self, PluginError> {
        config.only(&["url"])?;
        Ok(Self {
            url: config.required_text("url")?,
        })
    }

    // The receipt is whatever finds the message again; the next report of the incident brings it in `report.earlier`, so
    // that a service whose messages can be changed gets no second one.
    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let body = format!(
            r#"{{"id": {}, "revision": {}, "title": {}, "severity": "{}", "text": {}}}"#,
            json::quote(&report.id),
            report.revision,
            json::quote(&report.title),
            report.severity.name(),
            json::quote(&report.text),
        );
        // 429 and 500 ask to be called again later, other statuses say that the report will never go.
        http::post(&self.url)
            .json(body)
            .header("Idempotency-Key", report.revision_id())
            .sign("X-Yagura-Signature", "webhook", "sha256=", "")
            .send()?
            .success()?;
        Ok(report.id.clone())
    }
}

yagura_sdk::notifier!(Webhook);

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Answer, Host, notify, report};

    #[test]
    fn a_report_is_posted_and_a_server_that_is_ill_is_asked_again() {
        let place = "POST https://hooks.example.com/yagura";
        let config = r#"{"url": "https://hooks.example.com/yagura"}"#;
        let host = Host::new()
            .answers(place, Answer::text(204, ""))
            .answers(place, Answer::text(503, ""));
        let told = report().id("i1").build();
        assert_eq!(notify::<Webhook>(config, &told).unwrap(), "i1");
        assert_eq!(host.requests()[0].header("idempotency-key"), Some("i1-1"));
        let error = notify::<Webhook>(config, &told).unwrap_err();
        assert!(matches!(error, PluginError::Retry(_)), "{error:?}");
    }
}
