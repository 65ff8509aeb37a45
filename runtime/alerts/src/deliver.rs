//! Delivery: reports of incidents to notifiers, at least once, in order for each incident.
//!
//! ```text
//! due ─▶ limit ─▶ summary of the notifier
//!          │
//!          ▼
//!        sending, uncertain ──commit──▶ report of the newest revision ─▶ notifier ─▶ receipt │ due again, later │ dead
//! ```
//!
//! An attempt is recorded before it is made. A process that dies in between leaves it as uncertain: the next one informs the
//! notifier so, which checks whether the report is there already.

mod limit;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::{CompiledNotifier, CompiledPolicy};
use crate::ports::{Failure, Notify};
use crate::store::deliveries::{self, Failed};
use crate::store::rows::DeliveryRow;
use crate::store::{AlertStoreError, Lead, incidents};
use crate::triage::Triage;
pub use crate::workers::Backoff;
use crate::workers::{Work, WorkerPace, Workers, insist, within};

/// How reports are delivered.
#[derive(Debug, Clone, Copy)]
pub struct DeliverOptions {
    /// Reports under way at a time, for each notifier.
    pub concurrency: usize,
    /// How long a notifier may take for one.
    pub deadline: Duration,
    /// How often the store is looked at, besides when the triage has something new.
    pub poll: Duration,
    /// How long to wait before another attempt.
    pub backoff: Backoff,
}

impl Default for DeliverOptions {
    fn default() -> Self {
        Self {
            concurrency: 4,
            deadline: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            backoff: Backoff::default(),
        }
    }
}

/// Delivers until it is stopped. Dropped, it breaks off at once, as a process that dies does.
#[derive(Debug)]
pub struct Deliver(Workers);

impl Deliver {
    /// Begins to deliver to notifiers, by their names in the policy. What is for others waits.
    pub fn start(
        triage: &Triage,
        notifiers: BTreeMap<String, Arc<dyn Notify>>,
        options: DeliverOptions,
    ) -> Self {
        let mut workers = Workers::new();
        for (name, port) in notifiers {
            let Some(policy) = triage.policy.notifiers.get(&name).cloned() else {
                continue;
            };
            let work = NotifierWorker(Arc::new(NotifierParts {
                name,
                port,
                policy,
                all: Arc::clone(&triage.policy),
                lead: Arc::clone(&triage.lead),
                options,
            }));
            let pace = WorkerPace {
                concurrency: options.concurrency.max(1),
                poll: options.poll,
                clock: triage.store().clock().clone(),
            };
            workers.start(work, triage.signal.listen(), pace);
        }
        Self(workers)
    }

    /// Sends nothing new, and waits for what is under way.
    ///
    /// # Errors
    /// [`AlertStoreError`] where the store could not be used any more.
    pub async fn stop(self) -> Result<(), AlertStoreError> {
        self.0.stop().await
    }

    /// Waits until delivery cannot go on, and returns why: another process has taken over, or the store is damaged.
    pub async fn failed(&mut self) -> AlertStoreError {
        self.0.failed().await
    }
}

/// One notifier.
#[derive(Clone)]
struct NotifierWorker(Arc<NotifierParts>);

struct NotifierParts {
    name: String,
    port: Arc<dyn Notify>,
    policy: CompiledNotifier,
    all: Arc<CompiledPolicy>,
    lead: Arc<Lead>,
    options: DeliverOptions,
}

impl Work for NotifierWorker {
    type Job = DeliveryRow;

    async fn next(&self) -> Result<Option<DeliveryRow>, AlertStoreError> {
        let NotifierParts { lead, name, .. } = &*self.0;
        let store = lead.store();
        loop {
            let mut connection = store.read().await?;
            let due = deliveries::next(&mut connection, name, store.now()).await?;
            drop(connection);
            if due.is_none() {
                return Ok(None);
            }
            let mut write = lead.write().await?;
            let now = store.now();
            let Some(row) = deliveries::next(&mut write, name, now).await? else {
                return Ok(None);
            };
            if limit::lets_in(&mut write, &row, self.0.policy.limit, now).await? {
                deliveries::begin(&mut write, &row).await?;
                write.commit().await?;
                return Ok(Some(row));
            }
            write.commit().await?;
        }
    }

    async fn work(&self, row: DeliveryRow) -> Result<(), AlertStoreError> {
        let inner = &self.0;
        let report = report::build(inner.lead.store(), &inner.all, &row).await;
        let (revision, answer) = match report {
            Ok(report) => {
                let revision = i64::from(report.revision);
                let port = Arc::clone(&inner.port);
                let call = async move { port.notify(report).await };
                (revision, within(inner.options.deadline, call).await)
            }
            // Nothing was sent. One incident that cannot be read does not hold up the others.
            Err(error) => {
                let failure = Failure::Retry {
                    message: format!("its report cannot be made: {error}"),
                    after: None,
                    is_uncertain: false,
                };
                (row.sent_revision, Err(failure))
            }
        };
        insist(|| self.end(&row, revision, &answer)).await
    }

    async fn next_due(&self) -> Result<Option<i64>, AlertStoreError> {
        let mut connection = self.0.lead.store().read().await?;
        deliveries::next_due(&mut connection, &self.0.name).await
    }
}

impl NotifierWorker {
    /// Records what came of an attempt.
    async fn end(
        &self,
        row: &DeliveryRow,
        revision: i64,
        answer: &Result<String, Failure>,
    ) -> Result<(), AlertStoreError> {
        let NotifierParts {
            lead, policy, name, ..
        } = &*self.0;
        let mut write = lead.write().await?;
        let now = lead.store().now();
        let ready_at = now.saturating_add(policy.every);
        match answer {
            Ok(receipt) => {
                deliveries::arrived(&mut write, row, revision, receipt, now, ready_at).await?;
                if row.sent_revision == 0 {
                    let what = "first report arrived";
                    incidents::note(&mut write, &row.incident, now, name, what).await?;
                }
            }
            Err(failure) => {
                let failing_since = row.failing_since.map_or(now, |since| since.micros());
                let (again_at, is_uncertain) = match failure {
                    Failure::Retry {
                        after,
                        is_uncertain,
                        ..
                    } => {
                        let what = format!("{}/{name}", row.incident);
                        let backoff = self.0.options.backoff;
                        let wait = backoff.micros(row.attempts + 1, &what, *after);
                        let is_over = now.saturating_sub(failing_since) >= policy.give_up;
                        let again_at = (!is_over).then_some(now.saturating_add(wait));
                        (again_at, *is_uncertain)
                    }
                    Failure::Permanent { .. } => (None, false),
                };
                let error = failure.to_string();
                let (incident, attempt) = (&row.incident, row.attempts + 1);
                if again_at.is_some() {
                    tracing::warn!(notifier = %name, %incident, attempt, error, "a report did not arrive; it is tried again");
                } else {
                    tracing::error!(notifier = %name, %incident, error, "a report is given up; send it with `yagura alerts resend`");
                    let what = format!("given up: {error}");
                    incidents::note(&mut write, &row.incident, now, name, &what).await?;
                }
                let failed = Failed {
                    error: &error,
                    // What an earlier attempt left open stays open.
                    is_uncertain: is_uncertain || row.is_uncertain,
                    failing_since,
                    again_at,
                    ready_at,
                };
                deliveries::failed(&mut write, row, &failed).await?;
            }
        }
        write.commit().await
    }
}
