//! The rows of one rule: what it reads, and where the events lie.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, StringArray, UInt32Array, make_array, new_null_array,
};
use datafusion::arrow::compute::{cast, concat, filter, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use yagura_core::{EventRef, Finding, Timestamp, key};
use yagura_host::RawFinding;
use yagura_lake::nested_sizes;
use yagura_lake::table::event_times;
use yagura_plan::{FieldPlan, FieldRead, RulePlan, TitlePiece};
use yagura_rules::PluginType;

use crate::limits::BATCH_BYTES;
use crate::shown::{shown, shown_texts};

/// Rows that passed a rule's condition.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// An array for each of the rule's reads.
    pub(crate) columns: Vec<ArrayRef>,
    /// One for each row.
    pub(crate) events: Vec<EventRef>,
}

/// Rows that a scan selected for a rule that keeps state.
#[derive(Debug)]
pub struct RuleRows {
    /// Place of the rule in its table's plan.
    pub(crate) position: usize,
    pub(crate) rows: Rows,
}

impl RuleRows {
    /// Returns how many there are; never none.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

impl Rows {
    /// Returns about how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        let columns = self
            .columns
            .iter()
            .map(|column| column.get_array_memory_size());
        columns.sum::<usize>() + self.events.len() * size_of::<EventRef>()
    }

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
                let values = source.values(|index| match all {
                    true => Ok(Arc::clone(batch.column(index))),
                    false => filter(batch.column(index), mask),
                })?;
                // Plugins get no dictionaries. Views share what a dictionary's rows share.
                match values.data_type() {
                    DataType::Dictionary(_, value) if rule.plugin.is_some() => {
                        match value.is_string() {
                            true => cast(&values, &DataType::Utf8View),
                            false => cast(&values, value),
                        }
                    }
                    _ => Ok(values),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { columns, events })
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns how many bytes their texts take, each by itself.
    pub(crate) fn text_bytes(&self) -> usize {
        let columns = self.columns.iter().map(text_bytes);
        columns.fold(0, usize::saturating_add)
    }

    /// Returns how many of the first rows a plugin gets at once: `most` of them, unless their texts take more than
    /// [`BATCH_BYTES`]; always one.
    pub(crate) fn at_once(&self, most: usize) -> usize {
        let mut rows = most.min(self.len());
        let bytes_of = |rows: usize| -> usize {
            let columns = self.columns.iter();
            columns
                .map(|column| text_bytes(&column.slice(0, rows)))
                .fold(0, usize::saturating_add)
        };
        while rows > 1 && bytes_of(rows) > BATCH_BYTES {
            rows /= 2;
        }
        rows
    }

    /// Releases the scan's memory before the rows wait for others: a view of a short text keeps the whole page of
    /// Parquet that it came from.
    pub(crate) fn detach(&mut self) {
        for column in &mut self.columns {
            if let Some(own) = detached(column) {
                *column = own;
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

    /// Completes what a plugin returned with what the rule declares: title, key, observables, context.
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
        for read in rule.finding_reads() {
            if texts[read].is_none() {
                texts[read] = Some(self.texts(rule, read, &flat)?);
            }
        }
        let text = |read: usize, at: usize| -> Option<&str> {
            let array = texts[read].as_ref()?;
            array.is_valid(at).then(|| array.value(at))
        };
        let event = |row: u32| self.events.get(row as usize).cloned();
        Ok(complete(rule, raw, event, text))
    }

    /// Returns the text of a column's values in these rows.
    fn texts(
        &self,
        rule: &RulePlan,
        read: usize,
        rows: &UInt32Array,
    ) -> Result<StringArray, ArrowError> {
        let values = take(&self.columns[read], rows, None)?;
        value_texts(&rule.reads[read], &values)
    }

    /// Returns the rows of each partition key. Rows without any value share the empty one.
    pub(crate) fn by_key(&self, rule: &RulePlan) -> Result<BTreeMap<String, Vec<u32>>, ArrowError> {
        let texts = rule
            .partition
            .iter()
            .map(|read| value_texts(&rule.reads[*read], &self.columns[*read]))
            .collect::<Result<Vec<_>, _>>()?;
        let mut keys: HashMap<String, Vec<u32>> = HashMap::new();
        for row in 0..self.len() {
            let values = texts
                .iter()
                .map(|texts| texts.is_valid(row).then(|| texts.value(row)));
            let key = if values.clone().all(|value| value.is_none()) {
                String::new()
            } else {
                key::join(values)
            };
            let number = u32::try_from(row)
                .map_err(|_| ArrowError::ComputeError("more than 2^32 rows".into()))?;
            keys.entry(key).or_default().push(number);
        }
        Ok(keys.into_iter().collect())
    }

    /// Returns the rows of a range.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let columns = self.columns.iter();
        Self {
            columns: columns
                .map(|column| column.slice(range.start, range.len()))
                .collect(),
            events: self.events[range].to_vec(),
        }
    }

    /// Returns the rows for which there is `true`.
    pub(crate) fn filter(&self, is_taken: Vec<bool>) -> Result<Self, ArrowError> {
        let events = self.events.iter().zip(&is_taken);
        let events = events.filter(|(_, taken)| **taken);
        let events = events.map(|(event, _)| event.clone()).collect();
        let mask = BooleanArray::from(is_taken);
        let columns = self.columns.iter().map(|column| filter(column, &mask));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            events,
        })
    }

    /// Returns the rows from a time on, in microseconds.
    pub(crate) fn not_before(self, time: i64) -> Result<Self, ArrowError> {
        let is_taken = |event: &EventRef| event.time.micros() >= time;
        if self.events.iter().all(is_taken) {
            return Ok(self);
        }
        self.filter(self.events.iter().map(is_taken).collect())
    }

    /// Gives columns the types in which they are stored, if they have others.
    pub(crate) fn with_stored_types(mut self, rule: &RulePlan) -> Result<Self, ArrowError> {
        for (column, read) in self.columns.iter_mut().zip(&rule.reads) {
            let wanted = stored_type(read);
            if *column.data_type() != wanted {
                *column = cast(column, &wanted)?;
            }
        }
        Ok(self)
    }

    /// Returns these rows, in this order.
    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<Self, ArrowError> {
        let columns = self.columns.iter().map(|column| take(column, rows, None));
        let events = rows.values().iter();
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            events: events
                .map(|row| self.events[*row as usize].clone())
                .collect(),
        })
    }

    /// Returns the parts of one row that findings show.
    pub(crate) fn summary(
        &self,
        rule: &RulePlan,
        row: usize,
    ) -> Result<Option<RowSummary>, ArrowError> {
        let (Some(event), Ok(at)) = (self.events.get(row), u32::try_from(row)) else {
            return Ok(None);
        };
        let at = UInt32Array::from(vec![at]);
        let mut values = BTreeMap::new();
        for read in rule.finding_reads() {
            let name = &rule.reads[read].name;
            if !values.contains_key(name) {
                let texts = self.texts(rule, read, &at)?;
                let text = texts.is_valid(0).then(|| texts.value(0).to_owned());
                values.insert(name.clone(), text);
            }
        }
        Ok(Some(RowSummary {
            time: event.time.micros(),
            object: event.object.to_string(),
            row: event.row,
            values,
        }))
    }
}

/// The parts of a row that findings show, so that the row need not be stored whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RowSummary {
    /// Event time in microseconds.
    pub(crate) time: i64,
    object: String,
    row: u64,
    /// By name of the path.
    values: BTreeMap<String, Option<String>>,
}

impl RowSummary {
    pub(crate) fn event(&self) -> EventRef {
        EventRef {
            time: Timestamp::clamped(self.time),
            object: self.object.as_str().into(),
            row: self.row,
        }
    }

    /// Completes what a plugin returned when it was woken, as of this row.
    pub(crate) fn findings(&self, rule: &RulePlan, mut raw: Vec<RawFinding>) -> Vec<Finding> {
        for finding in &mut raw {
            finding.rows = vec![0];
        }
        let text = |read: usize, _| self.values.get(&rule.reads[read].name)?.as_deref();
        complete(rule, raw, |_| Some(self.event()), text)
    }
}

/// Completes what a plugin returned. `text` returns what a read is at a place in the list of all findings' rows.
fn complete<'a>(
    rule: &RulePlan,
    raw: Vec<RawFinding>,
    event: impl Fn(u32) -> Option<EventRef>,
    text: impl Fn(usize, usize) -> Option<&'a str>,
) -> Vec<Finding> {
    let mut at = 0;
    let findings = raw.into_iter().map(|finding| {
        let first = at;
        at += finding.rows.len();
        let mut events: Vec<EventRef> = finding.rows.iter().filter_map(|row| event(*row)).collect();
        events.sort();
        events.dedup();
        let mut observables = drop_newest(finding.observables);
        for (kind, read) in &rule.observables {
            let values = (first..at).filter_map(|at| text(*read, at));
            let values = values.filter(|value| !value.is_empty());
            observables.extend(values.map(|value| (kind.clone(), value.to_owned())));
        }
        observables.sort();
        observables.dedup();
        let mut context = drop_newest(finding.context);
        context.extend(rule.context.iter().filter_map(|read| {
            let name = rule.reads[*read].name.clone();
            Some((name, text(*read, first)?.to_owned()))
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
            key: finding
                .key
                .map(|key| shown(&key).into_owned())
                .unwrap_or_else(|| key::join(rule.key.iter().map(|read| text(*read, first)))),
            title: finding
                .title
                .map(|title| shown(&title).into_owned())
                .unwrap_or_else(|| {
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
    });
    findings.collect()
}

/// Returns a column whose views hold no more than they need; `None` for one without views.
fn detached(column: &ArrayRef) -> Option<ArrayRef> {
    if let Some(texts) = column.as_string_view_opt() {
        return Some(Arc::new(texts.gc()));
    }
    if let Some(bytes) = column.as_binary_view_opt() {
        return Some(Arc::new(bytes.gc()));
    }
    if !column.data_type().is_nested() {
        return None;
    }
    let data = column.to_data();
    let mut is_other = false;
    let children = data.child_data().iter().map(|child| {
        let own = detached(&make_array(child.clone()));
        is_other |= own.is_some();
        own.map_or_else(|| child.clone(), |own| own.to_data())
    });
    let children = children.collect();
    let own = data.into_builder().child_data(children).build();
    // What cannot be made smaller stays as it is.
    own.ok().filter(|_| is_other).map(make_array)
}

/// Returns how many bytes the texts of a column take, each by itself; nought for numbers.
fn text_bytes(column: &ArrayRef) -> usize {
    if let Some(sizes) = nested_sizes(column) {
        let all = sizes.into_iter().fold(0, u64::saturating_add);
        return usize::try_from(all).unwrap_or(usize::MAX);
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        let offsets = texts.value_offsets();
        let bytes = offsets.last().zip(offsets.first());
        return bytes.map_or(0, |(end, start)| usize::try_from(end - start).unwrap_or(0));
    }
    let lengths = |lengths: &mut dyn Iterator<Item = u32>| lengths.map(|n| n as usize).sum();
    if let Some(texts) = column.as_string_view_opt() {
        return lengths(&mut texts.lengths());
    }
    column
        .as_binary_view_opt()
        .map_or(0, |bytes| lengths(&mut bytes.lengths()))
}

/// Cuts what a plugin returned to what is shown.
fn drop_newest(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let of = |text: String| {
        match shown(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(cut) => Some(cut),
        }
        .unwrap_or(text)
    };
    pairs
        .into_iter()
        .map(|(name, value)| (of(name), of(value)))
        .collect()
}

/// Returns the type of a read's values when they wait outside of a scan.
pub(crate) fn stored_type(read: &FieldRead) -> DataType {
    match &read.data_type {
        DataType::Dictionary(_, value) => DataType::clone(value),
        other => other.clone(),
    }
}

fn value_texts(read: &FieldRead, values: &ArrayRef) -> Result<StringArray, ArrowError> {
    if read.plugin_type == PluginType::TimestampMicros {
        let times = event_times(values)?;
        return Ok(times
            .into_iter()
            .map(|time| time.as_ref().map(Timestamp::to_string))
            .collect());
    }
    shown_texts(values)
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
