//! Which incident a reported alert belongs to, which notifiers report it, and which enrichers and reviewers run.

use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Row};
use yagura_core::alert::{Observable, hex};
use yagura_core::report::{IncidentStatus, Verdict};
use yagura_core::{Alert, Timestamp};

use super::Context;
use crate::policy::CompiledPolicy;
use crate::store::rows::{AlertRow, IncidentKind, IncidentRow, Outcome};
use crate::store::{AlertStoreError, alerts, deliveries, incidents, rounds};

/// Alerts of a flood that are investigated: what is broken shows in the first ones.
const INVESTIGATED: u64 = 5;

/// Returns the id of the incident that something opens.
pub(crate) fn incident_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

impl Context<'_> {
    /// Finds the incident of a reported alert, or opens one, and writes both.
    pub(super) async fn place(
        &mut self,
        connection: &mut AnyConnection,
        row: &mut AlertRow,
    ) -> Result<(), AlertStoreError> {
        let alert = &row.alert;
        let (first, last) = (alert.first_time.micros(), alert.last_time.micros());
        let flood = self.policy.flood;
        let before = self.before(&mut *connection, &row.alert).await?;
        let mut opens = false;
        let (mut incident, is_new) = if let Some(incident) = before {
            (incident, false)
        } else if self
            .policy
            .flood_below
            .is_none_or(|below| alert.severity < below)
            && alerts::openings(
                &mut *connection,
                &alert.rule,
                first.saturating_sub(flood.per),
                first.saturating_add(flood.per),
                flood.count,
            )
            .await?
                >= i64::from(flood.count)
        {
            opens = true;
            match incidents::flood_of(&mut *connection, &alert.rule, first, last, flood.per).await?
            {
                Some(incident) => (incident, false),
                None => (self.opened(row, IncidentKind::Flood), true),
            }
        } else {
            let group = &self.policy.group;
            let shared = incidents::oldest_sharing(
                &mut *connection,
                &self.joining(&alert.observables),
                first,
                last,
                group.within,
                group.longest,
            )
            .await?;
            match shared {
                Some(incident) => (incident, false),
                None => {
                    opens = true;
                    (self.opened(row, IncidentKind::Normal), true)
                }
            }
        };
        row.incident = Some(incident.id.clone());
        let is_inhibitor = self.is_inhibitor(&row.alert);
        alerts::put(&mut *connection, row, self.seq, is_inhibitor).await?;
        if opens {
            alerts::set_opens(&mut *connection, &row.alert.id).await?;
        }
        self.join(&mut *connection, &mut incident, row, is_new)
            .await?;
        self.plan(&mut *connection, &incident, &row.alert).await?;
        self.close_others(connection, &row.alert.id, &incident.id)
            .await
    }

    /// Takes an alert into an incident and writes the incident.
    pub(super) async fn join(
        &mut self,
        connection: &mut AnyConnection,
        incident: &mut IncidentRow,
        row: &AlertRow,
        is_new: bool,
    ) -> Result<(), AlertStoreError> {
        if incident.status == IncidentStatus::Closed {
            incidents::reopen(incident);
            let what = "reopened: its alert goes on as another";
            incidents::note(
                &mut *connection,
                &incident.id,
                self.now,
                incidents::TRIAGE,
                what,
            )
            .await?;
        }
        let severity = incident.severity;
        incidents::add(incident, row);
        let title = &row.alert.title;
        let note = match (is_new, incident.kind) {
            (true, IncidentKind::Flood) => Some(format!("flood of {} opened", row.alert.rule)),
            (true, _) => Some(format!("opened: {title}")),
            // Thousands of lines of history help nobody.
            (false, IncidentKind::Flood) => None,
            (false, _) if incident.severity > severity && incident.live > 1 => Some(format!(
                "alert joined: {title}; severity raised from {severity} to {}",
                incident.severity
            )),
            (false, _) => Some(format!("alert joined: {title}")),
        };
        if is_new {
            incidents::put(&mut *connection, incident).await?;
            self.taken.opened += 1;
        } else {
            incidents::change(&mut *connection, incident, self.now).await?;
        }
        if let Some(note) = note {
            incidents::note(
                &mut *connection,
                &incident.id,
                self.now,
                incidents::TRIAGE,
                &note,
            )
            .await?;
        }
        if incident.kind == IncidentKind::Normal {
            let shared = self.joining(&row.alert.observables);
            incidents::add_observables(&mut *connection, &incident.id, &shared).await?;
        }
        route(connection, self.policy, incident, row, self.now).await
    }

    /// Returns the observables that alerts of one incident share.
    pub(super) fn joining<'o>(&self, observables: &'o [Observable]) -> Vec<&'o Observable> {
        let group = &self.policy.group;
        observables.iter().filter(|one| group.joins(one)).collect()
    }

    /// Returns the incident of the alert whose first finding this one holds now, unless a human closed it.
    async fn before(
        &self,
        connection: &mut AnyConnection,
        alert: &Alert,
    ) -> Result<Option<IncidentRow>, AlertStoreError> {
        for row in alerts::replaced_by(&mut *connection, &alert.id).await? {
            if let Some(id) = &row.incident {
                let incident = incidents::get(&mut *connection, id).await?;
                if may_go_on(&incident) {
                    return Ok(Some(incident));
                }
            }
        }
        Ok(None)
    }

    /// Closes the other incidents that waited for this alert: it is part of one only.
    async fn close_others(
        &self,
        connection: &mut AnyConnection,
        alert: &str,
        incident: &str,
    ) -> Result<(), AlertStoreError> {
        for row in alerts::replaced_by(&mut *connection, alert).await? {
            if let Some(other) = row.incident.filter(|other| other != incident) {
                let mut other = incidents::get(&mut *connection, &other).await?;
                let reason = format!("goes on in incident {incident}");
                if self
                    .close_if_empty(&mut *connection, &mut other, &reason)
                    .await?
                {
                    self.closed(&mut *connection, &mut other, &reason).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes an incident that was closed because of its alerts. Notifiers that have not reported it yet report nothing.
    pub(super) async fn closed(
        &self,
        connection: &mut AnyConnection,
        incident: &mut IncidentRow,
        reason: &str,
    ) -> Result<(), AlertStoreError> {
        incidents::change(&mut *connection, incident, self.now).await?;
        deliveries::cancel_unsent(&mut *connection, &incident.id).await?;
        let what = format!("closed: {reason}");
        incidents::note(connection, &incident.id, self.now, incidents::TRIAGE, &what).await
    }

    /// Closes an incident whose alerts were all withdrawn and go on nowhere that is still to come. Returns whether it did;
    /// the caller writes it.
    pub(super) async fn close_if_empty(
        &self,
        connection: &mut AnyConnection,
        incident: &mut IncidentRow,
        reason: &str,
    ) -> Result<bool, AlertStoreError> {
        if incident.live > 0 || incident.status == IncidentStatus::Closed {
            return Ok(false);
        }
        let waits = sqlx::query(
            "SELECT COUNT(*) AS n FROM alerts a WHERE a.incident = $1 AND a.replaced_by IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM alerts s WHERE s.id = a.replaced_by)",
        )
        .bind(incident.id.clone())
        .fetch_one(connection)
        .await?;
        if waits.try_get::<i64, _>("n")? > 0 {
            return Ok(false);
        }
        incidents::close(incident, incidents::TRIAGE, reason);
        Ok(true)
    }

    /// Plans the runs of enrichers and reviewers for an alert.
    async fn plan(
        &self,
        connection: &mut AnyConnection,
        incident: &IncidentRow,
        alert: &Alert,
    ) -> Result<(), AlertStoreError> {
        if incident.kind == IncidentKind::Flood && incident.alerts > INVESTIGATED {
            return Ok(());
        }
        let teams = self.policy.teams_of(alert);
        let names = enricher_names(self.policy.enrich.iter().map(|one| one.plugin.as_str()));
        let mut delays = std::collections::BTreeSet::new();
        for (enrichment, name) in self.policy.enrich.iter().zip(&names) {
            if !enrichment.when.matches(alert, &teams) {
                continue;
            }
            for (place, delay) in enrichment.delays.iter().enumerate() {
                let at = |delay: &i64| self.now.saturating_add(*delay);
                let until = enrichment.delays.get(place + 1).map(at);
                rounds::plan_run(&mut *connection, &alert.id, name, *delay, at(delay), until)
                    .await?;
                delays.insert(*delay);
            }
        }
        let is_reviewed = (self.policy.review.iter()).any(|one| one.when.matches(alert, &teams));
        if delays.is_empty() && is_reviewed {
            rounds::plan_round(&mut *connection, &alert.id, 0, true).await?;
        }
        for delay in delays {
            rounds::plan_round(&mut *connection, &alert.id, delay, false).await?;
        }
        Ok(())
    }

    fn opened(&self, row: &AlertRow, kind: IncidentKind) -> IncidentRow {
        let alert = &row.alert;
        let id = match kind {
            IncidentKind::Flood => incident_id(&["flood", &alert.id]),
            _ => incident_id(&["incident", &alert.id]),
        };
        let now = Timestamp::clamped(self.now);
        IncidentRow {
            id,
            seq: self.seq,
            kind,
            rule: Some(alert.rule.clone()),
            notifier: None,
            title: alert.title.clone(),
            severity: row.severity(),
            verdict: Verdict::Undecided,
            status: IncidentStatus::Open,
            assignee: None,
            first_time: alert.first_time,
            last_time: alert.last_time,
            alerts: 0,
            live: 0,
            revision: 1,
            closed_by: None,
            closed_reason: None,
            opened_at: now,
            changed_at: now,
        }
    }
}

/// Adds the notifiers that hear of an alert to its incident. None is ever taken away.
pub(crate) async fn route(
    connection: &mut AnyConnection,
    policy: &CompiledPolicy,
    incident: &IncidentRow,
    row: &AlertRow,
    now: i64,
) -> Result<(), AlertStoreError> {
    let mut alert = row.alert.clone();
    alert.severity = row.severity();
    let notifiers = policy.notifiers_of(&[&alert]);
    deliveries::add(connection, &incident.id, &notifiers, incident.revision, now).await
}

/// Says whether an alert may go on in an incident: a human's word that it is done with holds.
pub(super) fn may_go_on(incident: &IncidentRow) -> bool {
    incident.status != IncidentStatus::Closed
        || incident.closed_by.as_deref() == Some(incidents::TRIAGE)
}

/// Returns names for plugins that may be listed more than once: the second is `PACK/FILE.wasm#2`.
pub(crate) fn enricher_names<'p>(plugins: impl Iterator<Item = &'p str>) -> Vec<String> {
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    plugins
        .map(|plugin| {
            let count = seen.entry(plugin).or_default();
            *count += 1;
            if *count == 1 {
                plugin.to_owned()
            } else {
                format!("{plugin}#{count}")
            }
        })
        .collect()
}

/// Says whether an alert is part of an incident.
pub(super) fn is_reported(row: &AlertRow) -> bool {
    row.outcome == Outcome::Reported && row.incident.is_some()
}
