//! VirusTotal, by version 3 of its API: how many engines hold an address, a domain, a file or a URL for bad.

use serde::Deserialize;
use yagura_sdk::prelude::*;
use yagura_sdk::time::rfc3339;

use plugin_common::{Verdict as Known, answer_of, base_url, observables, parse, secret};

yagura_sdk::enricher!(VirusTotal);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "key")]
    secret: String,
    #[serde(default = "virustotal")]
    base_url: String,
    /// Observables that are asked about for one alert.
    #[serde(default = "five")]
    limit: usize,
    #[serde(default = "all")]
    kinds: Vec<String>,
    /// So many engines make a verdict `malicious`; fewer, down to one, `suspicious`.
    #[serde(default = "three")]
    malicious_engines: i64,
}

fn key() -> String {
    "virustotal_key".to_owned()
}

fn virustotal() -> String {
    "https://www.virustotal.com".to_owned()
}

fn five() -> usize {
    5
}

fn three() -> i64 {
    3
}

fn all() -> Vec<String> {
    KINDS.map(str::to_owned).to_vec()
}

const KINDS: [&str; 4] = ["ip", "domain", "hash", "url"];

struct VirusTotal {
    settings: Settings,
    key: String,
    api: String,
}

impl Enricher for VirusTotal {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if let Some(kind) = settings
            .kinds
            .iter()
            .find(|kind| !KINDS.contains(&kind.as_str()))
        {
            return Err(PluginError::Config(format!(
                "`kinds` has `{kind}`, which VirusTotal does not know: it knows `ip`, `domain`, `hash`, `url`"
            )));
        }
        Ok(Self {
            key: secret(&settings.secret)?,
            api: format!("{}/api/v3", base_url(&settings.base_url)?),
            settings,
        })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        let kinds: Vec<&str> = self.settings.kinds.iter().map(String::as_str).collect();
        for (kind, value) in observables(alert, &kinds, self.settings.limit) {
            self.ask(kind, value, found)?;
        }
        Ok(())
    }
}

impl VirusTotal {
    fn ask(&self, kind: &str, value: &str, found: &mut Enriched) -> Result<(), PluginError> {
        let path = match kind {
            "ip" => format!("ip_addresses/{}", http::encode(value)),
            "domain" => format!("domains/{}", http::encode(value)),
            "hash" => format!("files/{}", http::encode(value)),
            // A URL goes by its base64 without padding.
            _ => format!("urls/{}", base64url(value.as_bytes())),
        };
        let request = http::get(format!("{}/{path}", self.api)).header("x-apikey", &self.key);
        let Some(answer) = answer_of(request)? else {
            return Ok(());
        };
        let answer = answer.json()?;
        let source = format!("VirusTotal: {value}");
        let Some(facts) = answer.at("data.attributes") else {
            return Err(PluginError::Retry(format!(
                "VirusTotal answered nothing about {value}"
            )));
        };
        let engines = |name: &str| {
            let count = facts
                .get("last_analysis_stats")
                .and_then(|stats| stats.get(name)?.i64());
            count.unwrap_or_default()
        };
        let bad = engines("malicious");
        let total = bad
            + ["suspicious", "harmless", "undetected"]
                .map(engines)
                .iter()
                .sum::<i64>();
        if total == 0 {
            // Known, and never looked at.
            return Ok(());
        }
        let verdict = if bad >= self.settings.malicious_engines {
            Known::Malicious
        } else if bad + engines("suspicious") > 0 {
            Known::Suspicious
        } else {
            Known::Clean
        };
        found
            .attribute("virustotal.verdict", verdict.name(), &source)
            .attribute("virustotal.engines", format!("{bad} of {total}"), &source);
        let texts = [
            (
                "virustotal.threat",
                "popular_threat_classification.suggested_threat_label",
            ),
            ("virustotal.file_name", "meaningful_name"),
            ("virustotal.file_type", "type_description"),
            ("virustotal.file_tag", "type_tag"),
            ("virustotal.reputation", "reputation"),
            ("virustotal.country", "country"),
            ("virustotal.owner", "as_owner"),
            ("virustotal.registrar", "registrar"),
        ];
        for (name, path) in texts {
            found.attribute(name, facts.at(path).and_then(Json::text), &source);
        }
        let looked = facts.get("last_analysis_date").and_then(Json::i64);
        let looked = looked.map(|seconds| rfc3339(seconds.saturating_mul(1_000_000)));
        found.attribute("virustotal.looked_at", looked, &source);
        Ok(())
    }
}

/// Base64 with the alphabet for URLs, without padding: RFC 4648, section 5.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut bits = 0;
        for place in 0..3 {
            bits = bits << 8 | usize::from(chunk.get(place).copied().unwrap_or_default());
        }
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::blames_the_right_one;
    use yagura_sdk::testing::{Answer, Host, alert, enrich};

    use super::*;

    const IP: &str = "GET https://www.virustotal.com/api/v3/ip_addresses/8.8.8.8";

    fn values(found: &Enriched) -> Vec<String> {
        let facts = found.attributes.iter();
        facts
            .map(|fact| format!("{}={}", fact.name, fact.value))
            .collect()
    }

    fn asked() -> Alert {
        alert().observable(Observable::Ip, "8.8.8.8").build()
    }

    #[test]
    fn engines_are_counted_and_the_verdict_follows() {
        let body = |malicious: u32| {
            format!(
                r#"{{"data":{{"id":"8.8.8.8","type":"ip_address","attributes":{{"reputation":-4,"country":"US","as_owner":"GOOGLE",
                "last_analysis_date":1700000000,
                "last_analysis_stats":{{"malicious":{malicious},"suspicious":0,"undetected":20,"harmless":60,"timeout":9}}}}}}}}"#
            )
        };
        for (malicious, verdict) in [(0, "clean"), (1, "suspicious"), (3, "malicious")] {
            let host = Host::new().answers(IP, Answer::json(200, body(malicious)));
            let found = enrich::<VirusTotal>("{}", &asked()).unwrap();
            let total = 80 + malicious;
            assert_eq!(
                values(&found),
                [
                    format!("virustotal.verdict={verdict}"),
                    format!("virustotal.engines={malicious} of {total}"),
                    "virustotal.reputation=-4".to_owned(),
                    "virustotal.country=US".to_owned(),
                    "virustotal.owner=GOOGLE".to_owned(),
                    "virustotal.looked_at=2023-11-14T22:13:20.000000Z".to_owned(),
                ]
            );
            assert_eq!(found.attributes[0].source, "VirusTotal: 8.8.8.8");
            assert_eq!(
                host.requests()[0].header("x-apikey"),
                Some("{{secret:virustotal_key}}")
            );
        }
    }

    #[test]
    fn each_kind_has_its_path_and_what_is_unknown_is_passed_over() {
        let hash = "44d88612fea8a8f36de82e1278abb02f";
        let known = r#"{"data":{"attributes":{"last_analysis_stats":{"malicious":60,"undetected":3},"type_tag":"peexe",
            "popular_threat_classification":{"suggested_threat_label":"trojan.x"}}}}"#;
        let _host = Host::new()
            .answers(
                "GET https://www.virustotal.com/api/v3/domains/a.example",
                Answer::json(404, "{}"),
            )
            .answers(
                &format!("GET https://www.virustotal.com/api/v3/files/{hash}"),
                Answer::json(200, known),
            )
            .answers(
                "GET https://www.virustotal.com/api/v3/urls/aHR0cDovL2EuZXhhbXBsZS8_eA",
                Answer::json(400, "{}"),
            );
        let alert = alert()
            .observable(Observable::Domain, "a.example")
            .observable(Observable::Hash, hash)
            .observable(Observable::Url, "http://a.example/?x")
            .observable(Observable::Ip, "10.0.0.1")
            .build();
        let found = enrich::<VirusTotal>("{}", &alert).unwrap();
        assert_eq!(
            values(&found),
            [
                "virustotal.verdict=malicious",
                "virustotal.engines=60 of 63",
                "virustotal.threat=trojan.x",
                "virustotal.file_tag=peexe"
            ]
        );
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("??>", "Pz8-"),
        ] {
            assert_eq!(base64url(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(IP, || enrich::<VirusTotal>("{}", &asked()));
        for body in ["{\"data\":", "[]", "<html>"] {
            let _host = Host::new().answers(IP, Answer::json(200, body));
            let error = enrich::<VirusTotal>("{}", &asked()).unwrap_err();
            assert!(matches!(error, PluginError::Retry(_)), "{error}");
        }
        assert!(VirusTotal::open(&Config::new(r#"{"kinds":["user"]}"#)).is_err());
    }
}
