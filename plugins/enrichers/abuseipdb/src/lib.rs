//! AbuseIPDB, by version 2 of its API: how often an address was reported for abuse.

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::{Verdict as Known, answer_of, base_url, observables, parse, secret};

yagura_sdk::enricher!(AbuseIpDb);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "key")]
    secret: String,
    #[serde(default = "abuseipdb")]
    base_url: String,
    #[serde(default = "five")]
    limit: usize,
    /// Reports of so many days count, 1 to 365.
    #[serde(default = "thirty")]
    days: u32,
    /// Scores from 0 to 100 from which on an address is held for suspicious, and for malicious.
    #[serde(default = "quarter")]
    suspicious: i64,
    #[serde(default = "three_quarters")]
    malicious: i64,
}

fn key() -> String {
    "abuseipdb_key".to_owned()
}

fn abuseipdb() -> String {
    "https://api.abuseipdb.com".to_owned()
}

fn five() -> usize {
    5
}

fn thirty() -> u32 {
    30
}

fn quarter() -> i64 {
    25
}

fn three_quarters() -> i64 {
    75
}

struct AbuseIpDb {
    settings: Settings,
    key: String,
    url: String,
}

impl Enricher for AbuseIpDb {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if !(1..=365).contains(&settings.days) {
            return Err(PluginError::Config(format!(
                "`days` is {}: AbuseIPDB takes 1 to 365",
                settings.days
            )));
        }
        Ok(Self {
            key: secret(&settings.secret)?,
            url: format!("{}/api/v2/check", base_url(&settings.base_url)?),
            settings,
        })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for (_, ip) in observables(alert, &["ip"], self.settings.limit) {
            let request = http::get(&self.url)
                .query("ipAddress", ip)
                .query("maxAgeInDays", &self.settings.days.to_string())
                .header("Key", &self.key)
                .header("Accept", "application/json");
            let Some(answer) = answer_of(request)? else {
                continue;
            };
            let data = answer.json()?.get("data");
            let score = data.and_then(|data| data.get("abuseConfidenceScore")?.i64());
            let (Some(data), Some(score)) = (data, score) else {
                return Err(PluginError::Retry(format!(
                    "AbuseIPDB answered no score of {ip}"
                )));
            };
            let source = format!("AbuseIPDB: {ip}");
            let is_listed = data.get("isWhitelisted").and_then(Json::bool) == Some(true);
            let verdict = if is_listed {
                Known::Benign
            } else if score >= self.settings.malicious {
                Known::Malicious
            } else if score >= self.settings.suspicious {
                Known::Suspicious
            } else {
                Known::Clean
            };
            found
                .attribute("abuseipdb.verdict", verdict.name(), &source)
                .attribute("abuseipdb.score", score.to_string(), &source);
            let texts = [
                ("abuseipdb.reports", "totalReports"),
                ("abuseipdb.reporters", "numDistinctUsers"),
                ("abuseipdb.last_reported", "lastReportedAt"),
                ("abuseipdb.usage", "usageType"),
                ("abuseipdb.isp", "isp"),
                ("abuseipdb.domain", "domain"),
                ("abuseipdb.country", "countryCode"),
                ("abuseipdb.tor", "isTor"),
            ];
            for (name, key) in texts {
                found.attribute(name, data.get(key).and_then(Json::text), &source);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::blames_the_right_one;
    use yagura_sdk::testing::{Answer, Host, alert, enrich};

    use super::*;

    const CHECK: &str =
        "GET https://api.abuseipdb.com/api/v2/check?ipAddress=8.8.8.8&maxAgeInDays=30";

    fn asked() -> Alert {
        alert()
            .observable(Observable::Ip, "8.8.8.8")
            .observable(Observable::Ip, "192.168.0.9")
            .build()
    }

    #[test]
    fn the_score_makes_the_verdict() {
        for (score, listed, verdict) in [
            (0, "null", "clean"),
            (25, "false", "suspicious"),
            (75, "false", "malicious"),
            (90, "true", "benign"),
        ] {
            let body = format!(
                r#"{{"data":{{"ipAddress":"8.8.8.8","isWhitelisted":{listed},"abuseConfidenceScore":{score},"countryCode":"US",
                "usageType":null,"isp":"Google LLC","totalReports":12,"numDistinctUsers":3,"isTor":false,
                "lastReportedAt":"2026-01-01T00:00:00+00:00"}}}}"#
            );
            let host = Host::new().answers(CHECK, Answer::json(200, body));
            let found = enrich::<AbuseIpDb>("{}", &asked()).unwrap();
            let value = |name: &str| {
                let fact = found.attributes.iter().find(|fact| fact.name == name);
                fact.map(|fact| fact.value.as_str())
            };
            assert_eq!(value("abuseipdb.verdict"), Some(verdict));
            assert_eq!(value("abuseipdb.score"), Some(score.to_string().as_str()));
            assert_eq!(value("abuseipdb.reports"), Some("12"));
            assert_eq!(value("abuseipdb.usage"), None);
            assert_eq!(
                host.requests()[0].header("key"),
                Some("{{secret:abuseipdb_key}}")
            );
        }
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(CHECK, || enrich::<AbuseIpDb>("{}", &asked()));
        let refused = r#"{"errors":[{"detail":"The ip address must be a valid IPv4 or IPv6 address","status":422}]}"#;
        let host = Host::new().answers(CHECK, Answer::json(422, refused));
        assert!(
            enrich::<AbuseIpDb>("{}", &asked())
                .unwrap()
                .attributes
                .is_empty()
        );
        drop(host);
        let _host = Host::new().answers(CHECK, Answer::json(200, r#"{"data":{}}"#));
        assert!(matches!(
            enrich::<AbuseIpDb>("{}", &asked()),
            Err(PluginError::Retry(_))
        ));
        assert!(AbuseIpDb::open(&Config::new(r#"{"days":0}"#)).is_err());
    }
}
