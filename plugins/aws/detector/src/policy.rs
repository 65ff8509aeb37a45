//! IAM policies: statements, principals and the conditions that narrow them.

use std::borrow::Cow;

use yagura_sdk::Json;

use crate::network::{Reach, reach};

/// Returns the statements of a policy document that allow something.
pub(crate) fn allowing(document: &str) -> impl Iterator<Item = Statement<'_>> {
    Json::new(document)
        .get("Statement")
        .into_iter()
        .flat_map(Json::one_or_many)
        .filter(|statement| {
            statement.get("Effect").and_then(Json::string).as_deref() == Some("Allow")
        })
        .map(Statement)
}

/// A statement with the effect `Allow`.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'a>(Json<'a>);

/// Whom a statement lets in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Principal<'a> {
    /// Anyone, with or without an AWS account.
    Everyone,
    /// An account, or a user or role of it.
    Aws(Cow<'a, str>),
    /// An identity provider.
    Federated(Cow<'a, str>),
    /// An AWS service.
    Service,
}

impl<'a> Statement<'a> {
    /// Returns the strings under `key`, which may be one or a list.
    fn strings(self, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
        self.0
            .get(key)
            .into_iter()
            .flat_map(Json::one_or_many)
            .filter_map(Json::string)
    }

    /// Returns the allowed actions.
    pub(crate) fn actions(self) -> impl Iterator<Item = Cow<'a, str>> {
        self.strings("Action")
    }

    /// Says whether everything but some actions is allowed.
    pub(crate) fn has_not_action(self) -> bool {
        self.0.get("NotAction").is_some()
    }

    /// Says whether the statement holds for every resource.
    pub(crate) fn on_every_resource(self) -> bool {
        self.strings("Resource").any(|resource| resource == "*")
            || self.0.get("NotResource").is_some()
    }

    /// Returns the principals. `NotPrincipal` with `Allow` lets in everyone else, so it counts as everyone.
    pub(crate) fn principals(self) -> Vec<Principal<'a>> {
        let mut principals = Vec::new();
        if self.0.get("NotPrincipal").is_some() {
            principals.push(Principal::Everyone);
        }
        let Some(principal) = self.0.get("Principal") else {
            return principals;
        };
        if principal.string().as_deref() == Some("*") {
            principals.push(Principal::Everyone);
        }
        for (kind, who) in principal.members() {
            for name in who.one_or_many().filter_map(Json::string) {
                principals.push(match kind.as_ref() {
                    "AWS" if name == "*" => Principal::Everyone,
                    "AWS" => Principal::Aws(name),
                    "Federated" => Principal::Federated(name),
                    _ => Principal::Service,
                });
            }
        }
        principals
    }

    /// Says whether a condition really narrows who or from where: one of `keys` (lower case) must equal something that
    /// is not a mere wildcard or the whole internet.
    pub(crate) fn is_narrowed_by(self, keys: &[&str]) -> bool {
        let Some(condition) = self.0.get("Condition") else {
            return false;
        };
        condition.members().any(|(operator, tests)| {
            // Negated operators let in all others; the others of these hold when the request lacks the key.
            let operator = operator.to_ascii_lowercase();
            let demands = !operator.contains("not")
                && !operator.starts_with("forallvalues:")
                && !operator.ends_with("ifexists")
                && operator != "null";
            demands
                && tests.members().any(|(key, values)| {
                    keys.contains(&key.to_ascii_lowercase().as_str())
                        && values.one_or_many().all(is_narrow)
                })
        })
    }
}

fn is_narrow(value: Json) -> bool {
    value.text().is_some_and(|value| {
        value
            .bytes()
            .any(|byte| !matches!(byte, b'*' | b'?' | b':'))
            && reach(&value) == Reach::Limited
    })
}

/// Conditions by which AWS itself calls a policy not public.
pub(crate) const NARROWING_KEYS: [&str; 14] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "aws:username",
    "aws:vpcsourceip",
    "s3:dataaccesspointaccount",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(condition: &str) -> bool {
        let document = format!(
            r#"{{"Statement": {{"Effect": "Allow", "Principal": "*", "Condition": {condition}}}}}"#
        );
        allowing(&document).any(|statement| statement.is_narrowed_by(&NARROWING_KEYS))
    }

    #[test]
    fn only_conditions_that_demand_something_narrow() {
        for condition in [
            r#"{"StringEquals": {"aws:PrincipalOrgID": "o-abc123"}}"#,
            r#"{"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "203.0.113.9/32"]}}"#,
            r#"{"Bool": {"aws:SecureTransport": "true"}, "StringLike": {"AWS:SourceVpce": "vpce-*"}}"#,
        ] {
            assert!(narrowed(condition), "{condition}");
        }
        for condition in [
            "{}",
            r#"{"Bool": {"aws:SecureTransport": "true"}}"#,
            r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#,
            r#"{"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "0.0.0.0/1"]}}"#,
            r#"{"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}"#,
            r#"{"StringLike": {"aws:PrincipalArn": "*"}}"#,
            r#"{"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}"#,
            r#"{"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-abc123"}}"#,
            r#"{"Null": {"aws:PrincipalOrgID": "false"}}"#,
        ] {
            assert!(!narrowed(condition), "{condition}");
        }
    }

    #[test]
    fn principals_are_read_in_every_form() {
        let principals = |text: &str| {
            let document = format!(r#"{{"Statement": [{{"Effect": "Allow", {text}}}]}}"#);
            let found = allowing(&document)
                .flat_map(Statement::principals)
                .map(|principal| format!("{principal:?}"))
                .collect::<Vec<_>>();
            found.join(" ")
        };
        assert_eq!(principals(r#""Principal": "*""#), "Everyone");
        assert_eq!(
            principals(r#""Principal": {"AWS": ["1", "*"]}"#),
            "Aws(\"1\") Everyone"
        );
        assert_eq!(
            principals(r#""Principal": {"Service": "ec2.amazonaws.com"}"#),
            "Service"
        );
        assert_eq!(
            principals(r#""Principal": {"Federated": "x"}"#),
            "Federated(\"x\")"
        );
        assert_eq!(principals(r#""NotPrincipal": {"AWS": "1"}"#), "Everyone");
    }
}
