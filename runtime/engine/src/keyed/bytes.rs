//! The stored form of detectors with state.
//!
//! Each piece begins with its format version and a checksum, so that damaged bytes are an error before they are looked at:
//! Arrow's reader trusts what it reads more than it should.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, AsArray, Int64Array, RecordBatch, StringDictionaryBuilder, UInt64Array,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use serde::Deserialize;
use yagura_core::{EventRef, KeyState, Timestamp};
use yagura_correlate::store::StateStoreError;
use yagura_plan::RulePlan;

use super::key::KeyRecord;
use crate::rows::{RowSummary, Rows, stored_type};

/// Why stored bytes of a detector cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// There are fewer bytes than a version and a checksum.
    #[error("it is cut short")]
    Short,
    /// Another version wrote them.
    #[error("it has format version {found}, but this version reads format version {known}")]
    Version {
        /// The format version that it has.
        found: u8,
        /// The one that this version reads.
        known: u8,
    },
    /// The bytes have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// The bytes are not a key.
    #[error(transparent)]
    Key(#[from] postcard::Error),
    /// The bytes are not rows.
    #[error(transparent)]
    Rows(#[from] ArrowError),
    /// A key has wake-ups, and no event that asked for them.
    #[error("it has a wake-up, and no event")]
    WakeWithoutEvent,
    /// The columns that name events have other types.
    #[error("the columns of time, object and row have other types")]
    EventTypes,
    /// An event lacks its time, object or row.
    #[error("an event has no time, object or row")]
    NoEvent,
    /// A key that was left on disk is not there.
    #[error("a key of rule `{0}` is missing in the state on disk")]
    Missing(String),
    /// A key that was left on disk cannot be read back.
    #[error("the state of a key of rule `{rule}` on disk is damaged")]
    OnDisk {
        /// The rule.
        rule: String,
        /// The cause.
        source: Box<Self>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StateStoreError),
}

const VERSION: u8 = 1;

/// Of keys: since the second their last event is known.
const KEY_VERSION: u8 = 2;

/// Columns before those of the rule: time, object, row.
const EVENT_COLUMNS: usize = 3;

/// Returns a key as bytes.
pub(super) fn key(key: &KeyRecord) -> Result<Vec<u8>, StoredError> {
    let bytes = postcard::to_allocvec(key)?;
    Ok(seal(KEY_VERSION, &bytes))
}

/// A key as the first version has it.
#[derive(Deserialize)]
struct FirstKey {
    state: KeyState,
    last: Option<RowSummary>,
    woken: u32,
}

/// Reads a key back. Where an earlier version wrote it, its last event counts as of `seen`.
pub(super) fn read_key(bytes: &[u8], seen: i64) -> Result<KeyRecord, StoredError> {
    let key: KeyRecord = match bytes.first() {
        Some(&VERSION) => {
            let first: FirstKey = read(VERSION, bytes)?;
            KeyRecord {
                state: first.state,
                last: first.last,
                woken: first.woken,
                seen,
            }
        }
        _ => read(KEY_VERSION, bytes)?,
    };
    if key.last.is_none() && !key.state.wakes.is_empty() {
        return Err(StoredError::WakeWithoutEvent);
    }
    Ok(key)
}

fn read<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, StoredError> {
    Ok(postcard::from_bytes(unseal(version, bytes)?)?)
}

/// Returns a plugin's memory as bytes.
pub(super) fn memory(memory: &[u8]) -> Vec<u8> {
    seal(VERSION, memory)
}

/// Reads a plugin's memory back.
pub(super) fn read_memory(bytes: &[u8]) -> Result<Vec<u8>, StoredError> {
    unseal(VERSION, bytes).map(<[u8]>::to_vec)
}

/// Rows that were read back.
#[derive(Debug)]
pub(crate) enum StoredRows {
    Rows(Rows),
    /// So many, of other columns.
    Outdated(u64),
}

/// Returns rows as an Arrow stream.
pub(crate) fn rows(rule: &RulePlan, rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let events = &rows.events;
    let times = events.iter().map(|event| event.time.micros());
    let mut objects = StringDictionaryBuilder::<Int32Type>::new();
    for event in events {
        objects.append(&event.object)?;
    }
    let numbers = events.iter().map(|event| event.row);
    let mut columns = rows.columns.clone();
    columns.splice(
        0..0,
        [
            Arc::new(Int64Array::from_iter_values(times)) as Arc<dyn Array>,
            Arc::new(objects.finish()),
            Arc::new(UInt64Array::from_iter_values(numbers)),
        ],
    );
    let schema = schema(rule);
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    Ok(seal(VERSION, &writer.into_inner()?))
}

/// Reads rows back.
pub(crate) fn read_rows(rule: &RulePlan, bytes: &[u8]) -> Result<StoredRows, StoredError> {
    let reader = StreamReader::try_new(unseal(VERSION, bytes)?, None)?;
    let stored = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let batch = concat_batches(&stored, &batches)?;
    if stored.fields() != schema(rule).fields() {
        return Ok(StoredRows::Outdated(batch.num_rows() as u64));
    }
    let objects = cast(batch.column(1), &DataType::Utf8)?;
    let times = batch.column(0).as_primitive_opt::<Int64Type>();
    let numbers = batch.column(2).as_primitive_opt::<UInt64Type>();
    let (Some(times), Some(objects), Some(numbers)) =
        (times, objects.as_string_opt::<i32>(), numbers)
    else {
        return Err(StoredError::EventTypes);
    };
    if times.null_count() + objects.null_count() + numbers.null_count() > 0 {
        return Err(StoredError::NoEvent);
    }
    let mut last: Arc<str> = "".into();
    let events = (0..batch.num_rows()).map(|row| {
        // Neighbours are mostly of one object.
        if *last != *objects.value(row) {
            last = objects.value(row).into();
        }
        EventRef {
            time: Timestamp::clamped(times.value(row)),
            object: Arc::clone(&last),
            row: numbers.value(row),
        }
    });
    let events = events.collect();
    Ok(StoredRows::Rows(Rows {
        columns: batch.columns()[EVENT_COLUMNS..].to_vec(),
        events,
    }))
}

fn schema(rule: &RulePlan) -> SchemaRef {
    let object = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let place = [
        Field::new("time", DataType::Int64, false),
        Field::new("object", object, false),
        Field::new("row", DataType::UInt64, false),
    ];
    let reads = rule.reads.iter();
    let reads = reads.map(|read| Field::new(&read.name, stored_type(read), true));
    Arc::new(Schema::new(
        place.into_iter().chain(reads).collect::<Vec<_>>(),
    ))
}

fn seal(version: u8, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(bytes.len() + 9);
    sealed.push(version);
    sealed.extend(checksum(bytes).to_le_bytes());
    sealed.extend(bytes);
    sealed
}

fn unseal(known: u8, sealed: &[u8]) -> Result<&[u8], StoredError> {
    match sealed.split_first_chunk::<9>() {
        None => Err(StoredError::Short),
        Some(([found, ..], _)) if *found != known => Err(StoredError::Version {
            found: *found,
            known,
        }),
        Some(([_, sum @ ..], bytes)) if u64::from_le_bytes(*sum) == checksum(bytes) => Ok(bytes),
        Some(_) => Err(StoredError::Checksum),
    }
}

/// Returns the 64-bit FNV-1a hash (draft-eastlake-fnv).
fn checksum(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use yagura_core::StateEntry;

    use super::*;

    #[test]
    fn whatever_is_damaged_is_an_error() {
        let whole = seal(VERSION, b"some bytes");
        assert_eq!(unseal(VERSION, &whole).unwrap(), b"some bytes");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            unseal(VERSION, &damaged).unwrap_err();
            unseal(VERSION, &whole[..at]).unwrap_err();
        }
    }

    #[test]
    fn a_key_of_the_first_version_is_read() {
        let mut state = KeyState::default();
        state.entries.insert("n".to_owned(), StateEntry::default());
        let last: Option<RowSummary> = None;
        let first = postcard::to_allocvec(&(&state, &last, 7_u32)).unwrap();
        let read = read_key(&seal(VERSION, &first), 42).unwrap();
        assert_eq!((&read.state, read.woken, read.seen), (&state, 7, 42));
        let again = read_key(&key(&read).unwrap(), 0).unwrap();
        assert_eq!(again, read);
    }

    #[test]
    fn the_checksum_is_fnv() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
