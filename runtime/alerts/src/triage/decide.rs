//! Whether an alert is reported, and why not.

use sqlx::AnyConnection;
use yagura_core::Alert;
use yagura_core::alert::Observable;

use super::Context;
use crate::store::AlertStoreError;
use crate::store::alerts::{Sharing, first_inhibitor};
use crate::store::columns::{RowColumns, text};
use crate::store::rows::{AlertRow, Outcome};

/// What becomes of an alert, why, and who answers for it.
pub(super) struct Decision {
    pub(super) outcome: Outcome,
    pub(super) why: Option<String>,
    pub(super) silencer: Option<String>,
}

impl Decision {
    pub(super) fn reported() -> Self {
        Self {
            outcome: Outcome::Reported,
            why: None,
            silencer: None,
        }
    }

    fn unreported(outcome: Outcome, why: &str, silencer: Option<&str>) -> Self {
        Self {
            outcome,
            why: Some(why.to_owned()),
            silencer: silencer.map(str::to_owned),
        }
    }
}

impl Context<'_> {
    /// Decides about an alert. The first that holds does: suppressed, maintenance, staged, inhibited.
    pub(super) async fn decide(
        &self,
        connection: &mut AnyConnection,
        alert: &Alert,
        is_new: bool,
    ) -> Result<Decision, AlertStoreError> {
        let teams = self.policy.teams_of(alert);
        let is_on_trial = if is_new && self.policy.staging.lists(&alert.rule) {
            trial(connection, alert, self.policy.staging.quiet).await?
        } else {
            false
        };
        if let Some(by) = (self.policy.suppress.iter()).find(|one| one.covers(alert, &teams)) {
            return Ok(Decision::unreported(
                Outcome::Suppressed,
                &by.reason,
                Some(&by.owner),
            ));
        }
        if let Some(by) = (self.policy.maintenance.iter()).find(|one| one.covers(alert, &teams)) {
            return Ok(Decision::unreported(
                Outcome::Maintenance,
                &by.reason,
                Some(&by.owner),
            ));
        }
        if is_on_trial {
            return Ok(Decision::unreported(
                Outcome::Staged,
                "its rule is staged",
                None,
            ));
        }
        if let Some(by) = self.inhibitor(connection, alert, &teams).await? {
            return Ok(Decision::unreported(
                Outcome::Inhibited,
                &format!("silenced by a more severe alert: {}", by.alert.title),
                Some(&by.alert.id),
            ));
        }
        Ok(Decision::reported())
    }

    /// Returns the first alert that silences this one.
    async fn inhibitor(
        &self,
        connection: &mut AnyConnection,
        alert: &Alert,
        teams: &[String],
    ) -> Result<Option<AlertRow>, AlertStoreError> {
        for inhibition in &self.policy.inhibit {
            if !inhibition.silences.matches(alert, teams) {
                continue;
            }
            let mut places: Vec<Sharing<'_>> = Vec::new();
            if inhibition.share.is_empty() {
                places.push(Sharing::Nothing);
            }
            if inhibition.share.iter().any(|kind| kind == "key") {
                places.push(Sharing::Key(&alert.key));
            }
            let is_shared = |one: &&Observable| inhibition.share.contains(&one.kind);
            places.extend(
                alert
                    .observables
                    .iter()
                    .filter(is_shared)
                    .map(Sharing::Observable),
            );
            let fits = |more_severe: &Alert| {
                more_severe.id != alert.id
                    // Whatever the patterns match, an alert never hides a more severe one.
                    && more_severe.severity >= alert.severity
                    && inhibition.joins(more_severe, alert)
                    && inhibition.by.matches(more_severe, &self.policy.teams_of(more_severe))
            };
            let from = alert.first_time.micros().saturating_sub(inhibition.within);
            let to = alert.last_time.micros().saturating_add(inhibition.within);
            let mut first: Option<AlertRow> = None;
            for place in &places {
                let found = first_inhibitor(&mut *connection, place, from, to, fits).await?;
                if let Some(found) = found
                    && first.as_ref().is_none_or(|first| found.seq < first.seq)
                {
                    first = Some(found);
                }
            }
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// Says whether an alert may silence others.
    pub(super) fn is_inhibitor(&self, alert: &Alert) -> bool {
        let teams = self.policy.teams_of(alert);
        let mut all = self.policy.inhibit.iter();
        all.any(|inhibition| inhibition.by.matches(alert, &teams))
    }
}

/// Begins a rule's trial, where it has not begun. Without an event time it begins with the first line.
pub(super) async fn stage(
    connection: &mut AnyConnection,
    rule: &str,
    event_time: Option<i64>,
) -> Result<(), AlertStoreError> {
    sqlx::query("INSERT INTO rules (rule, staged_since) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(text(rule))
        .bind(event_time)
        .execute(connection)
        .await?;
    Ok(())
}

/// Begins the quiet of the rules whose trial began before any line.
pub(super) async fn begin_quiet(
    connection: &mut AnyConnection,
    event_time: i64,
) -> Result<(), AlertStoreError> {
    sqlx::query("UPDATE rules SET staged_since = $1 WHERE staged_since IS NULL")
        .bind(event_time)
        .execute(connection)
        .await?;
    Ok(())
}

/// Says whether the rule of a new alert is still staged, and counts the alert as one that ends its quiet.
async fn trial(
    connection: &mut AnyConnection,
    alert: &Alert,
    quiet: Option<i64>,
) -> Result<bool, AlertStoreError> {
    let (first, last) = (alert.first_time.micros(), alert.last_time.micros());
    stage(&mut *connection, &alert.rule, Some(first)).await?;
    let row = sqlx::query("SELECT last_time, staged_since, promoted_at FROM rules WHERE rule = $1")
        .bind(text(&alert.rule))
        .fetch_one(&mut *connection)
        .await?;
    let noise = row
        .maybe_int("last_time")?
        .max(row.maybe_int("staged_since")?);
    let mut promoted = row.maybe_int("promoted_at")?;
    if let (None, Some(quiet), Some(noise)) = (promoted, quiet, noise)
        && first.saturating_sub(noise) >= quiet
    {
        promoted = Some(first);
    }
    sqlx::query(
        "UPDATE rules SET promoted_at = $2, first_time = COALESCE(first_time, $3),
            last_time = CASE WHEN last_time > $4 THEN last_time ELSE $4 END WHERE rule = $1",
    )
    .bind(text(&alert.rule))
    .bind(promoted)
    .bind(first)
    .bind(last)
    .execute(connection)
    .await?;
    Ok(promoted.is_none())
}
