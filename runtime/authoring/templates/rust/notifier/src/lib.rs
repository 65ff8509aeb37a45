//! The pack's notifier. `cargo test` runs it natively; `yagura build ..` makes a component of it.

use yagura_sdk::prelude::*;

/// Posts reports as JSON. The test in `tests/notifier` holds the body as it is sent.
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

    // The receipt is what finds the message again. The next report of the incident has it in `report.earlier`, so that a
    // notifier can change the message instead of sending a second one.
    fn notify(&mut self, report: &Report) -> Result<String, PluginError> {
        let body = format!(
            r#"{{"id":{},"revision":{},"severity":"{}","text":{},"title":{}}}"#,
            json::quote(&report.id),
            report.revision,
            report.severity.name(),
            json::quote(&report.text),
            json::quote(&report.title),
        );
        // After 429 and 500 the host calls again later; after other statuses it gives the report up.
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
    fn a_report_is_posted_and_sent_again_after_an_error_of_the_server() {
        let request = "POST https://hooks.example.com/yagura";
        let config = r#"{"url": "https://hooks.example.com/yagura"}"#;
        let host = Host::new()
            .answers(request, Answer::text(204, ""))
            .answers(request, Answer::text(503, ""));
        let report = report().id("i1").build();
        assert_eq!(notify::<Webhook>(config, &report).unwrap(), "i1");
        assert_eq!(host.requests()[0].header("idempotency-key"), Some("i1-1"));
        let error = notify::<Webhook>(config, &report).unwrap_err();
        assert!(matches!(error, PluginError::Retry(_)), "{error:?}");
    }
}
