//! AbuseIPDB: `check` of version 2.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Reply, Seen, Service};

/// The service.
#[derive(Debug)]
pub struct AbuseIpDb {
    key: String,
    /// Scores by address; others have none.
    pub scores: BTreeMap<String, u32>,
}

impl AbuseIpDb {
    /// A service that takes this key.
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            scores: BTreeMap::new(),
        }
    }

    /// Gives an address a score.
    #[must_use]
    pub fn score(mut self, ip: &str, score: u32) -> Self {
        self.scores.insert(ip.to_owned(), score);
        self
    }
}

impl Service for AbuseIpDb {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.line() != "GET /api/v2/check" {
            return Reply::text(404, "");
        }
        if request.header("key") != Some(&self.key) {
            let body = json!({"errors": [{"detail": "Authentication failed.", "status": 401}]});
            return Reply::json(401, &body);
        }
        let ip = request.parameter("ipAddress").unwrap_or_default();
        if ip.parse::<std::net::IpAddr>().is_err() {
            let body = json!({"errors": [{"detail": "The ip address must be a valid IPv4 or IPv6 address.", "status": 422}]});
            return Reply::json(422, &body);
        }
        let score = self.scores.get(ip).copied().unwrap_or_default();
        let body = json!({"data": {
            "ipAddress": ip, "isPublic": true, "isWhitelisted": null, "abuseConfidenceScore": score,
            "countryCode": "NL", "usageType": "Data Center/Web Hosting/Transit", "isp": "Example", "isTor": false,
            "totalReports": score, "numDistinctUsers": score / 2, "lastReportedAt": "2026-01-01T00:00:00+00:00",
        }});
        Reply::json(200, &body)
    }
}
