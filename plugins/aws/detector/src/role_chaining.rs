//! Roles assumed from roles.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;
use crate::role_trust::arn_list;

/// Finds a role session that assumes a further role, where that leads to another account or to more power.
///
/// The first hop of a human from single sign-on, services, a role that renews itself and the chains that the pack's owner
/// expects are left out.
pub(crate) struct RoleChaining {
    actor: Actor,
    account: Column<Text>,
    issuer: Column<Text>,
    invoked_by: Column<Text>,
    target: Column<Text>,
    session_name: Column<Text>,
    expected: Vec<(String, String)>,
    privileged: Vec<String>,
    trusted_accounts: Vec<String>,
}

impl Detector for RoleChaining {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        let expected = rule
            .config_strings("expected")?
            .iter()
            .map(|chain| {
                chain
                    .split_once("->")
                    .map(|(from, to)| (from.trim().to_owned(), to.trim().to_owned()))
                    .ok_or_else(|| {
                        PluginError::Config(format!(
                            "`rule.config.expected` holds `{chain}`: write `from-role -> to-role`"
                        ))
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            actor: Actor::open(rule)?,
            account: rule.text("account_id")?,
            issuer: rule.text("session_issuer_arn")?,
            invoked_by: rule.text("invoked_by")?,
            target: rule.text("request_parameters.roleArn")?,
            session_name: rule.text("request_parameters.roleSessionName")?,
            expected,
            privileged: rule.config_strings("privileged")?,
            trusted_accounts: arn_list(rule)?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let (Some(issuer), Some(target)) = (row.get(self.issuer), row.get(self.target)) else {
                continue;
            };
            let is_service =
                row.get(self.invoked_by).is_some() || issuer.contains("/aws-service-role/");
            if is_service || issuer == target {
                continue;
            }
            let (from, to) = (arn::name(issuer), arn::name(target));
            if self
                .expected
                .iter()
                .any(|chain| (chain.0.as_str(), chain.1.as_str()) == (from, to))
            {
                continue;
            }
            let Some((severity, whither)) = self.rate(row, from, target) else {
                continue;
            };
            findings
                .row(row)
                .severity(severity)
                .title(format!(
                    "{} went on to role {to}{whither}",
                    self.actor.name(row)
                ))
                .context("from role", issuer)
                .context("to role", target)
                .context("session name", row.get(self.session_name));
        }
        Ok(())
    }
}

impl RoleChaining {
    fn rate(&self, row: Row, from: &str, target: &str) -> Option<(Severity, String)> {
        let account = arn::account(target)?;
        let is_first_hop = from.starts_with("AWSReservedSSO_");
        let is_own = row.get(self.account) == Some(account);
        let is_known = is_own || self.trusted_accounts.iter().any(|known| known == account);
        let to = arn::name(target).to_ascii_lowercase();
        let is_privileged = self
            .privileged
            .iter()
            .any(|part| to.contains(&part.to_ascii_lowercase()));
        match (is_known, is_privileged) {
            (false, true) => Some((Severity::High, format!(" of account {account}"))),
            (false, false) => Some((Severity::Medium, format!(" of account {account}"))),
            (true, true) if !is_first_hop => Some((Severity::Medium, String::new())),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{evaluate_columns, evaluate_columns_with};

    const OWN: &str = "arn:aws:iam::111111111111:role/";

    fn severity(from: &str, target: &str) -> Option<Severity> {
        let issuer = format!("{OWN}{from}");
        let columns = [
            ("account_id", "111111111111"),
            ("session_issuer_arn", issuer.as_str()),
            ("request_parameters.roleArn", target),
        ];
        let found = evaluate_columns("aws-role-chaining", &columns);
        found.first().and_then(|finding| finding.severity)
    }

    #[test]
    fn where_the_chain_leads_decides() {
        let other = "arn:aws:iam::222222222222:role/";
        assert_eq!(
            severity("web", &format!("{other}reader")),
            Some(Severity::Medium)
        );
        assert_eq!(
            severity("web", &format!("{other}OrganizationAccountAccessRole")),
            Some(Severity::High)
        );
        assert_eq!(
            severity("web", &format!("{OWN}PlatformAdmin")),
            Some(Severity::Medium)
        );
        assert_eq!(severity("web", &format!("{OWN}reader")), None);
        assert_eq!(severity("web", &format!("{OWN}web")), None);
        assert_eq!(
            severity("AWSReservedSSO_Dev_1f", &format!("{OWN}PlatformAdmin")),
            None
        );
        assert_eq!(
            severity(
                "aws-service-role/x.amazonaws.com/AWSServiceRoleForX",
                &format!("{other}admin")
            ),
            None
        );
    }

    #[test]
    fn expected_chains_are_left_out_and_must_be_well_written() {
        let issuer = format!("{OWN}runner");
        let columns = [
            ("account_id", "111111111111"),
            ("session_issuer_arn", issuer.as_str()),
            (
                "request_parameters.roleArn",
                "arn:aws:iam::222222222222:role/deploy",
            ),
        ];
        let count =
            |config: &str| evaluate_columns_with("aws-role-chaining", config, &columns).len();
        assert_eq!(count("{}"), 1);
        assert_eq!(count(r#"{"expected": ["runner -> deploy"]}"#), 0);
        assert_eq!(count(r#"{"expected": ["deploy -> runner"]}"#), 1);
        assert!(std::panic::catch_unwind(|| count(r#"{"expected": ["runner"]}"#)).is_err());
    }
}
