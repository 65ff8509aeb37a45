//! VirusTotal: version 3 of its API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// The service.
#[derive(Debug)]
pub struct VirusTotal {
    key: String,
    /// Attributes by path: `ip_addresses/198.51.100.7`, `domains/…`, `files/…`, `urls/…`.
    pub objects: BTreeMap<String, Value>,
}

impl VirusTotal {
    /// A service that takes this key.
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            objects: BTreeMap::new(),
        }
    }

    /// Lets so many engines of 90 hold an object for malicious.
    #[must_use]
    pub fn detected(mut self, path: &str, malicious: u32) -> Self {
        let stats = json!({
            "malicious": malicious, "suspicious": 0, "harmless": 60, "undetected": 30_u32.saturating_sub(malicious),
            "timeout": 0,
        });
        self.objects.insert(
            path.to_owned(),
            json!({"last_analysis_stats": stats, "last_analysis_date": 1_767_000_000}),
        );
        self
    }
}

impl Service for VirusTotal {
    fn answer(&mut self, request: &Seen) -> Reply {
        let error = |status, code: &str| {
            Reply::json(status, &json!({"error": {"code": code, "message": code}}))
        };
        if request.header("x-apikey") != Some(&self.key) {
            return error(401, "WrongCredentialsError");
        }
        let object = request
            .path
            .strip_prefix("/api/v3/")
            .and_then(|path| self.objects.get_key_value(path));
        match object {
            Some((path, attributes)) => {
                let id = path.rsplit('/').next();
                Reply::json(200, &json!({"data": {"id": id, "attributes": attributes}}))
            }
            None => error(404, "NotFoundError"),
        }
    }
}
