//! GreyNoise, by its community API: whether an address scans the whole internet, or belongs to a common business service.

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::{Verdict as Known, answer_of, base_url, observables, parse, secret};

yagura_sdk::enricher!(GreyNoise);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "key")]
    secret: String,
    #[serde(default = "greynoise")]
    base_url: String,
    #[serde(default = "five")]
    limit: usize,
}

fn key() -> String {
    "greynoise_key".to_owned()
}

fn greynoise() -> String {
    "https://api.greynoise.io".to_owned()
}

fn five() -> usize {
    5
}

struct GreyNoise {
    key: String,
    api: String,
    limit: usize,
}

impl Enricher for GreyNoise {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        Ok(Self {
            key: secret(&settings.secret)?,
            api: format!("{}/v3/community", base_url(&settings.base_url)?),
            limit: settings.limit,
        })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for (_, ip) in observables(alert, &["ip"], self.limit) {
            let request =
                http::get(format!("{}/{}", self.api, http::encode(ip))).header("key", &self.key);
            // 404: never seen scanning, which is what most addresses are.
            let Some(answer) = answer_of(request)? else {
                continue;
            };
            let answer = answer.json()?;
            let is = |name: &str| answer.get(name).and_then(Json::bool);
            let (Some(noise), Some(riot)) = (is("noise"), is("riot")) else {
                return Err(PluginError::Retry(format!(
                    "GreyNoise answered nothing about {ip}"
                )));
            };
            let source = format!("GreyNoise: {ip}");
            let classification = answer.get("classification").and_then(Json::string);
            let verdict = match classification.as_deref() {
                Some("malicious") => Some(Known::Malicious),
                Some("suspicious") => Some(Known::Suspicious),
                Some("benign") => Some(Known::Benign),
                _ if riot => Some(Known::Benign),
                _ => None,
            };
            found
                .attribute(
                    "greynoise.verdict",
                    verdict.map(|verdict| verdict.name().to_owned()),
                    &source,
                )
                .attribute("greynoise.scanner", noise.to_string(), &source)
                .attribute("greynoise.business_service", riot.to_string(), &source)
                .attribute(
                    "greynoise.last_seen",
                    answer.get("last_seen").and_then(Json::text),
                    &source,
                );
            let name = answer
                .get("name")
                .and_then(Json::text)
                .filter(|name| name != "unknown");
            found.attribute("greynoise.name", name, &source);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::blames_the_right_one;
    use yagura_sdk::testing::{Answer, Host, alert, enrich};

    use super::*;

    const ASK: &str = "GET https://api.greynoise.io/v3/community/8.8.8.8";

    fn asked() -> Alert {
        alert().observable(Observable::Ip, "8.8.8.8").build()
    }

    #[test]
    fn classifications_become_verdicts() {
        for (noise, riot, classification, verdict) in [
            (true, false, "malicious", Some("malicious")),
            (true, false, "benign", Some("benign")),
            (false, true, "unknown", Some("benign")),
            (true, false, "unknown", None),
        ] {
            let body = format!(
                r#"{{"ip":"8.8.8.8","noise":{noise},"riot":{riot},"classification":"{classification}","name":"unknown",
                "link":"https://viz.greynoise.io/ip/8.8.8.8","last_seen":"2026-01-01","message":"Success"}}"#
            );
            let _host = Host::new().answers(ASK, Answer::json(200, body));
            let found = enrich::<GreyNoise>("{}", &asked()).unwrap();
            let value = |name: &str| {
                let fact = found.attributes.iter().find(|fact| fact.name == name);
                fact.map(|fact| fact.value.as_str())
            };
            assert_eq!(value("greynoise.verdict"), verdict);
            assert_eq!(
                value("greynoise.scanner"),
                Some(if noise { "true" } else { "false" })
            );
            assert_eq!(value("greynoise.name"), None);
        }
    }

    #[test]
    fn what_was_never_seen_has_no_facts() {
        let body = r#"{"ip":"8.8.8.8","noise":false,"riot":false,"message":"IP not observed scanning the internet or contained in RIOT data set."}"#;
        let _host = Host::new().answers(ASK, Answer::json(404, body));
        assert!(
            enrich::<GreyNoise>("{}", &asked())
                .unwrap()
                .attributes
                .is_empty()
        );
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(ASK, || enrich::<GreyNoise>("{}", &asked()));
        let _host = Host::new().answers(ASK, Answer::json(200, r#"{"noise":tru"#));
        assert!(matches!(
            enrich::<GreyNoise>("{}", &asked()),
            Err(PluginError::Retry(_))
        ));
    }
}
