//! The rows of one rule: what it reads, and where the events lie.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, StringArray, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::{cast, concat, filter, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use yagura_core::{EventRef, Finding, Timestamp, key};
use yagura_host::RawFinding;
use yagura_lake::table::event_times;
use yagura_rules::{PluginType, render_text};

use crate::plan::{FieldPlan, Read, RulePlan, TitlePiece};

/// Rows that passed a rule's condition.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// An array for each of the rule's reads.
    pub(crate) columns: Vec<ArrayRef>,
    /// One for each row.
    pub(crate) events: Vec<EventRef>,
}

impl Rows {
    /// Takes the rows of `batch` where `mask` is true; `events` are those of the rows taken.
    pub(crate) fn select(
        rule: &RulePlan,
        batch: &RecordBatch,
        mask: &BooleanArray,
        events: Vec<EventRef>,
    ) -> Result<Self, ArrowError> {
        let all = events.len() == batch.num_rows();
        let columns = rule
            .reads
            .iter()
            .map(|read| {
                let Some(source) = &read.source else {
                    return Ok(new_null_array(&read.data_type, events.len()));
                };
                // Filtering before descending: the path into JSON is only walked for the rows that are left.
                let column = batch.column(source.column);
                let values = if all {
                    source.values_below(column)?
                } else {
                    source.values_below(&filter(column, mask)?)?
                };
                // A dictionary would keep the values of all rows that the scan read.
                match values.data_type() {
                    DataType::Dictionary(_, value) => cast(&values, value),
                    _ => Ok(values),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { columns, events })
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Lets go of the scan's memory before the rows wait for others: a view of a short text keeps the whole page of
    /// Parquet that it came from.
    pub(crate) fn detach(&mut self) {
        for column in &mut self.columns {
            if let Some(texts) = column.as_string_view_opt() {
                *column = Arc::new(texts.gc());
            } else if let Some(bytes) = column.as_binary_view_opt() {
                *column = Arc::new(bytes.gc());
            }
        }
    }

    /// Joins rows of the same rule.
    pub(crate) fn concat(mut parts: Vec<Self>) -> Result<Self, ArrowError> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let width = parts.first().map_or(0, |part| part.columns.len());
        let columns = (0..width)
            .map(|index| {
                let arrays: Vec<&dyn Array> = parts
                    .iter()
                    .map(|part| part.columns[index].as_ref())
                    .collect();
                concat(&arrays)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns,
            events: parts.into_iter().flat_map(|part| part.events).collect(),
        })
    }

    /// Splits off the first `rows` rows.
    pub(crate) fn split_to(&mut self, rows: usize) -> Self {
        let first = self.columns.iter().map(|c| c.slice(0, rows)).collect();
        let left = self.len() - rows;
        for column in &mut self.columns {
            *column = column.slice(rows, left);
        }
        let rest = self.events.split_off(rows);
        Self {
            columns: first,
            events: std::mem::replace(&mut self.events, rest),
        }
    }

    /// Returns a finding for each row, for a rule without a plugin.
    pub(crate) fn findings_each(&self, rule: &RulePlan) -> Result<Vec<Finding>, ArrowError> {
        let raw = (0..self.len())
            .filter_map(|row| u32::try_from(row).ok())
            .map(|row| RawFinding {
                rows: vec![row],
                ..RawFinding::default()
            })
            .collect();
        self.findings(rule, raw)
    }

    /// Completes what a plugin said with what the rule declares: title, key, observables, context.
    pub(crate) fn findings(
        &self,
        rule: &RulePlan,
        raw: Vec<RawFinding>,
    ) -> Result<Vec<Finding>, ArrowError> {
        if raw.is_empty() {
            return Ok(Vec::new());
        }
        // The text of all values of all findings, taken once a column.
        let flat: UInt32Array = raw
            .iter()
            .flat_map(|finding| &finding.rows)
            .copied()
            .collect();
        let mut texts: Vec<Option<StringArray>> = vec![None; rule.reads.len()];
        let wanted = rule
            .key
            .iter()
            .chain(&rule.context)
            .chain(rule.observables.iter().map(|(_, index)| index))
            .chain(rule.title.iter().filter_map(|piece| match piece {
                TitlePiece::Read(index) => Some(index),
                TitlePiece::Text(_) => None,
            }))
            .chain(rule.fields.iter().filter_map(|field| match field {
                FieldPlan::Read(index) => Some(index),
                FieldPlan::Context(_) => None,
            }));
        for index in wanted {
            if texts[*index].is_none() {
                let values = take(&self.columns[*index], &flat, None)?;
                texts[*index] = Some(value_texts(&rule.reads[*index], &values)?);
            }
        }
        let text = |read: usize, at: usize| -> Option<&str> {
            let array = texts[read].as_ref()?;
            array.is_valid(at).then(|| array.value(at))
        };
        let mut at = 0;
        Ok(raw
            .into_iter()
            .map(|finding| {
                let first = at;
                at += finding.rows.len();
                let mut events: Vec<EventRef> = finding
                    .rows
                    .iter()
                    .filter_map(|row| self.events.get(*row as usize).cloned())
                    .collect();
                events.sort();
                events.dedup();
                let mut observables = finding.observables;
                for (kind, read) in &rule.observables {
                    let values = (first..at).filter_map(|at| text(*read, at));
                    let values = values.filter(|value| !value.is_empty());
                    observables.extend(values.map(|value| (kind.clone(), value.to_owned())));
                }
                observables.sort();
                observables.dedup();
                let mut context = finding.context;
                context.extend(rule.context.iter().filter_map(|read| {
                    Some((
                        rule.reads[*read].name.clone(),
                        text(*read, first)?.to_owned(),
                    ))
                }));
                let fields = rule.fields.iter().map(|field| match field {
                    FieldPlan::Read(read) => text(*read, first).map(str::to_owned),
                    FieldPlan::Context(name) => {
                        let mut known = context.iter();
                        Some(known.find(|(known, _)| known == name)?.1.clone())
                    }
                });
                Finding {
                    fields: fields.collect(),
                    time: events.first().map(|event| event.time).unwrap_or_default(),
                    rule: rule.index,
                    key: finding.key.unwrap_or_else(|| {
                        key::join(rule.key.iter().map(|read| text(*read, first)))
                    }),
                    title: finding.title.unwrap_or_else(|| {
                        let pieces = rule.title.iter().map(|piece| match piece {
                            TitlePiece::Text(text) => text.as_str(),
                            TitlePiece::Read(read) => text(*read, first).unwrap_or("(none)"),
                        });
                        pieces.collect()
                    }),
                    severity: finding.severity,
                    events,
                    observables,
                    context,
                }
            })
            .collect())
    }
}

fn value_texts(read: &Read, values: &ArrayRef) -> Result<StringArray, ArrowError> {
    if read.plugin_type == PluginType::TimestampMicros {
        let times = event_times(values)?;
        return Ok(times
            .into_iter()
            .map(|time| time.as_ref().map(Timestamp::to_string))
            .collect());
    }
    Ok(render_text(values)?.as_string::<i32>().clone())
}

/// Returns the events of the rows where `mask` is true.
pub(crate) fn events_of(
    mask: &BooleanArray,
    times: &[Option<Timestamp>],
    objects: &[Arc<str>],
    object_of: &[usize],
    rows: &[i64],
) -> Vec<EventRef> {
    mask.values()
        .set_indices()
        .filter_map(|index| {
            Some(EventRef {
                time: times[index]?,
                object: Arc::clone(objects.get(object_of[index])?),
                row: u64::try_from(rows[index]).ok()?,
            })
        })
        .collect()
}
