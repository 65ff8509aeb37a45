//! Searches and lookup tables that answer from a case's file.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};
use yagura_host::{
    Caller, ColumnBytes, DataType, Field, Lookup, PluginError, SearchPort, SearchQuery,
    SearchedEvents,
};
use yagura_service::answering::{TIME, text_column};

use crate::answer_file::RecordedSearch;

/// Searches and lookup tables of a case.
pub(crate) struct RecordedServices {
    pub(crate) search: Vec<RecordedSearch>,
    pub(crate) lookups: BTreeMap<String, BTreeMap<String, Value>>,
    /// What was asked and is not in the case.
    pub(crate) unmatched: Mutex<Vec<String>>,
}

impl SearchPort for RecordedServices {
    fn find(
        &self,
        _: &Caller,
        query: &SearchQuery,
        _: Instant,
    ) -> Result<SearchedEvents, PluginError> {
        let (kind, value) = &query.observable;
        let found = self.search.iter().find(|searched| {
            searched.table == query.table && searched.kind == *kind && searched.value == *value
        });
        let Some(found) = found else {
            let asked = format!(
                "it searched what no `search` answers: {kind} {value} in `{}`",
                query.table
            );
            let mut unmatched = self
                .unmatched
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            unmatched.push(asked.clone());
            return Err(PluginError::Config(asked));
        };
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let events = &found.events[..found.events.len().min(limit)];
        let columns = query.columns.iter().map(|name| {
            text_column(events.iter().map(|event| match event.get(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            }))
        });
        let columns: Vec<ColumnBytes> = columns.collect();
        let mut answer = SearchedEvents {
            schema: Vec::new(),
            rows: u32::try_from(events.len()).unwrap_or(u32::MAX),
            columns,
            truncated: found.events.len() > events.len(),
        };
        for (name, column) in query.columns.iter().zip(&mut answer.columns) {
            let is_time = name == TIME;
            if is_time {
                let micros = events.iter().flat_map(|event| time_of(event).to_le_bytes());
                *column = ColumnBytes {
                    values: micros.collect(),
                    ..ColumnBytes::default()
                };
            }
            answer.schema.push(Field {
                name: name.clone(),
                data_type: match is_time {
                    true => DataType::TimestampUs,
                    false => DataType::Utf8,
                },
                nullable: !is_time,
            });
        }
        Ok(answer)
    }
}

fn time_of(event: &Map<String, Value>) -> i64 {
    let text = event.get(TIME).and_then(Value::as_str);
    let time: Option<yagura_core::Timestamp> = text.and_then(|text| text.parse().ok());
    time.unwrap_or_default().micros()
}

impl Lookup for RecordedServices {
    fn get(&self, _: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        match self.lookups.get(table) {
            Some(rows) => Ok(rows.get(key).map(Value::to_string)),
            None => Err(PluginError::Config(format!(
                "there is no lookup table `{table}`"
            ))),
        }
    }
}
