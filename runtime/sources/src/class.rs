//! Events that are written as events of a class, such as those of a rule's test cases.

use std::sync::Arc;

use yagura_lake::ingest::{Normalize, Normalized, SourceTable};
use yagura_lake::{ColumnDefinition, ColumnKind};
use yagura_ocsf::{Class, Schema};

/// Adds what follows from the class to events that have its attributes already.
#[derive(Debug)]
struct OfClass {
    name: &'static str,
    members: String,
}

impl Normalize for OfClass {
    fn normalize(&self, events: &[&str]) -> Vec<Normalized> {
        let row = Normalized {
            members: self.members.clone(),
            class: self.name,
            ..Normalized::default()
        };
        vec![row; events.len()]
    }
}

/// Returns what ingests events that are written as events of a class; nothing where there is no such class.
pub fn class_table(class: &str) -> Option<SourceTable> {
    let class: &'static Class = Schema::shipped().class(class)?;
    Some(SourceTable {
        name: class.name().to_owned(),
        time_paths: Vec::new(),
        grok: None,
        parser: None,
        each: None,
        repeats: None,
        processed_time: None,
        columns: vec![ColumnDefinition::of_key("class_uid", ColumnKind::Int64)],
        normalizer: Arc::new(OfClass {
            name: class.name(),
            members: format!("\"class_uid\":{}", class.uid()),
        }),
    })
}
