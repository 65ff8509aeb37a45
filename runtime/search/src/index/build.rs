//! An object to the rows of an index: each value of its observables, with the blocks that hold it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;
use yagura_core::columns::RAW_COLUMN;
use yagura_core::{FieldPath, TimeRange, Timestamp};
use yagura_lake::guard::Guarded;
use yagura_lake::table::{DataFile, Table, store_failure};
use yagura_plan::{PlanError, ReadOptions, TablePlan, Tuning, object_store_url, scan};
use yagura_rules::predicate::Predicate;
use yagura_rules::sigma::searched_columns;
use yagura_rules::{FieldTexts, render_text, resolve};

use super::keys::{ADDRESS, DIGEST, keys_in, keys_of};
use super::segment::{BLOCK_ROWS, ValueEntry};
use crate::kinds::Kind;
use crate::table_scan::query_as_rule;

/// Of a kind that is looked for in all text, so many values an event are not worth their room: identifiers of requests and sessions.
const MOST_IN_TEXT: u64 = 8;
/// An object is taken to have so many rows at least, before all are read.
const USUAL_ROWS: u64 = 128 * 1_024;
/// Texts of a kind whose keys are remembered, and how long they are at most.
const MOST_KNOWN: usize = 1 << 16;
const LONGEST_KNOWN: usize = 256;

/// What an object holds.
#[derive(Default)]
pub(crate) struct ObjectEntries {
    /// Its values by kind and key.
    pub(crate) kinds: BTreeMap<&'static str, KindEntries>,
    /// How many rows it has.
    pub(crate) rows: u64,
}

/// The values of one kind.
#[derive(Default)]
pub(crate) struct KindEntries {
    ids: HashMap<Box<str>, u32, RandomState>,
    entries: Vec<ValueEntry>,
    /// The ids of some texts, so that keys are not made again of a text that comes again.
    known: HashMap<Box<str>, Box<[u32]>, RandomState>,
    /// Ids and rows of the batch that is being read.
    found: Vec<(u32, u32)>,
    /// Whether there were too many values: none is kept.
    is_given_up: bool,
}

impl KindEntries {
    fn id_of(&mut self, key: &str) -> u32 {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(ValueEntry::default());
        self.ids.insert(key.into(), id);
        id
    }

    /// Adds a value that rows of the batch have.
    fn add(&mut self, kind: Kind, text: &str, rows: &[u32]) {
        if let Some(ids) = self.known.get(text) {
            let found = ids.iter().flat_map(|id| rows.iter().map(|row| (*id, *row)));
            self.found.extend(found);
            return;
        }
        let mut ids = Vec::new();
        keys_of(kind, text, &mut |key| ids.push(self.id_of(key)));
        let found = ids.iter().flat_map(|id| rows.iter().map(|row| (*id, *row)));
        self.found.extend(found);
        if self.known.len() < MOST_KNOWN && text.len() <= LONGEST_KNOWN {
            self.known.insert(text.into(), ids.into());
        }
    }

    /// Adds a key that stands in the text of a row.
    fn add_in_text(&mut self, key: &str, row: u32) {
        if !self.is_given_up {
            let id = self.id_of(key);
            self.found.push((id, row));
        }
    }

    /// Gives up what will have too many values.
    fn give_up_above(&mut self, most: usize) {
        if self.ids.len() > most {
            *self = Self {
                is_given_up: true,
                ..Self::default()
            };
        }
    }

    /// Ends a batch; `place` returns the number of a row in its object, and its time.
    fn end_batch(&mut self, place: impl Fn(usize) -> (u64, Option<i64>)) {
        // An event that has a value twice counts once.
        self.found.sort_unstable();
        self.found.dedup();
        for (id, row) in self.found.drain(..) {
            let (number, time) = place(row as usize);
            self.entries[id as usize].add(number, time);
        }
    }

    fn get(&self, key: &str) -> Option<&ValueEntry> {
        self.entries.get(*self.ids.get(key)? as usize)
    }

    /// Returns the values with their keys.
    pub(crate) fn into_values(mut self) -> impl Iterator<Item = (Box<str>, ValueEntry)> {
        self.ids
            .into_iter()
            .map(move |(key, id)| (key, std::mem::take(&mut self.entries[id as usize])))
    }
}

impl ObjectEntries {
    /// Returns the kinds that have too many values, and leaves them out.
    fn finish(&mut self) -> Vec<String> {
        let mut lacks = Vec::new();
        for kind in [ADDRESS, DIGEST] {
            let in_text = self.kinds.entry(kind).or_default();
            in_text.give_up_above(most_in_text(self.rows));
            if in_text.is_given_up {
                lacks.push(kind.to_owned());
            }
        }
        lacks
    }
}

/// Returns how many different values of so many events are kept, of a kind that is looked for in all text.
fn most_in_text(rows: u64) -> usize {
    usize::try_from(rows / MOST_IN_TEXT + 1_000).unwrap_or(usize::MAX)
}

/// The fields of each kind that a table has.
pub(crate) fn fields_of(
    table: &Table,
    configured: &BTreeMap<String, Vec<FieldPath>>,
) -> Vec<(Kind, Vec<FieldPath>)> {
    let schema = table.schema();
    let fields = Kind::ALL.map(|kind| (kind, kind.fields(&schema, configured)));
    fields
        .into_iter()
        .filter(|(_, fields)| !fields.is_empty())
        .collect()
}

/// Returns for each kind a digest of the fields that are read for it, and of their types: where it differs, an index answers nothing
/// about the kind.
pub(crate) fn digests(
    table: &Table,
    fields: &[(Kind, Vec<FieldPath>)],
) -> BTreeMap<String, String> {
    let schema = table.schema();
    let of_kind = |(kind, fields): &(Kind, Vec<FieldPath>)| {
        let mut hash = Sha256::new();
        for path in fields {
            hash.update(path.to_string());
            for place in resolve::places(&schema, path) {
                let column = schema.field(place.column).name();
                hash.update(format!(
                    "\n{column} {:?} {:?} {}",
                    place.fields, place.json, place.data_type
                ));
            }
            hash.update("\n\n");
        }
        (kind.name().to_owned(), hex(&hash.finalize()[..8]))
    };
    // Columns that come later are not in objects that are there already.
    let in_text = [ADDRESS, DIGEST].map(|kind| (kind.to_owned(), String::new()));
    fields.iter().map(of_kind).chain(in_text).collect()
}

/// What reads the objects of a table for its index.
pub(crate) struct ObjectReader {
    plan: TablePlan,
    cache: Arc<FileMetadataCache>,
    session: SessionContext,
    fields: Vec<(Kind, FieldTexts)>,
    /// Columns of the scan in whose text addresses and hashes are looked for.
    texts: Vec<usize>,
}

impl ObjectReader {
    pub(crate) fn new(
        table: Arc<Table>,
        cache: Arc<FileMetadataCache>,
        fields: &[(Kind, Vec<FieldPath>)],
    ) -> Result<Self, PlanError> {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(8_192);
        let session = SessionContext::new_with_config(config);
        let scan_error = |source| PlanError::Scan {
            table: table.name.clone(),
            source,
        };
        let url = object_store_url(&table).map_err(scan_error)?;
        session
            .runtime_env()
            .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
        let schema = table.schema();
        let mut searched = searched_columns(&schema);
        searched.extend(FieldPath::new(vec![RAW_COLUMN.to_owned()]));
        let has_text = |column: &usize| may_hold_text(schema.field(*column).data_type());
        let names = searched
            .iter()
            .filter_map(|path| schema.index_of(path.segments().first()?).ok());
        let mut texts: Vec<usize> = names.filter(has_text).collect();
        texts.sort_unstable();
        texts.dedup();
        let of_kind = |paths: &[FieldPath]| {
            let paths: Vec<(usize, FieldPath)> =
                paths.iter().map(|path| (0, path.clone())).collect();
            paths
        };
        let columns: Vec<usize> = fields
            .iter()
            .flat_map(|(_, paths)| FieldTexts::of_members(&schema, &of_kind(paths)).columns())
            .chain(texts.iter().copied())
            .collect();
        let source = query_as_rule(&table.name, Predicate::Always(true));
        let plan = TablePlan::with_columns(
            &session.state(),
            Arc::clone(&table),
            &[(0, source)],
            columns,
            Tuning::default(),
        )?;
        // Columns of the table to those of the scan.
        let texts = texts
            .into_iter()
            .filter_map(|index| plan.columns.iter().position(|column| *column == index));
        Ok(Self {
            texts: texts.collect(),
            fields: fields
                .iter()
                .map(|(kind, paths)| {
                    (
                        *kind,
                        FieldTexts::of_members(&plan.scan_schema, &of_kind(paths)),
                    )
                })
                .collect(),
            plan,
            cache,
            session,
        })
    }

    /// Returns what an object holds, and the kinds of which it has too many values.
    ///
    /// # Errors
    /// A store that fails, or an object that cannot be read.
    pub(crate) async fn read(
        &self,
        file: &DataFile,
    ) -> Result<(ObjectEntries, Vec<String>), DataFusionError> {
        match self.read_as(file, false).await {
            Err(error) if store_failure(&error).is_none() => self.read_as(file, true).await,
            read => read,
        }
    }

    async fn read_as(
        &self,
        file: &DataFile,
        text_as_bytes: bool,
    ) -> Result<(ObjectEntries, Vec<String>), DataFusionError> {
        let reading = ReadOptions {
            range: TimeRange::default(),
            text_as_bytes,
            is_narrowed: false,
            counts: Arc::default(),
            store: None,
            rows: Arc::default(),
        };
        let state = self.session.state();
        let cache = Arc::clone(&self.cache);
        let files = std::slice::from_ref(file);
        let plan = scan(&self.plan, files, &reading, cache, state.config_options())?;
        let mut batches = Guarded::new(plan.execute(0, self.session.task_ctx())?);
        let mut entries = ObjectEntries::default();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            self.add(&batch, &mut entries)?;
        }
        let lacks = entries.finish();
        Ok((entries, lacks))
    }

    fn add(&self, batch: &RecordBatch, entries: &mut ObjectEntries) -> Result<(), ArrowError> {
        entries.rows += batch.num_rows() as u64;
        let rows = entries.rows;
        let entries = &mut entries.kinds;
        let times = self.plan.table.event_times(batch.column(self.plan.time))?;
        let numbers = batch
            .column(batch.num_columns() - 1)
            .as_primitive::<Int64Type>();
        let number_of = |row: usize| numbers.value(row).cast_unsigned();
        let place = |row: usize| (number_of(row), times[row].map(Timestamp::micros));
        for (kind, fields) in &self.fields {
            let of_kind = entries.entry(kind.name()).or_default();
            fields.each(
                |index| Ok(Arc::clone(batch.column(index))),
                &mut |_, text, rows| of_kind.add(*kind, text, rows),
            )?;
            of_kind.end_batch(place);
        }
        let [mut addresses, mut digests] =
            [ADDRESS, DIGEST].map(|kind| entries.remove(kind).unwrap_or_default());
        let [ips, hashes] = [Kind::Ip, Kind::Hash].map(|kind| entries.get(kind.name()));
        // What the kind's own columns have in the same block is found there.
        let is_known = |of_kind: Option<&KindEntries>, key: &str, row: u32| {
            let known = of_kind.and_then(|of_kind| of_kind.get(key));
            known.is_some_and(|known| known.blocks.contains(number_of(row as usize) / BLOCK_ROWS))
        };
        let has_escape = memchr::memmem::Finder::new("\\u00");
        for column in &self.texts {
            let texts: ArrayRef = render_text(batch.column(*column))?;
            let mut add = |text: &str, row: u32| {
                keys_in(text, &mut |kind, key| match kind {
                    ADDRESS if is_known(ips, key, row) => {}
                    ADDRESS => addresses.add_in_text(key, row),
                    _ if is_known(hashes, key, row) => {}
                    _ => digests.add_in_text(key, row),
                });
            };
            for (row, text) in (0..).zip(texts.as_string::<i32>()) {
                let Some(text) = text else {
                    continue;
                };
                add(text, row);
                if has_escape.find(text.as_bytes()).is_some() {
                    add(&without_escapes(text), row);
                }
            }
        }
        for (kind, mut in_text) in [(ADDRESS, addresses), (DIGEST, digests)] {
            in_text.end_batch(place);
            in_text.give_up_above(most_in_text(rows.max(USUAL_ROWS)));
            entries.insert(kind, in_text);
        }
        Ok(())
    }
}

/// Says whether values of a type are compared with words.
fn may_hold_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => may_hold_text(value),
        other => other.is_string() || other.is_binary() || other.is_nested(),
    }
}

/// Returns JSON text with ASCII characters in place of their escapes, as a search compares it.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\\u00") {
        plain.push_str(before);
        let code = behind
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &behind[2..];
            }
            None => {
                plain.push_str("\\u00");
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    plain
}
