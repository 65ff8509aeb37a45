//! Console logins without a second factor.

use yagura_sdk::prelude::*;

/// The rule `sample-console-login`: typed columns, a finding's own title and severity.
pub(crate) struct ConsoleLogin {
    time: Column<Time>,
    user_type: Column<Text>,
    user_name: Column<Text>,
    mfa: Column<Text>,
}

impl Detector for ConsoleLogin {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            time: rule.time("event_time")?,
            user_type: rule.text("user_type")?,
            user_name: rule.text("user_name")?,
            mfa: rule.text("additional_event_data.MFAUsed")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let mfa = row.get(self.mfa);
            if mfa == Some("Yes") {
                continue;
            }
            let mut finding = findings.row(row);
            if row.get(self.user_type) == Some("Root") {
                let user = row.get(self.user_name).unwrap_or("nobody");
                finding = finding
                    .severity(Severity::Critical)
                    .title(format!("Root login without a second factor by {user}"));
            }
            finding
                .context("time", row.get(self.time).map(|time| time.to_string()))
                .context("mfa", mfa);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Events, evaluate};

    #[test]
    fn root_without_a_second_factor_is_critical() {
        let events = Events::new()
            .time("event_time", [1, 2, 3])
            .text("user_type", ["Root", "IAMUser", "Root"])
            .text("user_name", [None, Some("mallory"), None])
            .text(
                "additional_event_data.MFAUsed",
                [Some("No"), None, Some("Yes")],
            );
        let findings = evaluate::<ConsoleLogin>(&events).unwrap();
        let titles: Vec<_> = findings
            .iter()
            .map(|finding| finding.title.as_deref())
            .collect();
        let root = Some("Root login without a second factor by nobody");
        assert_eq!(titles, [root, None]);
        assert_eq!(findings[0].severity, Some(Severity::Critical));
        assert_eq!(findings[1].context, [("time".into(), "2".into())]);
    }
}
