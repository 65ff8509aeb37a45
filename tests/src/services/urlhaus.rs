//! URLhaus: `host`, `url` and `payload` of version 1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// The service.
#[derive(Debug)]
pub struct UrlHaus {
    key: String,
    /// Answers by what is asked for; others are not known.
    pub known: BTreeMap<String, Value>,
}

impl UrlHaus {
    /// A service that takes this key.
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            known: BTreeMap::new(),
        }
    }

    /// Lets a host serve malware of this type of file, at one URL.
    #[must_use]
    pub fn host(mut self, host: &str, file_type: &str) -> Self {
        let url = format!("http://{host}/payload");
        let of_host = json!({
            "query_status": "ok", "url_count": "1", "blacklists": {"spamhaus_dbl": "not listed", "surbl": "not listed"},
            "urls": [{"url": url, "url_status": "online", "threat": "malware_download", "tags": [file_type]}],
        });
        let of_url = json!({
            "query_status": "ok", "url_status": "online", "threat": "malware_download", "tags": [file_type],
            "payloads": [{"file_type": file_type, "signature": "Example"}],
        });
        self.known.insert(host.to_owned(), of_host);
        self.known.insert(url, of_url);
        self
    }
}

impl Service for UrlHaus {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.header("auth-key") != Some(&self.key) {
            return Reply::json(401, &json!({"error": "Unauthorized"}));
        }
        let fields: &[&str] = match request.line().as_str() {
            "POST /v1/host/" => &["host"],
            "POST /v1/url/" => &["url"],
            "POST /v1/payload/" => &["md5_hash", "sha256_hash"],
            _ => return Reply::text(404, ""),
        };
        let form = request.form();
        let asked = form
            .iter()
            .find(|(name, _)| fields.contains(&name.as_str()));
        let answer = match asked {
            Some((_, value)) => self.known.get(value).cloned(),
            None => return Reply::json(200, &json!({"query_status": "http_post_expected"})),
        };
        Reply::json(
            200,
            &answer.unwrap_or_else(|| json!({"query_status": "no_results"})),
        )
    }
}
