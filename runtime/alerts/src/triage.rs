//! The triage: the outcome of each alert.
//!
//! ```text
//! line ─▶ known? ─ no ─▶ decide   suppressed │ maintenance │ staged │ inhibited │ reported
//!           │ yes                                                          │
//!           ▼                                                              ▼
//!         update: final, withdrawn, more severe                      group     successor ▸ flood ▸ shares an observable ▸ new
//!           │                                                              │
//!           └──────────▶ revision of the incident, its notifiers, its enrichers and reviewers ◀───┘
//! ```
//!
//! A batch of lines is one transaction with the number of its last line. All that is decided follows from the policy and
//! the lines in their order: batches, restarts and the clock change nothing but stamps and delays.
//!
//! Inhibition looks back: a more severe alert silences what comes after it in the lines, near it in event time. Alerts are reported
//! as they are committed, so no alert waits that a later one could silence. When the more severe
//! alert is withdrawn, what it silenced is decided again.

mod decide;
pub(crate) mod group;
mod known;
mod rehearse;

use std::sync::Arc;

use tokio::sync::watch;
use yagura_core::alert::OWN;
use yagura_core::report::AlertLine;

use crate::policy::CompiledPolicy;
use crate::store::rows::Outcome;
use crate::store::{AlertStore, AlertStoreError, Lead, deliveries, number, rounds, set_number};

pub use rehearse::{RehearseError, rehearse};

/// Why lines are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] AlertStoreError),
    /// Lines are missing.
    #[error(
        "line {found} of the alerts comes after line {taken}: the store of alerts lacks those between; restore it and the state from one backup, or begin it anew"
    )]
    Gap {
        /// The last one that was taken.
        taken: i64,
        /// The one that came.
        found: i64,
    },
}

/// A file of lines, as the state of a service knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// Names the state: another one has another number.
    pub state: i64,
    /// The lines after this one are still in the state. An empty store begins with them: others have read those before.
    pub delivered: i64,
    /// The last line.
    pub last: i64,
}

/// Where a store continues with lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedPosition {
    /// Where it ended, or at their beginning.
    On,
    /// It has taken lines of another state, or of the same one when that was newer: those of this state come after them.
    Anew {
        /// How many lines it has taken.
        taken: i64,
        /// The line that it takes next.
        next: i64,
    },
}

/// The result of taking lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TriageCounts {
    /// Number of the last line that was taken, now and before.
    pub seq: i64,
    /// Lines that were taken now.
    pub lines: u64,
    /// Alerts that are new and reported.
    pub reported: u64,
    /// Alerts that are new and recorded only.
    pub silent: u64,
    /// Incidents that were opened, floods among them.
    pub opened: u64,
}

/// Decides the outcome of alerts. One process has the triage of a store.
#[derive(Debug, Clone)]
pub struct Triage {
    pub(crate) lead: Arc<Lead>,
    pub(crate) policy: Arc<CompiledPolicy>,
    pub(crate) signal: Arc<Signal>,
}

/// Wakes workers when there may be something to do.
#[derive(Debug)]
pub(crate) struct Signal(watch::Sender<u64>);

impl Signal {
    pub(crate) fn wake(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Name of the number of the last line.
const TAKEN: &str = "taken";
/// Name of how many lines were taken of states before this one: so much its lines are moved by.
const BEFORE: &str = "taken_before";
/// Name of the state whose lines are taken.
const STATE: &str = "state";
/// Name of the latest event time.
const EVENT_TIME: &str = "event_time";

/// What is at hand while a line is taken.
pub(crate) struct Context<'a> {
    policy: &'a CompiledPolicy,
    seq: i64,
    now: i64,
    taken: TriageCounts,
}

impl Triage {
    /// Takes the lead of a store. Reports and runs of enrichers that a process began before it died are due again. `rules` are the ids of
    /// the rules that run: those that the policy lists as on trial count their quiet from now on, in event time.
    ///
    /// # Errors
    /// [`AlertStoreError::Busy`] where another process has the triage.
    pub async fn open(
        store: &AlertStore,
        policy: Arc<CompiledPolicy>,
        rules: &[String],
    ) -> Result<Self, TriageError> {
        let lead = Lead::take(store).await?;
        let mut write = lead.write().await?;
        deliveries::recover(&mut write, store.now()).await?;
        rounds::recover(&mut write).await?;
        let names: Vec<&str> = policy.notifiers.keys().map(String::as_str).collect();
        deliveries::bury_unknown(&mut write, &names).await?;
        let event_time = number(&mut write, EVENT_TIME).await?;
        for rule in rules.iter().filter(|rule| policy.staging.lists(rule)) {
            decide::stage(&mut write, rule, event_time).await?;
        }
        write.commit().await?;
        Ok(Self {
            lead: Arc::new(lead),
            policy,
            signal: Arc::new(Signal(watch::Sender::new(0))),
        })
    }

    /// Returns the store.
    pub fn store(&self) -> &AlertStore {
        self.lead.store()
    }

    /// Returns the policy.
    pub fn policy(&self) -> &CompiledPolicy {
        &self.policy
    }

    /// Returns the number of the last line that was taken, zero before the first.
    ///
    /// # Errors
    /// [`TriageError::Store`]
    pub async fn last(&self) -> Result<i64, TriageError> {
        let mut connection = self.store().read().await?;
        let taken = number(&mut connection, TAKEN).await?.unwrap_or(0);
        let before = number(&mut connection, BEFORE).await?.unwrap_or(0);
        Ok(taken.saturating_sub(before))
    }

    /// Makes sure that no line of a state is taken for one that is known already. A store of another state, or of a newer one,
    /// takes all lines that this state still has. Lines about alerts that it knows change these: no alert is opened twice.
    ///
    /// # Errors
    /// [`TriageError::Gap`] where the store lacks lines that the state has no more.
    pub async fn follow(&self, feed: Feed) -> Result<FeedPosition, TriageError> {
        let mut write = self.lead.write().await?;
        let taken = number(&mut write, TAKEN).await?.unwrap_or(0);
        let before = number(&mut write, BEFORE).await?.unwrap_or(0);
        let state = number(&mut write, STATE).await?;
        let is_same = state.is_none_or(|state| state == feed.state);
        let followed = if taken == 0 {
            set_number(&mut write, TAKEN, feed.delivered).await?;
            FeedPosition::On
        } else if is_same && taken.saturating_sub(before) <= feed.last {
            if taken.saturating_sub(before) < feed.delivered {
                return Err(TriageError::Gap {
                    taken: taken.saturating_sub(before),
                    found: feed.delivered.saturating_add(1),
                });
            }
            FeedPosition::On
        } else {
            set_number(&mut write, BEFORE, taken.saturating_sub(feed.delivered)).await?;
            FeedPosition::Anew {
                taken,
                next: feed.delivered.saturating_add(1),
            }
        };
        set_number(&mut write, STATE, feed.state).await?;
        write.commit().await?;
        Ok(followed)
    }

    /// Takes lines, in order; those that were taken before are passed over. All of them and the number of the last are
    /// recorded in one transaction, and workers are woken.
    ///
    /// # Errors
    /// [`TriageError::Gap`] where lines are missing: nothing is taken then.
    pub async fn take<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a AlertLine>,
    ) -> Result<TriageCounts, TriageError> {
        let mut write = self.lead.write().await?;
        let seq = number(&mut write, TAKEN).await?.unwrap_or(0);
        let before = number(&mut write, BEFORE).await?.unwrap_or(0);
        let lines = lines.into_iter();
        let lines: Vec<&'a AlertLine> = lines
            .skip_while(|line| line.seq.saturating_add(before) <= seq)
            .collect();
        let Some(first) = lines.first() else {
            return Ok(TriageCounts {
                seq: seq.saturating_sub(before),
                ..TriageCounts::default()
            });
        };
        let mut event_time = number(&mut write, EVENT_TIME).await?;
        if event_time.is_none() && !first.alert.rule.starts_with(OWN) {
            decide::begin_quiet(&mut write, first.alert.first_time.micros()).await?;
        }
        let mut context = Context {
            policy: &self.policy,
            seq,
            now: self.store().now(),
            taken: TriageCounts::default(),
        };
        for line in &lines {
            let next = context.seq.saturating_add(1);
            if line.seq.saturating_add(before) != next {
                return Err(TriageError::Gap {
                    taken: context.seq.saturating_sub(before),
                    found: line.seq,
                });
            }
            context.seq = next;
            context.line(&mut write, line).await?;
            // The service's own alerts have the clock's time, which is not that of events.
            if !line.alert.rule.starts_with(OWN) {
                event_time = event_time.max(Some(line.alert.last_time.micros()));
            }
        }
        set_number(&mut write, TAKEN, context.seq).await?;
        if let Some(event_time) = event_time {
            set_number(&mut write, EVENT_TIME, event_time).await?;
        }
        write.commit().await?;
        self.signal.wake();
        Ok(TriageCounts {
            seq: context.seq.saturating_sub(before),
            lines: u64::try_from(lines.len()).unwrap_or(u64::MAX),
            ..context.taken
        })
    }

    /// Wakes workers, for instance after something was done with an incident in this process.
    pub fn wake(&self) {
        self.signal.wake();
    }
}

impl Context<'_> {
    fn count(&mut self, outcome: Outcome) {
        if outcome == Outcome::Reported {
            self.taken.reported += 1;
        } else {
            self.taken.silent += 1;
        }
    }
}
