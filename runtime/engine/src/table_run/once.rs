//! A table evaluated as a whole: all of its objects, and all that its detectors with state wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::common::runtime::SpawnedTask;
use yagura_core::{Finding, Timestamp};

use super::TableRun;
use crate::error::EngineError;
use crate::keyed::KeyedDetectors;
use crate::rows::RuleRows;
use crate::table_outcome::{TableOutcome, last_instant};

impl TableRun {
    /// Evaluates all of the table's objects by all of its rules; `before` findings are held already. `needs_end` is whether a
    /// rule depends on the table's latest event time.
    ///
    /// # Errors
    /// As [`crate::run()`].
    pub(crate) async fn run_once(
        &mut self,
        before: usize,
        needs_end: bool,
    ) -> Result<(TableOutcome, Vec<Finding>), EngineError> {
        let files = self.table.files.clone();
        let scanned = self.run(&files, before).await?;
        let odd_times = self.odd_times(&scanned.files, a_day_ahead()).await;
        let mut messages = self.take_messages();
        let mut bad_files = self.table.bad_files.clone();
        bad_files.extend(scanned.bad_files);
        let range = self.options.range;
        let latest = match needs_end && range.to.is_none() {
            true => self.latest(&scanned.files).await,
            false => None,
        };
        let mut findings = scanned.findings;
        if !scanned.keyed.is_empty() {
            let end = last_instant(range, latest);
            let (found, given_up) = evaluate_keyed(self.keyed(), scanned.keyed, end).await?;
            findings.extend(found);
            messages.extend(given_up);
            if before + findings.len() > self.options.max_findings {
                return Err(self.too_many(&findings));
            }
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outcome = TableOutcome {
            rules: self.plan.rules.len(),
            scanned: count(&self.progress.scanned),
            evaluated: count(&self.progress.evaluated),
            null_times: count(&self.progress.null_times),
            bad_files,
            costs: self.progress.take_costs(),
            latest,
            odd_times,
            converted: scanned.converted,
            messages,
            table: Arc::clone(&self.table),
        };
        Ok((outcome, findings))
    }
}

/// Returns the time a day from now: an event after it has a wrong clock. It decides what is reported, never what is found.
fn a_day_ahead() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    Timestamp::clamped(micros.saturating_add(86_400_000_000))
}

/// Lets detectors with state evaluate all of a table's rows, up to `end` or the last of them. Also returns messages about rules
/// that remembered too much.
async fn evaluate_keyed(
    mut detectors: KeyedDetectors,
    rows: Vec<RuleRows>,
    end: Option<i64>,
) -> Result<(Vec<Finding>, Vec<String>), EngineError> {
    // Plugins may use their whole time limit: never on a thread that drives streams.
    let evaluated = SpawnedTask::spawn_blocking(move || {
        for rows in rows {
            detectors.push(rows)?;
        }
        let end = end.max(detectors.latest());
        let findings = detectors.advance(end.unwrap_or(i64::MIN).saturating_add(1))?;
        let given_up = detectors.take_capped().into_iter();
        Ok((findings, given_up.map(|(_, _, message)| message).collect()))
    });
    evaluated.join_unwind().await.map_err(|error| {
        let reason = format!("detectors with state did not finish: {error}");
        EngineError::State(reason)
    })?
}
