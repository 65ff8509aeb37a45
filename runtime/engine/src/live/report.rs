//! Reports of a service: what it opened, and what each step did.

use yagura_correlate::store::Pause;
use yagura_plan::NotRun;

/// Rules and messages of a service that starts.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// What became of rules that changed, and of tables.
    pub messages: Vec<String>,
    /// Rules that do not run.
    pub not_run: Vec<NotRun>,
    /// Rules that do.
    pub rules: usize,
}

/// The work of a step.
#[derive(Debug, Default)]
pub struct StepReport {
    /// For each table how many objects were read, and how many events its rules looked at.
    pub read: Vec<(String, usize, u64)>,
    /// Objects that are listed and not read yet.
    pub waiting: usize,
    /// Alerts that were withdrawn, that became provisional or changed, that were final: in the order of
    /// [`State`](yagura_correlate::State).
    pub changes: [usize; 3],
    /// Findings that came after their time had been final, and events that came too late for rules that keep state.
    pub late: u64,
    /// Messages for a person.
    pub messages: Vec<String>,
    /// Whether the next step goes on at once: detectors had no room for the states of more keys in this one.
    pub goes_on: bool,
    /// Whether rules that are evaluated in the background have come to something.
    pub background_events: bool,
    /// How long the checkpoint held the step up.
    pub pause: Pause,
}
