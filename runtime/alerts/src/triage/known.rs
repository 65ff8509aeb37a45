//! Lines: alerts that are new, have changed, or are withdrawn.

use sqlx::AnyConnection;
use yagura_core::Timestamp;
use yagura_core::report::{AlertLine, AlertState, IncidentStatus};

use super::Context;
use super::decide::Decision;
use super::group::{is_reported, may_go_on, route};
use crate::store::rows::{AlertRow, IncidentKind, IncidentRow, Outcome};
use crate::store::{AlertStoreError, alerts, deliveries, incidents, rounds};

impl Context<'_> {
    /// Takes one line.
    pub(super) async fn line(
        &mut self,
        connection: &mut AnyConnection,
        line: &AlertLine,
    ) -> Result<(), AlertStoreError> {
        let known = alerts::find(&mut *connection, &line.alert.id).await?;
        match (known, line.state) {
            (Some(old), AlertState::Withdrawn) => self.withdraw(connection, old, line).await,
            (Some(old), _) if is_reported(&old) => self.update(connection, old, line).await,
            (Some(old), _) => self.reconsider(connection, old, line).await,
            (None, _) => self.meet(connection, line).await,
        }
    }

    /// Takes an alert that is new.
    async fn meet(
        &mut self,
        connection: &mut AnyConnection,
        line: &AlertLine,
    ) -> Result<(), AlertStoreError> {
        let decision = if line.state == AlertState::Withdrawn {
            Decision {
                outcome: Outcome::Unseen,
                why: Some("it was withdrawn before it came up here".to_owned()),
                silencer: None,
            }
        } else {
            self.decide(&mut *connection, &line.alert, true).await?
        };
        let now = Timestamp::clamped(self.now);
        let row = AlertRow {
            seq: self.seq,
            state: line.state,
            outcome: decision.outcome,
            why: decision.why,
            silencer: decision.silencer,
            incident: None,
            reason: line.reason.clone(),
            replaced_by: line.replaced_by.clone(),
            assessed: None,
            verdict: None,
            alert: line.alert.clone(),
            created_at: now,
            changed_at: now,
        };
        alerts::set_observables(&mut *connection, &row.alert, &[]).await?;
        self.write_outcome(connection, row).await
    }

    /// Writes an alert with its outcome, and finds its incident if it is reported.
    async fn write_outcome(
        &mut self,
        connection: &mut AnyConnection,
        mut row: AlertRow,
    ) -> Result<(), AlertStoreError> {
        self.count(row.outcome);
        if row.outcome == Outcome::Reported {
            return self.place(connection, &mut row).await;
        }
        let is_inhibitor = self.is_inhibitor(&row.alert);
        alerts::put(&mut *connection, &row, self.seq, is_inhibitor).await?;
        // An incident may have waited for it, to go on with it.
        for before in alerts::replaced_by(&mut *connection, &row.alert.id).await? {
            if let Some(id) = &before.incident {
                let mut incident = incidents::get(&mut *connection, id).await?;
                let reason = format!(
                    "{}; the alert that replaced it is not reported ({})",
                    before
                        .reason
                        .as_deref()
                        .unwrap_or("its alert was withdrawn"),
                    row.outcome
                );
                if self
                    .close_if_empty(&mut *connection, &mut incident, &reason)
                    .await?
                {
                    self.closed(&mut *connection, &mut incident, &reason)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Takes a change of an alert that was not reported: what silenced it may not hold any more. Staging still does.
    async fn reconsider(
        &mut self,
        connection: &mut AnyConnection,
        old: AlertRow,
        line: &AlertLine,
    ) -> Result<(), AlertStoreError> {
        let row = self.changed(&old, line);
        alerts::set_observables(&mut *connection, &row.alert, &old.alert.observables).await?;
        self.decide_again(connection, row).await
    }

    async fn decide_again(
        &mut self,
        connection: &mut AnyConnection,
        mut row: AlertRow,
    ) -> Result<(), AlertStoreError> {
        if row.outcome == Outcome::Staged {
            let is_inhibitor = self.is_inhibitor(&row.alert);
            return alerts::put(connection, &row, self.seq, is_inhibitor).await;
        }
        let is_new = row.outcome == Outcome::Unseen;
        let decision = self.decide(&mut *connection, &row.alert, is_new).await?;
        row.outcome = decision.outcome;
        row.why = decision.why;
        row.silencer = decision.silencer;
        self.write_outcome(connection, row).await
    }

    /// Takes a change of an alert that was reported.
    async fn update(
        &mut self,
        connection: &mut AnyConnection,
        old: AlertRow,
        line: &AlertLine,
    ) -> Result<(), AlertStoreError> {
        let mut row = self.changed(&old, line);
        if row.alert.severity > old.alert.severity {
            // What reviewers thought was about a less severe alert.
            row.assessed = None;
            row.verdict = None;
        }
        let is_inhibitor = self.is_inhibitor(&row.alert);
        alerts::put(&mut *connection, &row, self.seq, is_inhibitor).await?;
        alerts::set_observables(&mut *connection, &row.alert, &old.alert.observables).await?;
        let Some(id) = &row.incident else {
            return Ok(());
        };
        let mut incident = incidents::get(&mut *connection, id).await?;
        let was_live = old.state != AlertState::Withdrawn;
        if incident.kind == IncidentKind::Normal {
            let before = if was_live {
                self.joining(&old.alert.observables)
            } else {
                Vec::new()
            };
            let after = self.joining(&row.alert.observables);
            let new: Vec<_> = (after.iter().copied())
                .filter(|one| !before.contains(one))
                .collect();
            let gone: Vec<_> = (before.iter().copied())
                .filter(|one| !after.contains(one))
                .collect();
            incidents::add_observables(&mut *connection, &incident.id, &new).await?;
            incidents::remove_observables(&mut *connection, &incident.id, &gone).await?;
        }
        if !was_live || row.severity() < old.severity() || row.verdict != old.verdict {
            incidents::recount(&mut *connection, &mut incident).await?;
        } else {
            incident.severity = incident.severity.max(row.severity());
            incidents::stretch(&mut incident, &row);
        }
        if !was_live && incident.status == IncidentStatus::Closed && may_go_on(&incident) {
            incidents::reopen(&mut incident);
            let what = format!("reopened: its alert holds again: {}", row.alert.title);
            incidents::note(&mut *connection, id, self.now, incidents::TRIAGE, &what).await?;
        }
        incidents::change(&mut *connection, &mut incident, self.now).await?;
        route(connection, self.policy, &incident, &row, self.now).await
    }

    /// Takes an alert back.
    async fn withdraw(
        &mut self,
        connection: &mut AnyConnection,
        old: AlertRow,
        line: &AlertLine,
    ) -> Result<(), AlertStoreError> {
        let row = self.changed(&old, line);
        let is_inhibitor = self.is_inhibitor(&row.alert);
        alerts::put(&mut *connection, &row, self.seq, is_inhibitor).await?;
        alerts::set_observables(&mut *connection, &row.alert, &old.alert.observables).await?;
        rounds::drop_plans(&mut *connection, &row.alert.id).await?;
        if let Some(id) = &row.incident {
            let mut incident = incidents::get(&mut *connection, id).await?;
            if old.state != AlertState::Withdrawn {
                self.take_out(&mut *connection, &mut incident, &old).await?;
            }
            self.go_on(&mut *connection, &mut incident, &row).await?;
        }
        for silenced in alerts::silenced_by(&mut *connection, &row.alert.id).await? {
            if silenced.state != AlertState::Withdrawn {
                self.decide_again(&mut *connection, silenced).await?;
            }
        }
        Ok(())
    }

    /// Takes an alert that was withdrawn out of its incident's sums.
    async fn take_out(
        &self,
        connection: &mut AnyConnection,
        incident: &mut IncidentRow,
        row: &AlertRow,
    ) -> Result<(), AlertStoreError> {
        if incident.kind == IncidentKind::Flood {
            // Thousands are not counted anew for each: a flood stays as severe as it was.
            incident.live = incident.live.saturating_sub(1);
            return Ok(());
        }
        let shared = self.joining(&row.alert.observables);
        incidents::remove_observables(&mut *connection, &incident.id, &shared).await?;
        incidents::recount(connection, incident).await
    }

    /// Lets an incident go on with the alert that holds the first finding of one that was withdrawn, or closes it where
    /// none of its alerts holds.
    async fn go_on(
        &mut self,
        connection: &mut AnyConnection,
        incident: &mut IncidentRow,
        row: &AlertRow,
    ) -> Result<(), AlertStoreError> {
        let mut reason = row
            .reason
            .clone()
            .unwrap_or_else(|| "its alert was withdrawn".to_owned());
        if let Some(id) = &row.replaced_by
            && let Some(next) = alerts::find(&mut *connection, id).await?
            && let Some(other) = next.incident.clone().filter(|other| *other != incident.id)
        {
            let mut other = incidents::get(&mut *connection, &other).await?;
            let is_alone = other.kind == IncidentKind::Normal && other.alerts == 1;
            if is_alone && other.status != IncidentStatus::Closed && may_go_on(incident) {
                self.move_alert(&mut *connection, next, &mut other, incident)
                    .await?;
            } else {
                reason = format!("{reason}; goes on in incident {}", other.id);
            }
        }
        let what = format!("alert withdrawn: {}: {reason}", row.alert.title);
        if incident.kind != IncidentKind::Flood {
            incidents::note(
                &mut *connection,
                &incident.id,
                self.now,
                incidents::TRIAGE,
                &what,
            )
            .await?;
        }
        if self
            .close_if_empty(&mut *connection, incident, &reason)
            .await?
        {
            self.closed(connection, incident, &reason).await
        } else {
            incidents::change(connection, incident, self.now).await
        }
    }

    /// Moves an alert, which came before the line that names it as a successor, to the incident that it goes on in.
    async fn move_alert(
        &mut self,
        connection: &mut AnyConnection,
        mut next: AlertRow,
        from: &mut IncidentRow,
        to: &mut IncidentRow,
    ) -> Result<(), AlertStoreError> {
        next.incident = Some(to.id.clone());
        let is_inhibitor = self.is_inhibitor(&next.alert);
        alerts::put(&mut *connection, &next, self.seq, is_inhibitor).await?;
        let shared = self.joining(&next.alert.observables);
        incidents::remove_observables(&mut *connection, &from.id, &shared).await?;
        let notifiers: Vec<String> = deliveries::of_incident(&mut *connection, &from.id)
            .await?
            .into_iter()
            .map(|row| row.notifier)
            .collect();
        incidents::recount(&mut *connection, from).await?;
        let reason = format!("goes on in incident {}", to.id);
        incidents::close(from, incidents::TRIAGE, &reason);
        self.closed(&mut *connection, from, &reason).await?;
        self.join(&mut *connection, to, &next, false).await?;
        deliveries::add(connection, &to.id, &notifiers, to.revision, self.now).await
    }

    /// Returns an alert as it is after a line.
    fn changed(&self, old: &AlertRow, line: &AlertLine) -> AlertRow {
        AlertRow {
            state: line.state,
            reason: line.reason.clone(),
            replaced_by: line.replaced_by.clone(),
            alert: line.alert.clone(),
            changed_at: Timestamp::clamped(self.now),
            ..old.clone()
        }
    }
}
