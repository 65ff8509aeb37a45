//! Cases of a policy, run through a triage in memory.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use yagura_core::Timestamp;

use super::{Triage, TriageError};
use crate::clock::Clock;
use crate::policy::testing::{self, AlertResult, TestError};
use crate::policy::{CompiledPolicy, PolicyTest};
use crate::store::rows::{IncidentKind, Outcome};
use crate::store::{AlertStore, IncidentFilter, StoreLocation};

/// Why a case cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// Its alerts cannot be read.
    #[error(transparent)]
    Test(#[from] TestError),
    /// The triage.
    #[error(transparent)]
    Triage(#[from] TriageError),
}

/// Runs a case of a policy through a triage in memory, and returns how what became of the alerts differs from what was
/// expected, a message each. `dir` is the folder of the policy's file.
///
/// # Errors
/// [`RehearseError`]: the case cannot be run.
pub async fn rehearse(
    policy: Arc<CompiledPolicy>,
    test: &PolicyTest,
    dir: &Path,
) -> Result<Vec<String>, RehearseError> {
    let lines = testing::lines(test, dir)?;
    let clock = Clock::new(Timestamp::default);
    let store = AlertStore::open(&StoreLocation::Memory, clock)
        .await
        .map_err(TriageError::from)?;
    let triage = Triage::open(&store, policy, &[]).await?;
    triage.take(&lines).await?;
    let mut seen = BTreeSet::new();
    let mut became = Vec::new();
    for line in &lines {
        if !seen.insert(&line.alert.id) {
            continue;
        }
        let record = store
            .alert(&line.alert.id)
            .await
            .map_err(TriageError::from)?;
        let Some(record) = record else { continue };
        let outcome = match record.alert.outcome {
            Outcome::Reported => testing::TestOutcome::Reported,
            Outcome::Suppressed => testing::TestOutcome::Suppressed,
            Outcome::Maintenance => testing::TestOutcome::Maintenance,
            Outcome::Staged => testing::TestOutcome::Staged,
            Outcome::Inhibited => testing::TestOutcome::Inhibited,
            // Recorded lines that begin in the middle: there was nothing to decide.
            Outcome::Unseen => continue,
        };
        became.push(AlertResult {
            alert: line.alert.id.clone(),
            outcome,
            notify: record.notifiers,
            incident: record.alert.incident,
            is_flood: record.kind == Some(IncidentKind::Flood),
        });
    }
    let all = IncidentFilter {
        limit: Some(u32::MAX),
        ..IncidentFilter::default()
    };
    let incidents = store.incidents(&all).await.map_err(TriageError::from)?;
    // What was withdrawn, or goes on in another incident, is none in the end.
    let live = incidents.iter().filter(|row| row.live > 0).count();
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    store.close().await;
    Ok(testing::mismatches(test, &lines, &became, live))
}
