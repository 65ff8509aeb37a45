//! Trails that still run but record less.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;

/// Finds changes to a trail or to its event selectors after which management events are missing, or no longer proven
/// unchanged. Quieter than stopping the trail, and with the same effect.
pub(crate) struct TrailWeakened {
    actor: Actor,
    event_name: Column<Text>,
    request: Column<Text>,
}

/// Sources that are commonly left out for their volume, by AWS's own advice.
const LOUD_SOURCES: [&str; 2] = ["kms.amazonaws.com", "rdsdata.amazonaws.com"];

impl Detector for TrailWeakened {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            event_name: rule.text("event_name")?,
            request: rule.text("request_parameters")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some(request) = row.get(self.request).map(Json::new) else {
                continue;
            };
            let evaluated = match row.get(self.event_name) {
                Some("UpdateTrail") => changed_trail(request),
                _ => changed_selectors(request),
            };
            let Some((severity, what)) = evaluated else {
                continue;
            };
            let trail = ["name", "trailName"]
                .iter()
                .find_map(|key| request.get(key)?.text());
            findings
                .row(row)
                .severity(severity)
                .title(format!(
                    "{} changed trail {}: {what}",
                    self.actor.name(row),
                    trail.as_deref().map_or("without a name", arn::name)
                ))
                .context("trail", trail);
        }
        Ok(())
    }
}

fn changed_trail(request: Json) -> Option<(Severity, &'static str)> {
    let is_off = |key: &str| request.get(key).and_then(Json::bool) == Some(false);
    if is_off("includeGlobalServiceEvents") {
        Some((
            Severity::High,
            "IAM and other global services are no longer recorded",
        ))
    } else if is_off("isMultiRegionTrail") {
        Some((Severity::High, "other regions are no longer recorded"))
    } else if is_off("enableLogFileValidation") {
        Some((Severity::Medium, "log files are no longer proven unchanged"))
    } else {
        None
    }
}

fn changed_selectors(request: Json) -> Option<(Severity, &'static str)> {
    let nothing = (Severity::High, "management events are no longer recorded");
    let less = (
        Severity::Medium,
        "some management events are no longer recorded",
    );
    let plain: Vec<Json> = request
        .get("eventSelectors")
        .into_iter()
        .flat_map(Json::elements)
        .collect();
    let advanced: Vec<Json> = request
        .get("advancedEventSelectors")
        .into_iter()
        .flat_map(Json::elements)
        .collect();
    // 2: records all management events, 1: some, 0: none.
    let best = plain
        .into_iter()
        .map(records_plain)
        .chain(advanced.into_iter().map(records_advanced))
        .max()?;
    match best {
        0 => Some(nothing),
        1 => Some(less),
        _ => None,
    }
}

fn records_plain(selector: Json) -> u8 {
    if selector.get("includeManagementEvents").and_then(Json::bool) == Some(false) {
        return 0;
    }
    let kind = selector.get("readWriteType").and_then(Json::string);
    let excluded = selector
        .get("excludeManagementEventSources")
        .into_iter()
        .flat_map(Json::elements);
    let hides_more = excluded
        .filter_map(Json::string)
        .any(|source| !LOUD_SOURCES.contains(&source.as_ref()));
    if hides_more || kind.is_some_and(|kind| kind != "All") {
        1
    } else {
        2
    }
}

fn records_advanced(selector: Json) -> u8 {
    let fields = || {
        selector
            .get("fieldSelectors")
            .into_iter()
            .flat_map(Json::elements)
    };
    let is_field = |field: Json, name: &str| {
        field.get("field").and_then(Json::string).as_deref() == Some(name)
    };
    let is_management = fields().any(|field| {
        let mut values = field
            .get("equals")
            .into_iter()
            .flat_map(Json::elements)
            .filter_map(Json::string);
        is_field(field, "eventCategory") && values.any(|value| value == "Management")
    });
    if !is_management {
        return 0;
    }
    let hides_more = fields().any(|field| {
        let mut kept_out = field
            .get("notEquals")
            .into_iter()
            .flat_map(Json::elements)
            .filter_map(Json::string);
        let only_loud = field.get("equals").is_none()
            && kept_out.all(|source| LOUD_SOURCES.contains(&source.as_ref()));
        !(is_field(field, "eventCategory") || is_field(field, "eventSource") && only_loud)
    });
    if hides_more { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectors(request: &str) -> Option<Severity> {
        changed_selectors(Json::new(request)).map(|(severity, _)| severity)
    }

    #[test]
    fn changes_of_the_trail_count_when_something_is_switched_off() {
        let changed =
            |request: &str| changed_trail(Json::new(request)).map(|(severity, _)| severity);
        assert_eq!(
            changed(r#"{"name": "t", "includeGlobalServiceEvents": false}"#),
            Some(Severity::High)
        );
        assert_eq!(
            changed(r#"{"name": "t", "isMultiRegionTrail": false}"#),
            Some(Severity::High)
        );
        assert_eq!(
            changed(r#"{"name": "t", "enableLogFileValidation": false}"#),
            Some(Severity::Medium)
        );
        assert_eq!(
            changed(r#"{"name": "t", "isMultiRegionTrail": true}"#),
            None
        );
    }

    #[test]
    fn one_selector_that_records_everything_is_enough() {
        let all = r#"{"readWriteType": "All", "includeManagementEvents": true}"#;
        let writes = r#"{"readWriteType": "WriteOnly", "includeManagementEvents": true}"#;
        let none = r#"{"readWriteType": "All", "includeManagementEvents": false}"#;
        let set =
            |list: &[&str]| selectors(&format!(r#"{{"eventSelectors": [{}]}}"#, list.join(",")));
        assert_eq!(set(&[none, all]), None);
        assert_eq!(set(&[writes]), Some(Severity::Medium));
        assert_eq!(set(&[none]), Some(Severity::High));
        let hiding = all.replace(
            '}',
            r#", "excludeManagementEventSources": ["kms.amazonaws.com"]}"#,
        );
        assert_eq!(set(&[&hiding]), None);
        assert_eq!(
            set(&[&hiding.replace("kms", "iam")]),
            Some(Severity::Medium)
        );
    }

    #[test]
    fn advanced_selectors_are_read_field_by_field() {
        let set = |fields: &str| {
            selectors(&format!(
                r#"{{"advancedEventSelectors": [{{"fieldSelectors": [{fields}]}}]}}"#
            ))
        };
        let management = r#"{"field": "eventCategory", "equals": ["Management"]}"#;
        assert_eq!(set(management), None);
        assert_eq!(
            set(r#"{"field": "eventCategory", "equals": ["Data"]}"#),
            Some(Severity::High)
        );
        assert_eq!(
            set(&format!(
                r#"{management}, {{"field": "readOnly", "equals": ["true"]}}"#
            )),
            Some(Severity::Medium)
        );
        assert_eq!(
            set(&format!(
                r#"{management}, {{"field": "eventSource", "notEquals": ["kms.amazonaws.com"]}}"#
            )),
            None
        );
        assert_eq!(
            set(&format!(
                r#"{management}, {{"field": "eventSource", "notEquals": ["iam.amazonaws.com"]}}"#
            )),
            Some(Severity::Medium)
        );
    }
}
