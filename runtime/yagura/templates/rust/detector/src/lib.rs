//! The code behind the pack's rules. `cargo test` runs it natively; `yagura test ..` as a component on recorded logs.

use yagura_sdk::prelude::*;

/// Finds logins of the root user.
struct RootLogin {
    user_type: Column<Text>,
    mfa: Column<Text>,
}

impl Detector for RootLogin {
    // Columns are looked up once: a wrong name or type is an error before the first event.
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            user_type: rule.text("user_type")?,
            mfa: rule.text("additional_event_data.MFAUsed")?,
        })
    }

    // A batch holds any number of events that passed the rule's `where`: evaluate rows, never batches.
    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            if row.get(self.user_type) != Some("Root") {
                continue;
            }
            // A finding counts as it is, with the rule's title and severity; what is said here replaces them.
            let finding = findings.row(row);
            if row.get(self.mfa) != Some("Yes") {
                finding
                    .severity(Severity::Critical)
                    .title("Root login without a second factor");
            }
        }
        Ok(())
    }
}

// Rule id to detector, a line each.
yagura_sdk::detectors! {
    "root-login" => RootLogin,
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Events, evaluate};

    #[test]
    fn only_root_is_found() {
        let events = Events::new()
            .text("user_type", ["Root", "IAMUser"])
            .text("additional_event_data.MFAUsed", [None, Some("No")]);
        let findings = evaluate::<RootLogin>(&events).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].rows, [0]);
    }
}
