//! GuardDuty switched off, or made blind.

use yagura_sdk::prelude::*;

use crate::actor::Actor;

/// Finds calls after which GuardDuty sees or says less; changes that leave it as sharp as before are left out.
pub(crate) struct GuardDutyWeakened {
    actor: Actor,
    event_name: Column<Text>,
    request: Column<Text>,
}

impl Detector for GuardDutyWeakened {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            event_name: rule.text("event_name")?,
            request: rule.text("request_parameters")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let request = Json::new(row.get(self.request).unwrap_or_default());
            let Some((severity, what)) = row
                .get(self.event_name)
                .and_then(|call| evaluate(call, request))
            else {
                continue;
            };
            findings
                .row(row)
                .severity(severity)
                .title(format!("GuardDuty: {} {what}", self.actor.name(row)))
                .context("detector", request.get("detectorId").and_then(Json::text));
        }
        Ok(())
    }
}

fn evaluate(call: &str, request: Json) -> Option<(Severity, String)> {
    let found = |severity, what: &str| Some((severity, what.to_owned()));
    match call {
        "DeleteDetector" => found(Severity::High, "deleted the detector"),
        "UpdateDetector" if request.get("enable").and_then(Json::bool) == Some(false) => {
            found(Severity::High, "suspended the detector")
        }
        "UpdateDetector" | "UpdateMemberDetectors" | "UpdateOrganizationConfiguration" => {
            let off = switched_off(request);
            (!off.is_empty())
                .then(|| (Severity::Medium, format!("switched off {}", off.join(", "))))
        }
        "DisassociateFromAdministratorAccount" | "DisassociateFromMasterAccount" => {
            found(Severity::High, "left the administrator account")
        }
        "DisassociateMembers" | "DeleteMembers" | "StopMonitoringMembers" => {
            found(Severity::High, "stopped watching member accounts")
        }
        "CreateFilter" | "UpdateFilter" => {
            if request.get("action").and_then(Json::string).as_deref() != Some("ARCHIVE") {
                return None;
            }
            let criterion = request.at("findingCriteria.criterion");
            match criterion.map_or(0, |criterion| criterion.members().count()) {
                0 => found(Severity::High, "archives every finding unseen"),
                _ => found(Severity::Medium, "archives some findings unseen"),
            }
        }
        "CreateIPSet" | "UpdateIPSet"
            if request.get("activate").and_then(Json::bool) == Some(true) =>
        {
            found(
                Severity::Medium,
                "activated a list of addresses that raise no findings",
            )
        }
        "DeletePublishingDestination" => found(Severity::Medium, "stopped the export of findings"),
        _ => None,
    }
}

fn switched_off(request: Json) -> Vec<String> {
    let features = request.get("features").into_iter().flat_map(Json::elements);
    let mut off: Vec<String> = features
        .filter(|feature| {
            feature.get("status").and_then(Json::string).as_deref() == Some("DISABLED")
        })
        .filter_map(|feature| feature.get("name").and_then(Json::text).map(String::from))
        .collect();
    let sources = request
        .get("dataSources")
        .into_iter()
        .flat_map(Json::members);
    off.extend(
        sources
            .filter(|(_, source)| {
                [
                    "enable",
                    "auditLogs.enable",
                    "scanEc2InstanceWithFindings.ebsVolumes",
                ]
                .iter()
                .any(|path| source.at(path).and_then(Json::bool) == Some(false))
            })
            .map(|(name, _)| name.into_owned()),
    );
    off
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severity(call: &str, request: &str) -> Option<Severity> {
        evaluate(call, Json::new(request)).map(|(severity, _)| severity)
    }

    #[test]
    fn only_what_makes_it_blind_counts() {
        assert_eq!(severity("DeleteDetector", "{}"), Some(Severity::High));
        assert_eq!(
            severity("UpdateDetector", r#"{"enable": false}"#),
            Some(Severity::High)
        );
        assert_eq!(severity("UpdateDetector", r#"{"enable": true}"#), None);
        assert_eq!(
            severity(
                "UpdateDetector",
                r#"{"findingPublishingFrequency": "SIX_HOURS"}"#
            ),
            None
        );
        let feature = r#"{"features": [{"name": "S3_DATA_EVENTS", "status": "DISABLED"}]}"#;
        assert_eq!(severity("UpdateDetector", feature), Some(Severity::Medium));
        assert_eq!(
            severity("UpdateDetector", &feature.replace("DISABLED", "ENABLED")),
            None
        );
        let source = r#"{"dataSources": {"kubernetes": {"auditLogs": {"enable": false}}}}"#;
        assert_eq!(
            severity("UpdateMemberDetectors", source),
            Some(Severity::Medium)
        );
    }

    #[test]
    fn filters_count_when_they_archive() {
        let filter = r#"{"action": "ARCHIVE", "findingCriteria": {"criterion": {}}}"#;
        assert_eq!(severity("CreateFilter", filter), Some(Severity::High));
        let some = filter.replace("{}", r#"{"severity": {"lt": 4}}"#);
        assert_eq!(severity("CreateFilter", &some), Some(Severity::Medium));
        assert_eq!(
            severity("CreateFilter", &filter.replace("ARCHIVE", "NOOP")),
            None
        );
        assert_eq!(severity("CreateIPSet", r#"{"activate": false}"#), None);
    }
}
