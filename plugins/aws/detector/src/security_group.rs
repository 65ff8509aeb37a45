//! Security groups opened to the internet.

use std::borrow::Cow;

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::network::{Reach, reach};

/// Finds inbound rules that let in the internet, IPv4 or IPv6, and rates them by the ports they open.
///
/// Reads the three forms of the call: a list of permissions, the older flat form, and a changed rule.
pub(crate) struct SecurityGroupOpened {
    actor: Actor,
    request: Column<Text>,
    public_ports: Vec<i64>,
    sensitive_ports: Vec<i64>,
}

/// What one permission of a request opens.
struct Opening<'a> {
    cidr: Cow<'a, str>,
    protocol: Cow<'a, str>,
    ports: std::ops::RangeInclusive<i64>,
}

impl Detector for SecurityGroupOpened {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        let ports = |key: &str| -> Vec<i64> {
            let list = rule.config().get(key);
            list.into_iter()
                .flat_map(Json::elements)
                .filter_map(Json::i64)
                .collect()
        };
        Ok(Self {
            actor: Actor::open(rule)?,
            request: rule.text("request_parameters")?,
            public_ports: ports("public_ports"),
            sensitive_ports: ports("sensitive_ports"),
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some(request) = row.get(self.request) else {
                continue;
            };
            let request = Json::new(request);
            let worst = openings(request)
                .into_iter()
                .filter_map(|opening| Some((self.rate(&opening)?, opening)))
                .max_by_key(|(severity, _)| rank(*severity));
            let Some((severity, opening)) = worst else {
                continue;
            };
            let group = group(request);
            let ports = describe(&opening);
            findings
                .row(row)
                .severity(severity)
                .title(format!(
                    "{} opened {ports} of security group {group} to {}",
                    self.actor.name(row),
                    opening.cidr
                ))
                .context("security group", group.as_ref())
                .context("ports", ports)
                .context("range", opening.cidr);
        }
        Ok(())
    }
}

impl SecurityGroupOpened {
    /// Returns how severe an opening is, or nothing when it is limited or meant for the public.
    fn rate(&self, opening: &Opening) -> Option<Severity> {
        let reach = reach(&opening.cidr);
        if reach == Reach::Limited {
            return None;
        }
        let ports = &opening.ports;
        let width = ports.end().saturating_sub(*ports.start()).saturating_add(1);
        let names_ports = matches!(opening.protocol.as_ref(), "tcp" | "6" | "udp" | "17");
        if opening.protocol.starts_with("icmp")
            || opening.protocol == "1"
            || opening.protocol == "58"
        {
            return None;
        }
        if !names_ports || width >= 60_000 {
            return Some(Severity::Critical);
        }
        if self.sensitive_ports.iter().any(|port| ports.contains(port)) {
            return Some(Severity::High);
        }
        let public = i64::try_from(
            self.public_ports
                .iter()
                .filter(|port| ports.contains(port))
                .count(),
        );
        match public {
            // Every port of the range is one that the public may reach.
            Ok(public) if public >= width => None,
            _ if width > 100 => Some(Severity::High),
            _ => Some(Severity::Medium),
        }
    }
}

fn openings(request: Json) -> Vec<Opening> {
    let mut all = Vec::new();
    let permissions = request.at("ipPermissions.items");
    for permission in permissions.into_iter().flat_map(Json::elements) {
        let ranges = [
            ("ipRanges.items", "cidrIp"),
            ("ipv6Ranges.items", "cidrIpv6"),
        ];
        for (path, key) in ranges {
            for range in permission.at(path).into_iter().flat_map(Json::elements) {
                let cidr = range.get(key).and_then(Json::string);
                all.extend(
                    cidr.map(|cidr| {
                        opening(permission, cidr, ["ipProtocol", "fromPort", "toPort"])
                    }),
                );
            }
        }
    }
    if let Some(cidr) = request.get("cidrIp").and_then(Json::string) {
        all.push(opening(request, cidr, ["ipProtocol", "fromPort", "toPort"]));
    }
    let changed = request.at("ModifySecurityGroupRulesRequest.SecurityGroupRule");
    for change in changed.into_iter().flat_map(Json::one_or_many) {
        let rule = change.get("SecurityGroupRule").unwrap_or(change);
        for key in ["CidrIpv4", "CidrIpv6"] {
            let cidr = rule.get(key).and_then(Json::string);
            all.extend(cidr.map(|cidr| opening(rule, cidr, ["IpProtocol", "FromPort", "ToPort"])));
        }
    }
    all
}

fn opening<'a>(
    permission: Json<'a>,
    cidr: Cow<'a, str>,
    [protocol, from, to]: [&str; 3],
) -> Opening<'a> {
    let port = |key: &str| permission.get(key).and_then(Json::i64);
    let from = port(from).unwrap_or(0);
    Opening {
        cidr,
        protocol: permission
            .get(protocol)
            .and_then(Json::text)
            .unwrap_or(Cow::Borrowed("-1")),
        ports: from..=port(to).unwrap_or(65_535).max(from),
    }
}

fn group(request: Json<'_>) -> Cow<'_, str> {
    [
        "groupId",
        "groupName",
        "ModifySecurityGroupRulesRequest.GroupId",
    ]
    .iter()
    .find_map(|path| request.at(path)?.text())
    .unwrap_or(Cow::Borrowed("an unnamed group"))
}

fn describe(opening: &Opening) -> String {
    let ports = &opening.ports;
    match opening.protocol.as_ref() {
        "-1" => "every port".to_owned(),
        protocol if ports.start() == ports.end() => format!("{protocol} port {}", ports.start()),
        protocol => format!("{protocol} ports {} to {}", ports.start(), ports.end()),
    }
}

fn rank(severity: Severity) -> u8 {
    severity as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    fn severity(request: &str) -> Option<Severity> {
        let found = evaluate_columns(
            "aws-security-group-opened",
            &[("request_parameters", request)],
        );
        found.first().and_then(|finding| finding.severity)
    }

    fn permission(protocol: &str, ports: &str, range: &str) -> String {
        format!(
            r#"{{"groupId": "sg-1", "ipPermissions": {{"items": [{{"ipProtocol": "{protocol}"{ports}, {range}}}]}}}}"#
        )
    }

    #[test]
    fn ports_and_reach_decide() {
        let world = r#""ipRanges": {"items": [{"cidrIp": "10.1.0.0/16"}, {"cidrIp": "0.0.0.0/0"}]}, "ipv6Ranges": {}"#;
        let world6 = r#""ipRanges": {}, "ipv6Ranges": {"items": [{"cidrIpv6": "::/0"}]}"#;
        let office = r#""ipRanges": {"items": [{"cidrIp": "198.51.100.0/24"}]}"#;
        let ports = |from: u16, to: u16| format!(r#", "fromPort": {from}, "toPort": {to}"#);
        assert_eq!(
            severity(&permission("-1", "", world)),
            Some(Severity::Critical)
        );
        assert_eq!(
            severity(&permission("tcp", &ports(0, 65535), world)),
            Some(Severity::Critical)
        );
        assert_eq!(
            severity(&permission("tcp", &ports(22, 22), world6)),
            Some(Severity::High)
        );
        assert_eq!(
            severity(&permission("tcp", &ports(20, 30), world)),
            Some(Severity::High)
        );
        assert_eq!(severity(&permission("tcp", &ports(443, 443), world)), None);
        assert_eq!(
            severity(&permission("tcp", &ports(443, 445), world)),
            Some(Severity::High)
        );
        assert_eq!(
            severity(&permission("tcp", &ports(8443, 8443), world)),
            Some(Severity::Medium)
        );
        assert_eq!(severity(&permission("tcp", &ports(22, 22), office)), None);
        assert_eq!(severity(&permission("icmp", &ports(8, 0), world)), None);
    }

    #[test]
    fn the_other_forms_of_the_call_are_read_too() {
        let flat = r#"{"groupName": "web", "ipProtocol": "tcp", "fromPort": 3389, "toPort": 3389, "cidrIp": "0.0.0.0/0"}"#;
        assert_eq!(severity(flat), Some(Severity::High));
        let changed = r#"{"ModifySecurityGroupRulesRequest": {"GroupId": "sg-1", "SecurityGroupRule":
            {"SecurityGroupRuleId": "sgr-1", "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv6": "::/0"}}}}"#;
        assert_eq!(severity(changed), Some(Severity::Critical));
        assert_eq!(severity("{"), None);
    }
}
