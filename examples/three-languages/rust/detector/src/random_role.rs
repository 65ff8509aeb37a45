//! Roles with names that nobody thought up.

use yagura_sdk::prelude::*;

/// Names that are shorter say nothing.
const SHORTEST: usize = 8;

/// The rule `sample-random-role`: numbers, truth values, and state in no place.
pub(crate) struct RandomRole {
    name: Column<Text>,
    read_only: Column<Boolean>,
    least: f64,
}

impl Detector for RandomRole {
    fn open(rule: &Rule) -> Result<Self, PluginError> {
        let least = match rule.config().get("digits") {
            None => 0.3,
            Some(share) => share.f64().ok_or_else(|| {
                PluginError::Config("`rule.config.digits` is no number".to_owned())
            })?,
        };
        Ok(Self {
            name: rule.text("request_parameters.roleName")?,
            read_only: rule.boolean("read_only")?,
            least,
        })
    }

    fn on_batch(&mut self, batch: &Batch, findings: &mut Findings) -> Result<(), PluginError> {
        for row in batch.rows() {
            let Some(name) = row.get(self.name) else {
                continue;
            };
            let characters = name.chars().count();
            if characters < SHORTEST {
                continue;
            }
            let digits = name.bytes().filter(u8::is_ascii_digit).count();
            let share = digits as f64 / characters as f64;
            if share < self.least {
                continue;
            }
            let mut finding = findings.row(row);
            if row.get(self.read_only) == Some(true) {
                finding = finding.severity(Severity::Medium);
            }
            finding
                .context("name", name)
                .context("share", format!("{share:.3}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_sdk::testing::{Events, evaluate};

    #[test]
    fn digits_make_a_name_random() {
        let events = Events::new()
            .text(
                "request_parameters.roleName",
                [Some("a1b2c3d4"), Some("deployer"), Some("x1"), None],
            )
            .boolean("read_only", [false; 4]);
        let findings = evaluate::<RandomRole>(&events).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].context[1], ("share".into(), "0.500".into()));
    }
}
