//! Administrator's rights, given by attaching, writing or changing a policy.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;
use crate::policy;

/// Finds policies that make an administrator, and rates higher what a caller gives to itself.
pub(crate) struct AdminPrivilegesGranted {
    actor: Actor,
    managed_policy: Column<Text>,
    document: Column<Text>,
    user: Column<Text>,
    role: Column<Text>,
    group: Column<Text>,
    policy_name: Column<Text>,
    set_as_default: Column<Text>,
}

/// AWS's own policies that allow everything, or to allow oneself everything.
const POWERFUL: [&str; 4] = [
    "AdministratorAccess",
    "IAMFullAccess",
    "PowerUserAccess",
    "AWSOrganizationsFullAccess",
];

/// Each of these on every resource is one call away from everything.
const ESCALATING: [&str; 14] = [
    "iam:*",
    "iam:addusertogroup",
    "iam:attachgrouppolicy",
    "iam:attachrolepolicy",
    "iam:attachuserpolicy",
    "iam:createaccesskey",
    "iam:createloginprofile",
    "iam:createpolicyversion",
    "iam:putgrouppolicy",
    "iam:putrolepolicy",
    "iam:putuserpolicy",
    "iam:setdefaultpolicyversion",
    "iam:updateassumerolepolicy",
    "iam:updateloginprofile",
];

impl Detector for AdminPrivilegesGranted {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            managed_policy: rule.text("request_parameters.policyArn")?,
            document: rule.text("request_parameters.policyDocument")?,
            user: rule.text("request_parameters.userName")?,
            role: rule.text("request_parameters.roleName")?,
            group: rule.text("request_parameters.groupName")?,
            policy_name: rule.text("request_parameters.policyName")?,
            set_as_default: rule.text("request_parameters.setAsDefault")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some((severity, what)) = self.evaluate(row) else {
                continue;
            };
            let user = row.get(self.user);
            let target = user.or(row.get(self.role)).or(row.get(self.group));
            let to_itself = target.is_some() && target == self.actor.user(row);
            let policy = row.get(self.policy_name).or(row.get(self.managed_policy));
            let whom = match (to_itself, target) {
                (true, _) => "itself".to_owned(),
                (false, Some(target)) => target.to_owned(),
                (false, None) => format!("policy {}", policy.map_or("without a name", arn::name)),
            };
            findings
                .row(row)
                .severity(if to_itself {
                    Severity::Critical
                } else {
                    severity
                })
                .title(format!("{} gave {what} to {whom}", self.actor.name(row)))
                .observable(Observable::User, user)
                .context("target", whom)
                .context("policy", policy);
        }
        Ok(())
    }
}

impl AdminPrivilegesGranted {
    fn evaluate(&self, row: Row) -> Option<(Severity, String)> {
        if let Some(document) = row.get(self.document) {
            // A version that is not the default one allows nothing yet.
            if row.get(self.set_as_default) == Some("false") {
                return None;
            }
            return rate(document);
        }
        let name = arn::name(row.get(self.managed_policy)?);
        POWERFUL
            .contains(&name)
            .then(|| (Severity::High, format!("the policy {name}")))
    }
}

fn rate(document: &str) -> Option<(Severity, String)> {
    let mut worst: Option<(Severity, String)> = None;
    for statement in policy::allowing(document).filter(|statement| statement.on_every_resource()) {
        if statement.has_not_action()
            || statement
                .actions()
                .any(|action| matches!(action.as_ref(), "*" | "*:*"))
        {
            return Some((Severity::High, "every right".to_owned()));
        }
        let escalating = statement
            .actions()
            .find(|action| ESCALATING.contains(&action.to_ascii_lowercase().as_str()));
        if let (None, Some(action)) = (&worst, escalating) {
            worst = Some((Severity::Medium, format!("`{action}` on everything")));
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    fn severity(columns: &[(&str, &str)]) -> Option<Severity> {
        let found = evaluate_columns("aws-admin-privileges-granted", columns);
        found.first().and_then(|finding| finding.severity)
    }

    #[test]
    fn attached_policies_are_rated_by_name_and_target() {
        let admin = (
            "request_parameters.policyArn",
            "arn:aws:iam::aws:policy/AdministratorAccess",
        );
        let to = |user: &'static str| ("request_parameters.userName", user);
        assert_eq!(severity(&[admin, to("bob")]), Some(Severity::High));
        assert_eq!(
            severity(&[admin, to("bob"), ("user_name", "bob")]),
            Some(Severity::Critical)
        );
        let read = (
            "request_parameters.policyArn",
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
        );
        assert_eq!(severity(&[read, to("bob")]), None);
    }

    #[test]
    fn documents_are_rated_by_what_they_allow_on_everything() {
        let document = |action: &str, resource: &str| {
            let text = format!(
                r#"{{"Statement": [{{"Effect": "Deny", "Action": "*", "Resource": "*"}},
                {{"Effect": "Allow", {action}, "Resource": {resource}}}]}}"#
            );
            severity(&[("request_parameters.policyDocument", &text)])
        };
        assert_eq!(document(r#""Action": "*""#, r#""*""#), Some(Severity::High));
        assert_eq!(
            document(r#""Action": ["s3:GetObject", "*:*"]"#, r#"["*"]"#),
            Some(Severity::High)
        );
        assert_eq!(
            document(r#""NotAction": "iam:*""#, r#""*""#),
            Some(Severity::High)
        );
        assert_eq!(
            document(r#""Action": ["s3:*", "IAM:PutUserPolicy"]"#, r#""*""#),
            Some(Severity::Medium)
        );
        assert_eq!(document(r#""Action": "s3:*""#, r#""*""#), None);
        assert_eq!(
            document(r#""Action": "*""#, r#""arn:aws:s3:::logs/*""#),
            None
        );
        let version = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
        let asleep = ("request_parameters.setAsDefault", "false");
        assert_eq!(
            severity(&[("request_parameters.policyDocument", version), asleep]),
            None
        );
    }
}
