//! PagerDuty: version 2 of the events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Seen, Service};

/// A service of PagerDuty's.
#[derive(Debug)]
pub struct PagerDuty {
    routing_key: String,
    /// Incidents by the key that the events give.
    pub incidents: BTreeMap<String, Incident>,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// `triggered`, `acknowledged` or `resolved`.
    pub status: String,
    /// Payloads of the events that triggered it, in order.
    pub payloads: Vec<Value>,
}

impl PagerDuty {
    /// A service whose integration has this key.
    pub fn new(routing_key: &str) -> Self {
        Self {
            routing_key: routing_key.to_owned(),
            incidents: BTreeMap::new(),
        }
    }
}

impl Service for PagerDuty {
    fn answer(&mut self, request: &Seen) -> Reply {
        if request.line() != "POST /v2/enqueue" {
            return Reply::text(404, "");
        }
        let event = request.json();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (key, action) = (text("dedup_key"), text("event_action"));
        let payload = &event["payload"];
        let severities = ["critical", "error", "warning", "info"];
        let has_payload = ["summary", "source", "severity"]
            .iter()
            .all(|name| payload[*name].is_string())
            && severities.contains(&payload["severity"].as_str().unwrap_or_default());
        let known = ["trigger", "acknowledge", "resolve"].contains(&action.as_str());
        if text("routing_key") != self.routing_key
            || !known
            || (action == "trigger" && !has_payload)
        {
            let body = json!({"status": "invalid event", "message": "Event object is invalid", "errors": [action]});
            return Reply::json(400, &body);
        }
        let entry = self.incidents.get_mut(&key);
        match (action.as_str(), entry) {
            ("trigger", Some(incident)) if incident.status != "resolved" => {
                incident.payloads.push(payload.clone());
            }
            ("trigger", _) => {
                let incident = Incident {
                    status: "triggered".to_owned(),
                    payloads: vec![payload.clone()],
                };
                self.incidents.insert(key.clone(), incident);
            }
            ("acknowledge", Some(incident)) if incident.status == "triggered" => {
                "acknowledged".clone_into(&mut incident.status);
            }
            ("resolve", Some(incident)) => "resolved".clone_into(&mut incident.status),
            // Of what there is not, nothing is made.
            _ => {}
        }
        Reply::json(
            202,
            &json!({"status": "success", "message": "Event processed", "dedup_key": key}),
        )
    }
}
