//! Detectors that remember something of each user. The host keeps it, so they have no memory of their own.

use yagura_sdk::prelude::*;
use yagura_sdk::state::{HOUR, MINUTE};

/// Many logins that fail, then one that succeeds.
struct GuessedPassword {
    time: Column<Time>,
    result: Column<Text>,
    failures: i64,
}

impl Detector for GuessedPassword {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            time: rule.time("event_time")?,
            result: rule.text("response_elements.ConsoleLogin")?,
            failures: rule.config_i64("failures", 5)?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        let state = batch.state();
        for row in batch.rows() {
            let Some(at) = row.get(self.time) else {
                continue;
            };
            if row.get(self.result) != Some("Success") {
                // The count is forgotten ten minutes after the last failure, so that each one keeps the others.
                state.increment("failed", 1, at, Some(at + 10 * MINUTE))?;
                continue;
            }
            let failed = state.count("failed", at)?;
            if failed >= self.failures {
                findings.row(row).context("failures", failed.to_string());
            }
            state.remove("failed")?;
        }
        Ok(())
    }
}

/// A second factor that was removed, and after an hour there is no new one.
struct MfaRemoved {
    time: Column<Time>,
    name: Column<Text>,
}

impl Detector for MfaRemoved {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        Ok(Self {
            time: rule.time("event_time")?,
            name: rule.text("event_name")?,
        })
    }

    fn on_batch(&mut self, batch: &Batch, _: &mut Findings) -> Result<(), PluginError> {
        let state = batch.state();
        for row in batch.rows() {
            let Some(at) = row.get(self.time) else {
                continue;
            };
            if row.get(self.name) == Some("DeactivateMFADevice") {
                state.increment("removed", 1, at, None)?;
                state.wake(at + HOUR)?;
            } else {
                state.remove("removed")?;
            }
        }
        Ok(())
    }

    fn on_wake(
        &mut self,
        time: i64,
        state: State,
        findings: &mut Findings,
    ) -> Result<(), PluginError> {
        let removed = state.count("removed", time)?;
        if removed > 0 {
            state.remove("removed")?;
            findings
                .at_watermark()
                .context("removed", removed.to_string());
        }
        Ok(())
    }
}

yagura_sdk::detectors! {
    "guessed-password" => GuessedPassword,
    "mfa-removed" => MfaRemoved,
}
