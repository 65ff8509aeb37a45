//! URLhaus, by version 1 of its API: hosts, URLs and files that spread malware.

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::{Verdict as Known, answer_of, base_url, observables, parse, secret};

yagura_sdk::enricher!(UrlHaus);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "key")]
    secret: String,
    #[serde(default = "urlhaus")]
    base_url: String,
    #[serde(default = "five")]
    limit: usize,
}

fn key() -> String {
    "urlhaus_key".to_owned()
}

fn urlhaus() -> String {
    "https://urlhaus-api.abuse.ch".to_owned()
}

fn five() -> usize {
    5
}

struct UrlHaus {
    key: String,
    api: String,
    limit: usize,
}

impl Enricher for UrlHaus {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        Ok(Self {
            key: secret(&settings.secret)?,
            api: format!("{}/v1", base_url(&settings.base_url)?),
            limit: settings.limit,
        })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        for (kind, value) in observables(alert, &["url", "domain", "ip", "hash"], self.limit) {
            self.ask(kind, value, found)?;
        }
        Ok(())
    }
}

impl UrlHaus {
    fn ask(&self, kind: &str, value: &str, found: &mut Enriched) -> Result<(), PluginError> {
        let (path, field) = match (kind, value.len()) {
            ("url", _) => ("url", "url"),
            ("domain" | "ip", _) => ("host", "host"),
            (_, 64) => ("payload", "sha256_hash"),
            (_, 32) => ("payload", "md5_hash"),
            // It knows no other hashes.
            _ => return Ok(()),
        };
        let request = http::post(format!("{}/{path}/", self.api))
            .header("Auth-Key", &self.key)
            .form([(field, value)]);
        let Some(answer) = answer_of(request)? else {
            return Ok(());
        };
        let answer = answer.json()?;
        let status = answer.get("query_status").and_then(Json::string);
        match status.as_deref() {
            Some("ok") => {}
            Some("no_results") => return Ok(()),
            Some(status @ ("unknown_auth_key" | "user_blacklisted")) => {
                return Err(PluginError::Config(format!("URLhaus answered `{status}`")));
            }
            Some(status) if status.starts_with("invalid_") => {
                log::warn(&format!("URLhaus answered `{status}` about {kind} {value}"));
                return Ok(());
            }
            other => {
                let status = other.unwrap_or("nothing");
                return Err(PluginError::Retry(format!(
                    "URLhaus answered `{status}` about {value}"
                )));
            }
        }
        let source = format!("URLhaus: {value}");
        found.attribute("urlhaus.verdict", Known::Malicious.name(), &source);
        // A host has its URLs in a list; a URL is one itself.
        let first = answer.at("urls.0").unwrap_or(answer);
        let texts = [
            ("urlhaus.threat", first.get("threat")),
            ("urlhaus.status", first.get("url_status")),
            ("urlhaus.added", first.get("date_added")),
            ("urlhaus.urls", answer.get("url_count")),
            ("urlhaus.malware", answer.get("signature")),
            ("urlhaus.file_type", answer.get("file_type")),
            ("urlhaus.first_seen", answer.get("firstseen")),
            ("urlhaus.spamhaus", answer.at("blacklists.spamhaus_dbl")),
            ("urlhaus.surbl", answer.at("blacklists.surbl")),
            ("urlhaus.reference", answer.get("urlhaus_reference")),
        ];
        for (name, fact) in texts {
            found.attribute(name, fact.and_then(Json::text), &source);
        }
        let tags = first.get("tags").into_iter().flat_map(Json::elements);
        let tags: Vec<String> = tags
            .filter_map(|tag| tag.string().map(String::from))
            .collect();
        found.attribute("urlhaus.tags", tags.join(", "), &source);
        // What a URL delivered tells which machines it can harm.
        let payload = answer.at("payloads.0");
        for (name, key) in [
            ("urlhaus.file_type", "file_type"),
            ("urlhaus.malware", "signature"),
        ] {
            found.attribute(
                name,
                payload.and_then(|file| file.get(key)?.text()),
                &source,
            );
        }
        let hash = payload.and_then(|file| file.get("response_sha256")?.text());
        found.observable(Observable::Hash, hash);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plugin_common::testing::{Blame, blames_the_right_one};
    use yagura_sdk::testing::{Answer, Host, alert, enrich};

    use super::*;

    const HOST: &str = "POST https://urlhaus-api.abuse.ch/v1/host/";
    const URL: &str = "POST https://urlhaus-api.abuse.ch/v1/url/";
    const PAYLOAD: &str = "POST https://urlhaus-api.abuse.ch/v1/payload/";

    fn asked() -> Alert {
        alert()
            .observable(Observable::Domain, "bad.example")
            .build()
    }

    fn values(found: &Enriched) -> Vec<String> {
        let facts = found.attributes.iter();
        facts
            .map(|fact| format!("{}={}", fact.name, fact.value))
            .collect()
    }

    #[test]
    fn hosts_urls_and_files_are_asked_for_in_their_own_ways() {
        let host_answer = r#"{"query_status":"ok","urlhaus_reference":"https://urlhaus.abuse.ch/host/bad.example/","url_count":"2",
            "blacklists":{"spamhaus_dbl":"not listed","surbl":"listed"},
            "urls":[{"id":"1","url_status":"online","date_added":"2026-01-01 00:00:00 UTC","threat":"malware_download","tags":["elf","mirai"]}]}"#;
        let url_answer = r#"{"query_status":"ok","url_status":"offline","threat":"malware_download","tags":null,
            "payloads":[{"file_type":"exe","signature":"AgentTesla","response_sha256":"ab12"}]}"#;
        let host = Host::new()
            .answers(HOST, Answer::json(200, host_answer))
            .answers(URL, Answer::json(200, url_answer))
            .answers(
                PAYLOAD,
                Answer::json(200, r#"{"query_status":"no_results"}"#),
            );
        let alert = alert()
            .observable(Observable::Domain, "bad.example")
            .observable(Observable::Url, "http://bad.example/a?b=1&c")
            .observable(Observable::Hash, &"a".repeat(64))
            .observable(Observable::Hash, &"b".repeat(40))
            .build();
        let found = enrich::<UrlHaus>("{}", &alert).unwrap();
        assert_eq!(
            values(&found),
            [
                "urlhaus.verdict=malicious",
                "urlhaus.threat=malware_download",
                "urlhaus.status=online",
                "urlhaus.added=2026-01-01 00:00:00 UTC",
                "urlhaus.urls=2",
                "urlhaus.spamhaus=not listed",
                "urlhaus.surbl=listed",
                "urlhaus.reference=https://urlhaus.abuse.ch/host/bad.example/",
                "urlhaus.tags=elf, mirai",
                "urlhaus.verdict=malicious",
                "urlhaus.threat=malware_download",
                "urlhaus.status=offline",
                "urlhaus.file_type=exe",
                "urlhaus.malware=AgentTesla",
            ]
        );
        assert_eq!(found.observables, [("hash".to_owned(), "ab12".to_owned())]);
        let requests = host.requests();
        assert_eq!(
            requests[0].header("auth-key"),
            Some("{{secret:urlhaus_key}}")
        );
        assert_eq!(requests[0].body_text(), "host=bad.example");
        assert_eq!(
            requests[1].body_text(),
            "url=http%3A%2F%2Fbad.example%2Fa%3Fb%3D1%26c"
        );
        assert_eq!(
            requests[2].body_text(),
            format!("sha256_hash={}", "a".repeat(64))
        );
    }

    #[test]
    fn failures_say_who_must_act() {
        blames_the_right_one(HOST, || enrich::<UrlHaus>("{}", &asked()));
        for (body, blame) in [
            (
                r#"{"query_status":"unknown_auth_key"}"#,
                Some(Blame::Config),
            ),
            (r#"{"query_status":"invalid_host"}"#, None),
            ("{}", Some(Blame::Retry)),
            ("oops", Some(Blame::Retry)),
        ] {
            let _host = Host::new().answers(HOST, Answer::json(200, body));
            let outcome = enrich::<UrlHaus>("{}", &asked());
            assert_eq!(
                outcome.err().map(|error| Blame::of(&error)),
                blame,
                "{body}"
            );
        }
    }
}
