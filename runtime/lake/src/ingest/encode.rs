//! A chunk to Parquet: one file a day, sorted by time, named by what it holds. Days that are out of range, or that hold few events of
//! many days, share one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::compute_leaves;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use yagura_core::Timestamp;
use yagura_core::alert::hex;

use super::chunk::{Cell, Chunk, Row};
use super::event::text_of;
use super::ledger::Part;
use crate::definition::{
    OTHER_DAYS, PART_COLUMN, PARTITION_COLUMN, RAW_COLUMN, TIME_COLUMN, UNMAPPED_COLUMN,
};
use crate::{ColumnKind, TableDefinition};

/// The name that Hive gives the directory of what has no partition.
const NO_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
/// The most rows of a file, which is one row group.
pub(crate) const MAX_ROWS: usize = 128 * 1024;
/// Small pages let a reader that looks for few rows decode few others.
const ROWS_PER_PAGE: usize = 8 * 1024;
/// Rules evaluate each value of a dictionary once: even long command lines should fit one.
const DICTIONARY_BYTES: usize = 8 << 20;
const ZSTD_LEVEL: i32 = 3;
/// So few values have a dictionary in any case.
const FEW_VALUES: usize = 1_024;

/// So many days of a chunk, those with most events, have a file of their own however few these are.
const DAYS: usize = 64;
/// A day with so many events has one in any case.
const MANY_EVENTS: usize = 100;

/// A Parquet file, ready to be stored.
pub(crate) struct EncodedFile {
    /// Path below the table.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// Encodes the chunk, whose events are those of `parts`.
///
/// Columns that are null in a whole file are left out of it. Files of the same parts have the same name, unless `salt` differs,
/// and the same bytes where the columns' kinds are the same. Only days in `range` have a file of their own. The file of the other
/// days is the last: where it is stored, all events of the parts are.
pub(crate) fn encode(
    mut chunk: Chunk,
    definition: &TableDefinition,
    parts: &[Part],
    salt: u64,
    range: &RangeInclusive<Timestamp>,
) -> Result<Vec<EncodedFile>, (String, ParquetError)> {
    let days = own_days(&chunk.rows, range);
    let order = sort(&mut chunk, &days);
    let mut next = vec![0; chunk.cells.len()];
    let mut next_unmapped = 0;
    let mut files = Vec::new();
    for (day, rows) in runs(&order, &chunk.rows, &days) {
        let members: Vec<&Row> = order[rows.clone()]
            .iter()
            .map(|row| &chunk.rows[*row as usize])
            .collect();
        let path = format!(
            "{PARTITION_COLUMN}={day}/part-{}.parquet",
            identity(parts, salt, &day)
        );
        // What the columns are made of; the arrays come later, one at a time.
        let unmapped = upto(&chunk.unmapped, &mut next_unmapped, rows.end);
        let mut columns = vec![(TIME_COLUMN, ColumnKind::Timestamp, Values::Times)];
        // Rules ask for every field in `unmapped` too. Stores fetch what lies between two columns with them, so it stands in front.
        if !unmapped.is_empty() {
            let unmapped = Values::Cells(unmapped, &chunk.unmapped_text);
            columns.push((UNMAPPED_COLUMN, ColumnKind::Json, unmapped));
        }
        for (column, definition) in definition
            .columns
            .iter()
            .enumerate()
            .take(chunk.cells.len())
        {
            let cells = upto(&chunk.cells[column], &mut next[column], rows.end);
            if !cells.is_empty() {
                columns.push((
                    &definition.name,
                    definition.kind,
                    Values::Cells(cells, &chunk.text),
                ));
            }
        }
        columns.push((RAW_COLUMN, ColumnKind::Text, Values::Raw));
        if parts.iter().any(|part| part.origin.is_some()) {
            columns.push((PART_COLUMN, ColumnKind::Text, Values::Parts));
        }

        let array = |kind, values: &Values<'_>| match values {
            Values::Times => times(&members),
            Values::Raw => raw(&members, &chunk.text),
            Values::Parts => part_names(&members, parts),
            Values::Cells(cells, text) => column_array(kind, cells, text, &rows),
        };
        let bytes = parquet(&columns, array).map_err(|error| (path.clone(), error))?;
        files.push(EncodedFile { path, bytes });
    }
    Ok(files)
}

/// What a column of a file is made of.
enum Values<'c> {
    Times,
    Cells(&'c [Cell], &'c str),
    Raw,
    /// The names of parts that have an origin.
    Parts,
}

impl Values<'_> {
    /// Says whether most values differ: then a dictionary of them helps no reader, and one who looks for a few rows has to read all of it.
    fn are_many(&self) -> bool {
        let Self::Cells(cells, text) = self else {
            return false;
        };
        let different = |step: usize| {
            let values = cells.iter().step_by(step);
            let values = values.map(|cell| &text[cell.start as usize..cell.end as usize]);
            values.collect::<HashSet<&str>>().len()
        };
        // Of most columns a few values show that they come again.
        cells.len() >= FEW_VALUES
            && different(cells.len() / FEW_VALUES) > FEW_VALUES / 2
            && different(1) > cells.len() / 2
    }
}

/// Returns the days that have a file of their own.
fn own_days(rows: &[Row], range: &RangeInclusive<Timestamp>) -> BTreeSet<NaiveDate> {
    let mut counts: BTreeMap<NaiveDate, usize> = BTreeMap::new();
    let times = rows.iter().filter_map(|row| row.time);
    for time in times.filter(|time| range.contains(time)) {
        *counts.entry(time.day()).or_default() += 1;
    }
    let mut days: Vec<(NaiveDate, usize)> = counts.into_iter().collect();
    // Of days with as many events the later ones come first: they are looked at more often.
    days.sort_by_key(|(day, events)| std::cmp::Reverse((*events, *day)));
    let is_own =
        |(at, (_, events)): &(usize, (NaiveDate, usize))| *at < DAYS || *events >= MANY_EVENTS;
    let own = days.into_iter().enumerate().filter(is_own);
    own.map(|(_, (day, _))| day).collect()
}

/// Where an event is stored, in the order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Day(NaiveDate),
    WithoutTime,
    OtherDays,
}

fn place(time: Option<Timestamp>, days: &BTreeSet<NaiveDate>) -> Place {
    match time.map(Timestamp::day) {
        None => Place::WithoutTime,
        Some(day) if days.contains(&day) => Place::Day(day),
        Some(_) => Place::OtherDays,
    }
}

/// Returns the rows by file and time, equal times as they came; renumbers the cells by that order.
fn sort(chunk: &mut Chunk, days: &BTreeSet<NaiveDate>) -> Vec<u32> {
    let mut order: Vec<u32> = (0u32..).take(chunk.rows.len()).collect();
    order.sort_by_cached_key(|row| {
        let time = chunk.rows[*row as usize].time;
        (place(time, days), time)
    });
    let mut rank = vec![0; order.len()];
    for (position, row) in (0u32..).zip(&order) {
        rank[*row as usize] = position;
    }
    for cells in chunk.cells.iter_mut().chain([&mut chunk.unmapped]) {
        for cell in cells.iter_mut() {
            cell.row = rank[cell.row as usize];
        }
        cells.sort_unstable_by_key(|cell| cell.row);
    }
    order
}

/// Splits the sorted rows into runs of one file, each with the name of its partition.
fn runs(order: &[u32], rows: &[Row], days: &BTreeSet<NaiveDate>) -> Vec<(String, Range<usize>)> {
    let time = |row: &u32| rows[*row as usize].time;
    let mut start = 0;
    order
        .chunk_by(|a, b| place(time(a), days) == place(time(b), days))
        .map(|run| {
            let range = start..start + run.len();
            start = range.end;
            let first = time(&run[0]);
            let name = match place(first, days) {
                Place::OtherDays => OTHER_DAYS.to_owned(),
                Place::Day(_) | Place::WithoutTime => day_name(first),
            };
            (name, range)
        })
        .collect()
}

/// Returns the cells before the row `end` that were not returned before.
fn upto<'c>(cells: &'c [Cell], next: &mut usize, end: usize) -> &'c [Cell] {
    let rest = &cells[*next..];
    let count = rest.partition_point(|cell| (cell.row as usize) < end);
    *next += count;
    &rest[..count]
}

/// Returns the partition that a file of [`encode`] lies in.
pub(crate) fn day_of(path: &str) -> &str {
    let day = path.split('/').next().unwrap_or_default();
    day.split_once('=').map_or(day, |(_, day)| day)
}

/// Returns the name of an event's day, as [`day_of`] does for its file if the day has one of its own.
pub(crate) fn day_name(time: Option<Timestamp>) -> String {
    // `%Y` has four digits for the years that a timestamp holds.
    time.map_or(NO_PARTITION.to_owned(), |time| {
        time.day().format("%Y-%m-%d").to_string()
    })
}

/// Names what is made of parts of sources by their content and place.
pub(crate) fn identity(parts: &[Part], salt: u64, what: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.to_le_bytes());
    hash.update(what);
    for part in parts {
        hash.update(part.from.to_le_bytes());
        hash.update(part.entry.end.to_le_bytes());
        hash.update(part.entry.digest);
    }
    hex(&hash.finalize()[..8])
}

fn times(rows: &[&Row]) -> ArrayRef {
    let mut builder = TimestampMicrosecondBuilder::with_capacity(rows.len());
    for row in rows {
        builder.append_option(row.time.map(Timestamp::micros));
    }
    Arc::new(builder.finish().with_timezone("UTC"))
}

fn raw(rows: &[&Row], text: &str) -> ArrayRef {
    let bytes = rows.iter().map(|row| row.raw().len()).sum();
    let mut builder = StringBuilder::with_capacity(rows.len(), bytes);
    for row in rows {
        builder.append_value(&text[row.raw()]);
    }
    Arc::new(builder.finish())
}

/// Returns for each row the name of its part, nothing for what has no origin.
fn part_names(rows: &[&Row], parts: &[Part]) -> ArrayRef {
    let parts = parts.iter().filter(|part| part.origin.is_some());
    let names: HashMap<usize, String> = parts
        .map(|part| (part.number, part.entry.id().name()))
        .collect();
    let mut builder = StringBuilder::new();
    for row in rows {
        builder.append_option(names.get(&row.part));
    }
    Arc::new(builder.finish())
}

/// Builds a column of the rows `rows` from its cells.
fn column_array(kind: ColumnKind, cells: &[Cell], text: &str, rows: &Range<usize>) -> ArrayRef {
    let count = rows.len();
    /// Puts a value where a cell is and null elsewhere.
    macro_rules! fill {
        ($builder:expr, $value:expr) => {{
            let mut builder = $builder;
            let mut row = rows.start;
            for cell in cells {
                builder.append_nulls(cell.row as usize - row);
                let value = &text[cell.start as usize..cell.end as usize];
                builder.append_option($value(value));
                row = cell.row as usize + 1;
            }
            builder.append_nulls(rows.end - row);
            Arc::new(builder.finish())
        }};
    }
    match kind {
        ColumnKind::Boolean => {
            fill!(BooleanBuilder::with_capacity(count), |value: &str| value
                .parse::<bool>()
                .ok())
        }
        ColumnKind::Int64 => {
            fill!(Int64Builder::with_capacity(count), |value: &str| value
                .parse::<i64>()
                .ok())
        }
        ColumnKind::Float64 => {
            fill!(Float64Builder::with_capacity(count), |value: &str| value
                .parse::<f64>()
                .ok())
        }
        ColumnKind::Timestamp => {
            let micros = |value: &str| {
                let time: Option<Timestamp> = text_of(value).parse().ok();
                time.map(Timestamp::micros)
            };
            fill!(
                TimestampMicrosecondBuilder::with_capacity(count).with_timezone("UTC"),
                micros
            )
        }
        ColumnKind::Text | ColumnKind::Json => {
            let bytes = cells
                .iter()
                .map(|cell| (cell.end - cell.start) as usize)
                .sum();
            fill!(StringBuilder::with_capacity(count, bytes), |value| Some(
                text_of(value)
            ))
        }
    }
}

/// Writes columns of one row group; only one column's array is in memory at a time.
fn parquet(
    columns: &[(&str, ColumnKind, Values<'_>)],
    array: impl Fn(ColumnKind, &Values<'_>) -> ArrayRef,
) -> Result<Vec<u8>, ParquetError> {
    let many = columns.iter().filter(|(.., values)| values.are_many());
    let properties = properties(many.map(|(name, ..)| *name))?;
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, kind, _)| Field::new(*name, kind.data_type(), *name != RAW_COLUMN))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let mut bytes = Vec::new();
    let writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties))?;
    let (mut file, factory) = writer.into_serialized_writer()?;
    let mut group = file.next_row_group()?;
    let writers = factory.create_column_writers(0)?;
    for ((mut writer, field), (_, kind, values)) in
        writers.into_iter().zip(schema.fields()).zip(columns)
    {
        for leaf in compute_leaves(field, &array(*kind, values))? {
            writer.write(&leaf)?;
        }
        writer.close()?.append_to_row_group(&mut group)?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

/// Returns how all objects of tables are written, with the names of columns that have no dictionary.
pub(crate) fn properties<'n>(
    without_dictionary: impl IntoIterator<Item = &'n str>,
) -> Result<WriterProperties, ParquetError> {
    let by_time = SortingColumn {
        column_idx: 0,
        descending: false,
        nulls_first: false,
    };
    let raw = ColumnPath::from(RAW_COLUMN);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_data_page_row_count_limit(ROWS_PER_PAGE)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_sorting_columns(Some(vec![by_time]))
        // Events differ: neither a dictionary nor the least of them helps a reader.
        .set_column_dictionary_enabled(raw.clone(), false)
        .set_column_statistics_enabled(raw, EnabledStatistics::None);
    for name in without_dictionary {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    Ok(properties.build())
}
