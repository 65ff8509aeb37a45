//! Ports that are opened to the whole internet.

use yagura_sdk::prelude::*;

/// The rule `sample-open-ingress`: JSON inside a column, and configuration.
pub(crate) struct OpenIngress {
    permissions: Column<Text>,
    group: Column<Text>,
    public_ports: Vec<i64>,
}

impl Detector for OpenIngress {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        let wrong = || PluginError::Config("`rule.config.public_ports` is no list of ports".into());
        let public_ports = match rule.config().get("public_ports") {
            None => Vec::new(),
            Some(list) => list
                .elements()
                .map(|port| port.i64().ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            permissions: rule.text("request_parameters.ipPermissions")?,
            group: rule.text("request_parameters.groupId")?,
            public_ports,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let open = match row.get(self.permissions) {
                Some(text) => self.open_ports(Json::new(text)),
                None => continue,
            };
            if open.is_empty() {
                continue;
            }
            let ports: Vec<String> = open
                .iter()
                .map(|(from, to)| {
                    if from == to {
                        from.to_string()
                    } else {
                        format!("{from}-{to}")
                    }
                })
                .collect();
            let is_remote = |port: i64| open.iter().any(|(from, to)| (*from..=*to).contains(&port));
            let mut finding = findings.row(row);
            if is_remote(22) || is_remote(3389) {
                finding = finding.severity(Severity::Critical);
            }
            finding
                .context("ports", ports.join(", "))
                .context("group", row.get(self.group));
        }
        Ok(())
    }
}

impl OpenIngress {
    /// Returns the ranges of ports that the permissions open to everybody.
    fn open_ports(&self, permissions: Json) -> Vec<(i64, i64)> {
        let mut open = Vec::new();
        for permission in items(Some(permissions)) {
            let port = |name: &str| permission.get(name).and_then(integer);
            let (Some(from), Some(to)) = (port("fromPort"), port("toPort")) else {
                continue;
            };
            let is_open = has(permission.get("ipRanges"), "cidrIp", "0.0.0.0/0")
                || has(permission.get("ipv6Ranges"), "cidrIpv6", "::/0");
            if is_open && !(from == to && self.public_ports.contains(&from)) {
                open.push((from, to));
            }
        }
        open
    }
}

/// Returns a number that is written as one: [`Json::i64`] by itself also reads `"22"`.
fn integer(value: Json<'_>) -> Option<i64> {
    (!value.raw().starts_with('"')).then(|| value.i64())?
}

/// Returns the elements of `{"items": […]}`.
fn items(value: Option<Json<'_>>) -> impl Iterator<Item = Json<'_>> {
    let list = value.and_then(|value| value.get("items"));
    list.filter(|list| list.is_array())
        .into_iter()
        .flat_map(|list| list.elements())
}

fn has(ranges: Option<Json>, key: &str, value: &str) -> bool {
    items(ranges).any(|range| {
        let text = range.get(key).and_then(|text| text.string());
        text.as_deref() == Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Events, evaluate_with};

    #[test]
    fn only_ports_that_are_not_meant_to_be_public_are_found() {
        let one = |from: i64, to: i64, cidr: &str| {
            format!(
                r#"{{"items":[{{"fromPort":{from},"toPort":{to},"ipRanges":{{"items":[{{"cidrIp":"{cidr}"}}]}}}}]}}"#
            )
        };
        let texts = [
            one(22, 22, "0.0.0.0/0"),
            one(443, 443, "0.0.0.0/0"),
            one(1000, 2000, "0.0.0.0/0"),
            one(22, 22, "10.0.0.0/8"),
            "no json".to_owned(),
        ];
        let events = Events::new()
            .text(
                "request_parameters.ipPermissions",
                texts.iter().map(String::as_str),
            )
            .text("request_parameters.groupId", ["sg-1"; 5]);
        let config = r#"{"public_ports":[80,443]}"#;
        let findings = evaluate_with::<OpenIngress>(config, &events).unwrap();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.rows[0], finding.context[0].1.as_str()))
            .collect();
        assert_eq!(found, [(0, "22"), (2, "1000-2000")]);
        assert_eq!(findings[0].severity, Some(Severity::Critical));
        assert_eq!(findings[1].severity, None);
    }
}
