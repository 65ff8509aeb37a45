//! Cases of a policy: alerts through a triage in memory, and what became of each.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use yagura_alerts::policy::{CompiledPolicy, PolicyTest};
use yagura_alerts::triage::rehearse;

use super::evaluate::Outcome;

/// Runs the cases of a policy, in order. `dir` is the folder of its file. A case that cannot run has failed.
pub(crate) async fn run(
    tests: &[PolicyTest],
    policy: &CompiledPolicy,
    dir: &Path,
) -> Result<Vec<Outcome>> {
    let policy = Arc::new(policy.clone());
    let mut outcomes = Vec::new();
    for test in tests {
        let messages = match rehearse(Arc::clone(&policy), test, dir).await {
            Ok(messages) => messages,
            Err(error) => vec![format!("{:#}", anyhow::Error::from(error))],
        };
        outcomes.push(Outcome {
            rule: "policy".to_owned(),
            name: test.name.clone(),
            passed: messages.is_empty(),
            message: messages.join("\n"),
            wrong_rule: false,
            fuel_per_event: None,
            updated: None,
        });
    }
    Ok(outcomes)
}
