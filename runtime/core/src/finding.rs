//! What a rule says about events, before it becomes an alert.

use crate::{Severity, Timestamp};

/// Where an event lies: the row of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    /// Event time.
    pub time: Timestamp,
    /// URL or path of the object, as the table lists it.
    pub object: std::sync::Arc<str>,
    /// Row inside the object, from zero.
    pub row: u64,
}

/// A rule's statement about one or more events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Index of the rule in the run's rules.
    pub rule: usize,
    /// When it was known, in event time: the first event's, or for a correlation that of the event or the deadline that
    /// completed it.
    pub time: Timestamp,
    /// The events, in order of time, object and row; never empty.
    pub events: Vec<EventRef>,
    /// What the alert is about, from the rule's key columns or the plugin.
    pub key: String,
    /// The rule's title with its placeholders filled, or the plugin's own.
    pub title: String,
    /// The plugin's severity, if it gave one.
    pub severity: Option<Severity>,
    /// Kind and value of what is worth searching for.
    pub observables: Vec<(String, String)>,
    /// Further facts for a reader.
    pub context: Vec<(String, String)>,
    /// Values of the fields that correlations ask of the rule, in the order in which the run's plan names them.
    pub fields: Vec<Option<String>>,
}

impl Finding {
    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let pairs = self.observables.iter().chain(&self.context);
        let fields = self.fields.iter().flatten().map(String::len);
        size_of::<Self>()
            + self.events.len() * size_of::<EventRef>()
            + self.key.len()
            + self.title.len()
            + pairs
                .map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len())
                .sum::<usize>()
            + fields.sum::<usize>()
    }
}
