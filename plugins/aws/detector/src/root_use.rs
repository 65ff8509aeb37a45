//! Use of an account's root user.

use yagura_sdk::prelude::*;

/// Finds what a human, or a key, does as root, and rates it by what it does.
///
/// Services act under the root identity too, for instance when they renew certificates: they name themselves.
pub(crate) struct RootUse {
    event_name: Column<Text>,
    event_type: Column<Text>,
    invoked_by: Column<Text>,
    source_ip: Column<Text>,
    error_code: Column<Text>,
    login_result: Column<Text>,
    account: Column<Text>,
    read_only: Column<Boolean>,
}

/// Calls that give root away, or make it impossible to take it back.
const SEVERE: [&str; 9] = [
    "CloseAccount",
    "CreateAccessKey",
    "CreateLoginProfile",
    "DeactivateMFADevice",
    "DeleteVirtualMFADevice",
    "LeaveOrganization",
    "PasswordRecoveryCompleted",
    "PasswordUpdated",
    "UpdateAccountEmailAddress",
];

impl Detector for RootUse {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            event_name: rule.text("event_name")?,
            event_type: rule.text("event_type")?,
            invoked_by: rule.text("invoked_by")?,
            source_ip: rule.text("source_ip")?,
            error_code: rule.text("error_code")?,
            login_result: rule.text("response_elements.ConsoleLogin")?,
            account: rule.text("recipient_account_id")?,
            read_only: rule.boolean("read_only")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            if self.is_service(row) {
                continue;
            }
            let call = row.get(self.event_name).unwrap_or("an unnamed call");
            let account = row.get(self.account).unwrap_or("an unknown account");
            let failed =
                row.get(self.error_code).is_some() || row.get(self.login_result) == Some("Failure");
            let severity = if failed {
                Severity::Medium
            } else if SEVERE.contains(&call) {
                Severity::Critical
            } else if row.get(self.read_only) == Some(true) {
                Severity::Medium
            } else {
                Severity::High
            };
            let verb = if failed { "tried" } else { "did" };
            findings
                .row(row)
                .severity(severity)
                .title(format!("Root of account {account} {verb} {call}"))
                .context("error", row.get(self.error_code));
        }
        Ok(())
    }
}

impl RootUse {
    fn is_service(&self, row: Row) -> bool {
        row.get(self.event_type) == Some("AwsServiceEvent")
            || row.get(self.invoked_by).is_some()
            || row.get(self.source_ip).is_some_and(|source| {
                source == "AWS Internal" || source.ends_with(".amazonaws.com")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::evaluate_columns;

    #[test]
    fn severity_follows_what_root_does_and_services_are_left_out() {
        let severity = |columns: &[(&str, &str)]| {
            let found = evaluate_columns("aws-root-use", columns);
            found.first().and_then(|finding| finding.severity)
        };
        assert_eq!(
            severity(&[("event_name", "CreateAccessKey")]),
            Some(Severity::Critical)
        );
        assert_eq!(
            severity(&[("event_name", "RunInstances"), ("read_only", "false")]),
            Some(Severity::High)
        );
        assert_eq!(
            severity(&[("event_name", "ListBuckets"), ("read_only", "true")]),
            Some(Severity::Medium)
        );
        assert_eq!(
            severity(&[
                ("event_name", "CreateAccessKey"),
                ("error_code", "AccessDenied")
            ]),
            Some(Severity::Medium)
        );
        assert_eq!(severity(&[("event_type", "AwsServiceEvent")]), None);
        assert_eq!(severity(&[("invoked_by", "acm.amazonaws.com")]), None);
        assert_eq!(severity(&[("source_ip", "backup.amazonaws.com")]), None);
    }
}
