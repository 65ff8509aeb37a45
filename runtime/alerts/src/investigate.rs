//! Investigation: enrichers find facts about an alert at each delay, then reviewers evaluate it.
//!
//! ```text
//! reported alert     ─▶ runs, one for each enricher and delay ─▶ facts replaced
//!                         the last of a delay ─▶ round: reviewers in order ─▶ assessments ─▶ one revision of the incident
//! ```
//!
//! The first round always makes a new revision, because the investigation is done; later rounds do so if they found other facts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use yagura_core::report::{AlertState, Assessment, Attribute, Enriched, ReportAlert};

use crate::policy::{CompiledPolicy, CompiledReview};
use crate::ports::{Enrich, Failure, Review};
use crate::store::rows::{AlertRow, FactsRow, RunRow, RunState};
use crate::store::{AlertStoreError, Lead, alerts, incidents, rounds};
use crate::triage::Triage;
use crate::triage::group::{enricher_names, route};
use crate::workers::{Backoff, Work, WorkerPace, Workers, insist, within};

/// Attempts of a run, and of a reviewer.
const ATTEMPTS: i64 = 5;

/// Who the history of an incident names.
const WHO: &str = "investigation";

/// Who finds facts and who evaluates, each in the order of the policy.
#[derive(Clone, Default)]
pub struct Investigators {
    /// As many as the policy has `[[enrich]]`.
    pub enrichers: Vec<Arc<dyn Enrich>>,
    /// As many as the policy has `[[review]]`.
    pub reviewers: Vec<Arc<dyn Review>>,
}

/// How alerts are investigated.
#[derive(Debug, Clone, Copy)]
pub struct InvestigateOptions {
    /// Runs and rounds at a time.
    pub concurrency: usize,
    /// How long an enricher or a reviewer may take for one alert.
    pub deadline: Duration,
    /// How often the store is looked at, besides when the triage has something new.
    pub poll: Duration,
    /// How long to wait before another attempt.
    pub backoff: Backoff,
}

impl Default for InvestigateOptions {
    fn default() -> Self {
        Self {
            concurrency: 4,
            deadline: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            backoff: Backoff::default(),
        }
    }
}

/// Investigates until it is stopped. Dropped, it breaks off at once, as a process that dies does.
#[derive(Debug)]
pub struct Investigate(Workers);

impl Investigate {
    /// Begins to investigate.
    pub fn start(
        triage: &Triage,
        investigators: Investigators,
        options: InvestigateOptions,
    ) -> Self {
        let policy = Arc::clone(&triage.policy);
        let names = enricher_names(policy.enrich.iter().map(|one| one.plugin.as_str()));
        let reviewer_names = enricher_names(policy.review.iter().map(|one| one.plugin.as_str()));
        let work = Investigator(Arc::new(InvestigatorParts {
            enrichers: names.into_iter().zip(investigators.enrichers).collect(),
            reviewers: reviewer_names
                .into_iter()
                .zip(policy.review.iter().cloned())
                .zip(investigators.reviewers)
                .map(|((name, review), port)| (name, review, port))
                .collect(),
            triage: triage.clone(),
            options,
        }));
        let mut workers = Workers::new();
        let pace = WorkerPace {
            concurrency: options.concurrency.max(1),
            poll: options.poll,
            clock: triage.store().clock().clone(),
        };
        workers.start(work, triage.signal.listen(), pace);
        Self(workers)
    }

    /// Begins nothing new, and waits for what is under way.
    ///
    /// # Errors
    /// [`AlertStoreError`] where the store could not be used any more.
    pub async fn stop(self) -> Result<(), AlertStoreError> {
        self.0.stop().await
    }

    /// Waits until investigation cannot go on, and returns why: another process has taken over, or the store is damaged.
    pub async fn failed(&mut self) -> AlertStoreError {
        self.0.failed().await
    }
}

#[derive(Clone)]
struct Investigator(Arc<InvestigatorParts>);

struct InvestigatorParts {
    enrichers: HashMap<String, Arc<dyn Enrich>>,
    reviewers: Vec<(String, CompiledReview, Arc<dyn Review>)>,
    triage: Triage,
    options: InvestigateOptions,
}

impl InvestigatorParts {
    fn lead(&self) -> &Lead {
        &self.triage.lead
    }

    fn policy(&self) -> &CompiledPolicy {
        &self.triage.policy
    }

    fn now(&self) -> i64 {
        self.triage.store().now()
    }
}

/// Something to be done about an alert.
enum Job {
    /// A run of an enricher, and until when it may be tried.
    Run(RunRow, Option<i64>),
    /// A round: the alert and the delay.
    Round(String, i64),
}

impl Work for Investigator {
    type Job = Job;

    async fn next(&self) -> Result<Option<Job>, AlertStoreError> {
        let inner = &self.0;
        let mut connection = inner.triage.store().read().await?;
        let is_due = rounds::is_due(&mut connection, inner.now()).await?;
        drop(connection);
        if !is_due {
            return Ok(None);
        }
        let mut write = inner.lead().write().await?;
        let job = match rounds::claim_round(&mut write).await? {
            Some((alert, delay)) => Some(Job::Round(alert, delay)),
            None => rounds::claim_run(&mut write, inner.now())
                .await?
                .map(|(run, until)| Job::Run(run, until)),
        };
        write.commit().await?;
        Ok(job)
    }

    async fn work(&self, job: Job) -> Result<(), AlertStoreError> {
        match job {
            Job::Run(run, until) => self.run(&run, until).await,
            Job::Round(alert, delay) => self.round(&alert, delay).await,
        }
    }

    async fn next_due(&self) -> Result<Option<i64>, AlertStoreError> {
        let mut connection = self.0.triage.store().read().await?;
        rounds::next_due(&mut connection).await
    }
}

impl Investigator {
    /// Lets an enricher find facts, and records them.
    async fn run(&self, run: &RunRow, until: Option<i64>) -> Result<(), AlertStoreError> {
        let Some(row) = insist(|| self.alert(&run.alert)).await? else {
            return Ok(());
        };
        let answer = match self.0.enrichers.get(&run.enricher) {
            Some(port) => {
                let port = Arc::clone(port);
                let alert = report_alert(&row);
                within(
                    self.0.options.deadline,
                    async move { port.enrich(alert).await },
                )
                .await
            }
            None => Err(Failure::Permanent {
                message: "the policy does not name this enricher any more".to_owned(),
            }),
        };
        insist(|| self.end_run(run, until, &answer)).await?;
        self.0.triage.wake();
        Ok(())
    }

    async fn end_run(
        &self,
        run: &RunRow,
        until: Option<i64>,
        answer: &Result<Enriched, Failure>,
    ) -> Result<(), AlertStoreError> {
        let mut write = self.0.lead().write().await?;
        let now = self.0.now();
        let (found, error) = match answer {
            Ok(found) => (Some(found), None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        if let Err(Failure::Retry { message, after, .. }) = answer {
            let what = format!("{}/{}", run.alert, run.enricher);
            let wait = self.0.options.backoff.micros(run.attempts, &what, *after);
            let again_at = now.saturating_add(wait);
            // The next run of the enricher does it anyway.
            if run.attempts < ATTEMPTS && until.is_none_or(|until| again_at < until) {
                rounds::run_again(&mut write, run, again_at, message).await?;
                return write.commit().await;
            }
        }
        if let Some(error) = &error {
            tracing::warn!(enricher = %run.enricher, alert = %run.alert, error, "an enricher failed");
        }
        let state = if error.is_none() {
            RunState::Done
        } else {
            RunState::Failed
        };
        let ended = rounds::end_run(&mut write, run, state, error.as_deref()).await?;
        if ended.is_some()
            && rounds::set_facts(
                &mut write,
                &run.alert,
                &run.enricher,
                found,
                error.as_deref(),
                now,
            )
            .await?
        {
            rounds::mark_changed(&mut write, &run.alert, run.delay).await?;
        }
        write.commit().await
    }

    /// Lets reviewers evaluate an alert with what is known about it, and records that in its incident.
    async fn round(&self, alert: &str, delay: i64) -> Result<(), AlertStoreError> {
        let Some(row) = insist(|| self.alert(alert)).await? else {
            return Ok(());
        };
        let facts = insist(|| self.facts(alert)).await?;
        let attributes: Vec<Attribute> = facts
            .into_iter()
            .flat_map(|facts| facts.found.attributes)
            .collect();
        let teams = self.0.policy().teams_of(&row.alert);
        let mut assessments: Vec<(String, Assessment)> = Vec::new();
        let mut failures: Vec<String> = Vec::new();
        for (name, review, port) in &self.0.reviewers {
            if !review.when.matches(&row.alert, &teams) {
                continue;
            }
            match self.review(port, &row, &attributes).await {
                Ok(Some(assessment)) => assessments.push((name.clone(), assessment)),
                Ok(None) => {}
                Err(failure) => {
                    tracing::warn!(reviewer = %name, alert, error = %failure, "a reviewer failed");
                    failures.push(format!("{name} failed: {failure}"));
                }
            }
        }
        insist(|| self.end_round(&row, delay, &assessments, &failures)).await?;
        self.0.triage.wake();
        Ok(())
    }

    async fn review(
        &self,
        port: &Arc<dyn Review>,
        row: &AlertRow,
        attributes: &[Attribute],
    ) -> Result<Option<Assessment>, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let call = Arc::clone(port);
            let alert = report_alert(row);
            let attributes = attributes.to_vec();
            let answer = within(self.0.options.deadline, async move {
                call.review(alert, attributes).await
            })
            .await;
            match answer {
                Err(Failure::Retry { after, .. }) if attempts < ATTEMPTS => {
                    let backoff = self.0.options.backoff;
                    let micros = backoff.micros(attempts, &row.alert.id, after);
                    let wait = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
                    tokio::time::sleep(wait).await;
                }
                answer => return answer,
            }
        }
    }

    async fn end_round(
        &self,
        reviewed: &AlertRow,
        delay: i64,
        assessments: &[(String, Assessment)],
        failures: &[String],
    ) -> Result<(), AlertStoreError> {
        let mut write = self.0.lead().write().await?;
        let now = self.0.now();
        let id = &reviewed.alert.id;
        let (Some(mut row), Some((has_news, is_first))) = (
            alerts::find(&mut write, id).await?,
            rounds::end_round(&mut write, id, delay).await?,
        ) else {
            return write.commit().await;
        };
        let mut is_new = has_news || is_first;
        if rounds::set_assessments(&mut write, id, assessments, now).await? {
            is_new = true;
            let last = assessments.last().map(|(_, assessment)| assessment);
            // An alert that became more severe meanwhile was not what they evaluated.
            let last = last.filter(|_| row.alert.severity <= reviewed.alert.severity);
            row.assessed = last.map(|assessment| assessment.severity);
            row.verdict = last.map(|assessment| assessment.verdict);
            alerts::evaluate(&mut write, &row).await?;
        }
        if let Some(incident) = row.incident.as_ref().filter(|_| is_new) {
            let mut incident = incidents::get(&mut write, incident).await?;
            let severity = incident.severity;
            incidents::recount(&mut write, &mut incident).await?;
            incidents::change(&mut write, &mut incident, now).await?;
            let mut what = format!("investigated: {}", row.alert.title);
            if incident.severity != severity {
                what = format!("{what}; severity {severity} is now {}", incident.severity);
            }
            for failure in failures {
                what = format!("{what}; {failure}");
            }
            incidents::note(&mut write, &incident.id, now, WHO, &what).await?;
            route(&mut write, self.0.policy(), &incident, &row, now).await?;
        }
        write.commit().await
    }

    async fn facts(&self, alert: &str) -> Result<Vec<FactsRow>, AlertStoreError> {
        let mut connection = self.0.triage.store().read().await?;
        rounds::facts_of(&mut connection, alert).await
    }

    /// Returns an alert that still holds.
    async fn alert(&self, id: &str) -> Result<Option<AlertRow>, AlertStoreError> {
        let mut connection = self.0.triage.store().read().await?;
        let row = alerts::find(&mut connection, id).await?;
        Ok(row.filter(|row| row.state != AlertState::Withdrawn))
    }
}

fn report_alert(row: &AlertRow) -> ReportAlert {
    ReportAlert {
        state: row.state,
        alert: row.alert.clone(),
    }
}
