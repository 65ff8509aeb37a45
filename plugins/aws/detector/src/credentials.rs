//! Lasting credentials made for somebody else.

use yagura_sdk::prelude::*;

use crate::actor::Actor;

/// Finds access keys and console passwords that one identity makes for another: the plainest way to stay.
///
/// A human who works through a role may make keys for the user of the same name; what a pack's owner names as
/// provisioners may make them for anyone.
pub(crate) struct CredentialsForOtherUser {
    actor: Actor,
    event_name: Column<Text>,
    user_type: Column<Text>,
    user_arn: Column<Text>,
    session_issuer: Column<Text>,
    target: Column<Text>,
    new_key: Column<Text>,
    provisioners: Vec<String>,
}

impl Detector for CredentialsForOtherUser {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            actor: Actor::open(rule)?,
            event_name: rule.text("event_name")?,
            user_type: rule.text("user_type")?,
            user_arn: rule.text("user_arn")?,
            session_issuer: rule.text("session_issuer_arn")?,
            target: rule.text("request_parameters.userName")?,
            new_key: rule.text("response_elements.accessKey.accessKeyId")?,
            provisioners: rule.config_strings("provisioners")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            // Without a name the call is about the caller's own user.
            let Some(target) = row.get(self.target) else {
                continue;
            };
            if self.is_own(row, target) || self.is_provisioner(row) {
                continue;
            }
            let what = match row.get(self.event_name) {
                Some("CreateLoginProfile") => "a console password",
                Some("UpdateLoginProfile") => "a new console password",
                _ => "an access key",
            };
            let finding = findings
                .row(row)
                .title(format!("{} made {what} for {target}", self.actor.name(row)))
                .observable(Observable::User, target)
                .context("target user", target)
                .context("new access key", row.get(self.new_key));
            if row.get(self.user_type) == Some("Root") {
                finding.severity(Severity::Critical);
            }
        }
        Ok(())
    }
}

impl CredentialsForOtherUser {
    fn is_own(&self, row: Row, target: &str) -> bool {
        let is_target = |name: &str| name.eq_ignore_ascii_case(target);
        match row.get(self.user_type) {
            Some("IAMUser") => self.actor.user(row).is_some_and(is_target),
            // Sessions are often named by mail address.
            _ => self.actor.session(row).is_some_and(|session| {
                is_target(session)
                    || session
                        .split_once('@')
                        .is_some_and(|(name, _)| is_target(name))
            }),
        }
    }

    fn is_provisioner(&self, row: Row) -> bool {
        let arn = row.get(self.session_issuer).or(row.get(self.user_arn));
        arn.is_some_and(|arn| self.provisioners.iter().any(|known| known == arn))
    }
}

#[cfg(test)]
mod tests {
    use crate::recorded::{evaluate_columns, evaluate_columns_with};

    #[test]
    fn ones_own_keys_are_no_finding() {
        let alice = [
            ("user_type", "IAMUser"),
            ("user_name", "alice"),
            ("event_name", "CreateAccessKey"),
        ];
        let with = |target: &[(&'static str, &'static str)]| {
            let columns = [alice.as_slice(), target].concat();
            evaluate_columns("aws-credentials-for-other-user", &columns).len()
        };
        assert_eq!(with(&[]), 0);
        assert_eq!(with(&[("request_parameters.userName", "Alice")]), 0);
        assert_eq!(with(&[("request_parameters.userName", "backup")]), 1);
    }

    #[test]
    fn sessions_and_provisioners_are_recognised() {
        let session = |name: &str, config: &str| {
            let arn = format!("arn:aws:sts::123456789012:assumed-role/ops/{name}");
            let columns = [
                ("user_type", "AssumedRole"),
                ("user_name", "ops"),
                ("user_arn", arn.as_str()),
                ("session_issuer_arn", "arn:aws:iam::123456789012:role/ops"),
                ("request_parameters.userName", "alice"),
            ];
            evaluate_columns_with("aws-credentials-for-other-user", config, &columns).len()
        };
        assert_eq!(session("alice@example.com", "{}"), 0);
        assert_eq!(session("mallory", "{}"), 1);
        let config = r#"{"provisioners": ["arn:aws:iam::123456789012:role/ops"]}"#;
        assert_eq!(session("mallory", config), 0);
    }
}
