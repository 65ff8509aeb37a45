//! Console logins without a second factor.

use yagura_sdk::prelude::*;

use crate::actor::Actor;
use crate::arn;

/// Finds console logins that neither AWS nor an identity provider asked for a second factor.
///
/// AWS writes `MFAUsed: No` for every federated login, because the identity provider asks, not AWS: those are left out.
/// A login from a role session without a provider is a console link made from stolen or leaked temporary credentials, or
/// a tool that makes such links, and is named as that.
pub(crate) struct ConsoleLoginWithoutMfa {
    actor: Actor,
    user_type: Column<Text>,
    session_issuer: Column<Text>,
    mfa_authenticated: Column<Text>,
    mfa_used: Column<Text>,
    saml_provider: Column<Text>,
    federated_roles: Vec<String>,
}

impl Detector for ConsoleLoginWithoutMfa {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            user_type: rule.text("user_type")?,
            session_issuer: rule.text("session_issuer_arn")?,
            mfa_authenticated: rule.text("mfa_authenticated")?,
            mfa_used: rule.text("additional_event_data.MFAUsed")?,
            saml_provider: rule.text("additional_event_data.SamlProviderArn")?,
            federated_roles: rule.config_strings("federated_roles")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let asked = row.get(self.mfa_used) == Some("Yes")
                || row.get(self.mfa_authenticated) == Some("true");
            if asked || row.get(self.saml_provider).is_some() {
                continue;
            }
            let name = self.actor.name(row);
            match row.get(self.user_type) {
                Some("Root") => findings
                    .row(row)
                    .severity(Severity::Critical)
                    .title("Root logged in to the console without MFA"),
                Some("IAMUser") => findings
                    .row(row)
                    .title(format!("{name} logged in to the console without MFA")),
                Some("AssumedRole") if !self.is_federated(row) => findings
                    .row(row)
                    .severity(Severity::Medium)
                    .title(format!(
                        "Console session from temporary credentials of {name}"
                    ))
                    .context(
                        "why",
                        "a role session without identity provider opened the console",
                    ),
                // Identity Center and federated users: their provider asks.
                _ => continue,
            };
        }
        Ok(())
    }
}

impl ConsoleLoginWithoutMfa {
    fn is_federated(&self, row: Row) -> bool {
        row.get(self.session_issuer)
            .map(arn::name)
            .is_some_and(|role| {
                self.federated_roles
                    .iter()
                    .any(|prefix| role.starts_with(prefix.as_str()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    #[test]
    fn a_second_factor_counts_wherever_it_was_asked() {
        let login = |columns: &[(&str, &str)]| {
            let found = evaluate_columns("aws-console-login-without-mfa", columns);
            found.first().map(|finding| finding.severity)
        };
        let role = "arn:aws:iam::123456789012:role/ops";
        let reserved =
            "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1f";
        assert_eq!(
            login(&[
                ("user_type", "IAMUser"),
                ("additional_event_data.MFAUsed", "No")
            ]),
            Some(None)
        );
        assert_eq!(login(&[("user_type", "IAMUser")]), Some(None));
        assert_eq!(
            login(&[("user_type", "Root")]),
            Some(Some(Severity::Critical))
        );
        assert_eq!(
            login(&[("user_type", "AssumedRole"), ("session_issuer_arn", role)]),
            Some(Some(Severity::Medium))
        );
        assert_eq!(
            login(&[
                ("user_type", "IAMUser"),
                ("additional_event_data.MFAUsed", "Yes")
            ]),
            None
        );
        assert_eq!(
            login(&[("user_type", "Root"), ("mfa_authenticated", "true")]),
            None
        );
        assert_eq!(
            login(&[
                ("user_type", "AssumedRole"),
                ("session_issuer_arn", reserved)
            ]),
            None
        );
        assert_eq!(
            login(&[
                ("user_type", "AssumedRole"),
                (
                    "additional_event_data.SamlProviderArn",
                    "arn:aws:iam::1:saml-provider/x"
                )
            ]),
            None
        );
        assert_eq!(login(&[("user_type", "FederatedUser")]), None);
    }
}
