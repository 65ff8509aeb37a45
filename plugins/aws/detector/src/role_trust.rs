//! Roles that let in somebody from outside.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;
use crate::policy::{self, NARROWING_KEYS, Principal, Statement};

/// Finds trust policies that let in everyone, an unknown account, or every workload of an identity provider.
pub(crate) struct RoleTrustOpened {
    actor: Actor,
    account: Column<Text>,
    role: Column<Text>,
    new_role_policy: Column<Text>,
    changed_policy: Column<Text>,
    trusted_accounts: Vec<String>,
}

/// With one of these, a stranger also needs to know something, or to belong somewhere.
const EXTERNAL_ID: &str = "sts:externalid";

impl Detector for RoleTrustOpened {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            account: rule.text("recipient_account_id")?,
            role: rule.text("request_parameters.roleName")?,
            new_role_policy: rule.text("request_parameters.assumeRolePolicyDocument")?,
            changed_policy: rule.text("request_parameters.policyDocument")?,
            trusted_accounts: arn_list(rule)?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let document = row
                .get(self.changed_policy)
                .or(row.get(self.new_role_policy));
            let own = row.get(self.account).unwrap_or_default();
            let worst = document
                .into_iter()
                .flat_map(policy::allowing)
                .flat_map(|statement| {
                    statement
                        .principals()
                        .into_iter()
                        .map(move |who| (statement, who))
                })
                .filter_map(|(statement, who)| self.rate(own, statement, &who))
                .max_by_key(|(severity, _)| *severity as u8);
            let Some((severity, whom)) = worst else {
                continue;
            };
            let role = row.get(self.role).unwrap_or("an unnamed role");
            findings
                .row(row)
                .severity(severity)
                .title(format!(
                    "{} let {whom} assume role {role}",
                    self.actor.name(row)
                ))
                .context("role", role)
                .context("let in", whom);
        }
        Ok(())
    }
}

impl RoleTrustOpened {
    fn rate(&self, own: &str, statement: Statement, who: &Principal) -> Option<(Severity, String)> {
        match who {
            Principal::Everyone if statement.is_narrowed_by(&NARROWING_KEYS) => None,
            Principal::Everyone => Some((Severity::Critical, "everyone".to_owned())),
            Principal::Aws(principal) => {
                let account = arn::account(principal)?;
                if account == own || self.trusted_accounts.iter().any(|known| known == account) {
                    return None;
                }
                let severity = match statement.is_narrowed_by(&[EXTERNAL_ID]) {
                    true => Severity::Medium,
                    false => Severity::High,
                };
                Some((severity, format!("account {account}")))
            }
            // A provider that serves the whole world vouches for anyone until `sub` names whom.
            Principal::Federated(provider) => {
                let provider = provider
                    .rsplit_once("oidc-provider/")
                    .map_or(provider.as_ref(), |(_, name)| name);
                let subject = format!("{}:sub", provider.to_ascii_lowercase());
                let shared = [
                    "token.actions.githubusercontent.com",
                    "gitlab.com",
                    "app.terraform.io",
                ];
                (shared.contains(&provider) && !statement.is_narrowed_by(&[subject.as_str()]))
                    .then(|| (Severity::Critical, format!("every workload of {provider}")))
            }
            Principal::Service => None,
        }
    }
}

/// Returns the accounts that the pack's owner knows, from `[plugin.config]`.
pub(crate) fn arn_list(rule: &Rule) -> Result<Vec<String>, PluginError> {
    let Some(list) = rule.plugin_config().get("trusted_accounts") else {
        return Ok(Vec::new());
    };
    list.elements()
        .map(|account| {
            let text = account.text().unwrap_or_default();
            arn::account(&text).map(str::to_owned).ok_or_else(|| {
                PluginError::Config(format!(
                    "`plugin.config.trusted_accounts` holds {}: write account numbers of twelve digits, as strings",
                    account.raw()
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    fn severity(statement: &str) -> Option<Severity> {
        let document = format!(
            r#"{{"Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole", {statement}}}]}}"#
        );
        let columns = [
            ("recipient_account_id", "111111111111"),
            ("request_parameters.policyDocument", document.as_str()),
        ];
        let found = evaluate_columns("aws-role-trust-opened", &columns);
        found.first().and_then(|finding| finding.severity)
    }

    #[test]
    fn strangers_are_told_from_the_accounts_own() {
        assert_eq!(
            severity(r#""Principal": {"AWS": "*"}"#),
            Some(Severity::Critical)
        );
        assert_eq!(
            severity(r#""Principal": {"AWS": "arn:aws:iam::999999999999:root"}"#),
            Some(Severity::High)
        );
        assert_eq!(
            severity(
                r#""Principal": {"AWS": "999999999999"}, "Condition": {"StringEquals": {"sts:ExternalId": "x1"}}"#
            ),
            Some(Severity::Medium)
        );
        assert_eq!(
            severity(r#""Principal": {"AWS": ["arn:aws:iam::111111111111:role/a"]}"#),
            None
        );
        assert_eq!(
            severity(r#""Principal": {"Service": "ec2.amazonaws.com"}"#),
            None
        );
        assert_eq!(
            severity(
                r#""Principal": {"AWS": "*"}, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}"#
            ),
            None
        );
    }

    #[test]
    fn a_shared_provider_needs_a_subject() {
        let provider = r#""Principal": {"Federated": "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"}"#;
        let condition = |key: &str, value: &str| {
            format!(
                r#"{provider}, "Condition": {{"StringLike": {{"token.actions.githubusercontent.com:{key}": "{value}"}}}}"#
            )
        };
        assert_eq!(severity(provider), Some(Severity::Critical));
        assert_eq!(
            severity(&condition("aud", "sts.amazonaws.com")),
            Some(Severity::Critical)
        );
        assert_eq!(severity(&condition("sub", "*")), Some(Severity::Critical));
        assert_eq!(
            severity(&condition("sub", "repo:acme/site:ref:refs/heads/main")),
            None
        );
        assert_eq!(
            severity(r#""Principal": {"Federated": "cognito-identity.amazonaws.com"}"#),
            None
        );
    }
}
