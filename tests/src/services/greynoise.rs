//! GreyNoise: the community API.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Reply, Seen, Service};

/// The service.
#[derive(Debug)]
pub struct GreyNoise {
    key: String,
    /// Classifications of scanners by address: `benign`, `malicious` or `unknown`.
    pub scanners: BTreeMap<String, String>,
}

impl GreyNoise {
    /// A service that takes this key.
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            scanners: BTreeMap::new(),
        }
    }

    /// Lets an address scan the internet.
    #[must_use]
    pub fn scanner(mut self, ip: &str, classification: &str) -> Self {
        self.scanners
            .insert(ip.to_owned(), classification.to_owned());
        self
    }
}

impl Service for GreyNoise {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.header("key") != Some(&self.key) {
            return Reply::json(401, &json!({"message": "Invalid API key"}));
        }
        let Some(ip) = request.path.strip_prefix("/v3/community/") else {
            return Reply::text(404, "");
        };
        match self.scanners.get(ip) {
            Some(classification) => {
                let body = json!({
                    "ip": ip, "noise": true, "riot": false, "classification": classification, "name": "unknown",
                    "link": format!("https://viz.greynoise.io/ip/{ip}"), "last_seen": "2026-01-01", "message": "Success",
                });
                Reply::json(200, &body)
            }
            None => {
                let message =
                    "IP not observed scanning the internet or contained in RIOT data set.";
                Reply::json(
                    404,
                    &json!({"ip": ip, "noise": false, "riot": false, "message": message}),
                )
            }
        }
    }
}
