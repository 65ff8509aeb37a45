//! A segment of an index: one Parquet object below `_index/`, rows sorted by kind and value.
//!
//! ```text
//! kind    value       object  count  first  span  blocks
//! ip      192.0.2.1   0       12     …      …     bits of its blocks of 8,192 rows that hold the value
//! ```
//!
//! `object` is a place in the list of objects, which stands in the footer under [`COVERAGE`]. Pages are small and have statistics, so
//! that a look-up reads a few of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yagura_core::alert::hex;

use super::keys::{ADDRESS, DIGEST};
use crate::kinds::Kind;

/// The folder of a table's segments, below the table. Readers of Parquet skip names that begin with `_`.
pub(crate) const FOLDER: &str = "_index";
/// What the name of a segment ends with. It is not that of Parquet, so that a pattern such as `TABLE/*/*.parquet` names objects alone.
pub(crate) const EXTENSION: &str = "index";
/// The key of what a segment covers, in its footer.
pub(crate) const COVERAGE: &str = "yagura.index";
/// Rows of a block.
pub(crate) const BLOCK_ROWS: u64 = 8_192;
/// Version of this form. A segment of another version is made anew.
const VERSION: u32 = 1;
const ROWS_PER_PAGE: usize = 2_048;
const ROWS_PER_GROUP: usize = 256 * 1_024;

/// What a segment covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    version: u32,
    /// For each kind a digest of the fields that were read for it. A kind that is not there is not indexed.
    pub(crate) kinds: BTreeMap<String, String>,
    /// The objects, whose places the rows name.
    pub(crate) objects: Vec<CoveredObject>,
}

/// An object that is indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CoveredObject {
    /// Its path below the table.
    pub(crate) path: String,
    /// Its size and tag when it was read.
    pub(crate) version: String,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// Kinds of which it has too many values: its index does not have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lacks: Vec<String>,
}

impl Coverage {
    /// Returns what the footer of a segment says; nothing of another version.
    pub(crate) fn read(metadata: Option<&Vec<KeyValue>>) -> Option<Self> {
        let text = metadata?
            .iter()
            .find(|entry| entry.key == COVERAGE)?
            .value
            .as_ref()?;
        let read: Self = serde_json::from_str(text).ok()?;
        (read.version == VERSION).then_some(read)
    }
}

/// What an object has of one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ValueEntry {
    /// Events that have it.
    pub(crate) count: u64,
    /// The first and the last time of such an event, in whole seconds since 1970.
    pub(crate) seconds: Option<(i64, i64)>,
    pub(crate) blocks: Blocks,
}

impl ValueEntry {
    /// Adds an event in a row of its object; `time` is in microseconds.
    pub(crate) fn add(&mut self, row: u64, time: Option<i64>) {
        self.count += 1;
        if let Some(time) = time {
            let second = time.div_euclid(1_000_000);
            let (first, last) = self.seconds.get_or_insert((second, second));
            (*first, *last) = ((*first).min(second), (*last).max(second));
        }
        self.blocks.add(row / BLOCK_ROWS);
    }
}

/// A set of blocks of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Of the first 64 blocks: objects that `ingest` writes have at most 16.
    low: u64,
    /// Of the others, eight in a byte.
    more: Vec<u8>,
}

impl Blocks {
    pub(crate) fn add(&mut self, block: u64) {
        if block < 64 {
            self.low |= 1 << block;
            return;
        }
        let byte = usize::try_from(block / 8 - 8).unwrap_or(usize::MAX);
        if self.more.len() <= byte {
            self.more.resize(byte + 1, 0);
        }
        self.more[byte] |= 1 << (block % 8);
    }

    /// Returns the set from its bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let (low, more) = bytes.split_at(bytes.len().min(8));
        let mut eight = [0; 8];
        eight[..low.len()].copy_from_slice(low);
        Self {
            low: u64::from_le_bytes(eight),
            more: more.to_owned(),
        }
    }

    /// Returns a bit for each block, without zeros behind the last one.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.low.to_le_bytes().to_vec();
        bytes.extend(&self.more);
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        bytes.truncate(length);
        bytes
    }

    pub(crate) fn contains(&self, block: u64) -> bool {
        let bit = |byte: u8| byte & (1 << (block % 8)) != 0;
        match block {
            0..64 => self.low & (1 << block) != 0,
            _ => usize::try_from(block / 8 - 8)
                .is_ok_and(|at| self.more.get(at).is_some_and(|byte| bit(*byte))),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.low == 0 && self.more.iter().all(|byte| *byte == 0)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let byte = |of: &Self, at: usize| of.more.get(at).copied().unwrap_or(0);
        let length = self.more.len().max(other.more.len());
        Self {
            low: self.low | other.low,
            more: (0..length)
                .map(|at| byte(self, at) | byte(other, at))
                .collect(),
        }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self {
            low: self.low & other.low,
            more: self
                .more
                .iter()
                .zip(&other.more)
                .map(|(a, b)| a & b)
                .collect(),
        }
    }
}

/// A row of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) kind: &'static str,
    pub(crate) value: Box<str>,
    /// The object's place in the list.
    pub(crate) object: u32,
    pub(crate) entry: ValueEntry,
}

impl SegmentRow {
    /// Compares by kind, value and object.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Most values differ in their first bytes.
        let start = |row: &Self| {
            let mut start = [0; 8];
            let bytes = row.value.as_bytes();
            let length = bytes.len().min(8);
            start[..length].copy_from_slice(&bytes[..length]);
            u64::from_be_bytes(start)
        };
        self.kind
            .cmp(other.kind)
            .then_with(|| start(self).cmp(&start(other)))
            .then_with(|| self.value.cmp(&other.value))
            .then_with(|| self.object.cmp(&other.object))
    }
}

/// A segment that is made and not stored yet.
#[derive(Debug)]
pub(crate) struct MadeSegment {
    /// The name of its object, by its content.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) coverage: Coverage,
}

/// A segment that is being made.
#[derive(Debug, Default)]
pub(crate) struct SegmentBuilder {
    objects: Vec<CoveredObject>,
    rows: Vec<SegmentRow>,
    bytes: usize,
}

impl SegmentBuilder {
    /// Adds an object, and returns its place.
    pub(crate) fn add_object(&mut self, object: CoveredObject) -> u32 {
        self.objects.push(object);
        u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn add_row(&mut self, row: SegmentRow) {
        self.bytes += row.value.len() + row.entry.blocks.more.len() + size_of::<SegmentRow>() + 16;
        self.rows.push(row);
    }

    /// Returns how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Sorts the rows, and returns the segment.
    ///
    /// # Errors
    /// What the writer of Parquet says.
    pub(crate) fn finish(
        mut self,
        kinds: &BTreeMap<String, String>,
    ) -> Result<MadeSegment, ParquetError> {
        self.rows.sort_unstable_by(SegmentRow::cmp);
        let coverage = Coverage {
            version: VERSION,
            kinds: kinds.clone(),
            objects: self.objects,
        };
        let text = serde_json::to_string(&coverage)
            .map_err(|error| ParquetError::External(error.into()))?;
        let column = |name: &str| name.into();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_data_page_row_count_limit(ROWS_PER_PAGE)
            .set_write_batch_size(ROWS_PER_PAGE)
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_key_value_metadata(Some(vec![KeyValue::new(COVERAGE.to_owned(), text)]));
        for name in ["kind", "value"] {
            properties =
                properties.set_column_statistics_enabled(column(name), EnabledStatistics::Page);
        }
        for (name, encoding) in [
            ("value", Encoding::DELTA_BYTE_ARRAY),
            ("object", Encoding::DELTA_BINARY_PACKED),
            ("count", Encoding::DELTA_BINARY_PACKED),
            ("first", Encoding::DELTA_BINARY_PACKED),
            ("span", Encoding::DELTA_BINARY_PACKED),
        ] {
            properties = properties
                .set_column_dictionary_enabled(column(name), false)
                .set_column_encoding(column(name), encoding);
        }
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema(), Some(properties.build()))?;
        for rows in self.rows.chunks(ROWS_PER_PAGE) {
            writer.write(&batch(rows)?)?;
        }
        writer.close()?;
        let digest = Sha256::digest(&bytes);
        Ok(MadeSegment {
            name: format!("{}.{EXTENSION}", hex(&digest[..8])),
            bytes,
            rows: self.rows.len() as u64,
            coverage,
        })
    }
}

/// Returns the columns of a segment.
pub(crate) fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
        Field::new("object", DataType::Int32, false),
        Field::new("count", DataType::Int64, false),
        // In seconds since 1970, and so many seconds more for the last.
        number("first"),
        number("span"),
        Field::new("blocks", DataType::Binary, false),
    ]))
}

fn batch(rows: &[SegmentRow]) -> Result<RecordBatch, ParquetError> {
    let (mut kinds, mut values) = (StringBuilder::new(), StringBuilder::new());
    let (mut objects, mut counts) = (Int32Builder::new(), Int64Builder::new());
    let (mut firsts, mut spans) = (Int64Builder::new(), Int64Builder::new());
    let mut blocks = BinaryBuilder::new();
    for row in rows {
        kinds.append_value(row.kind);
        values.append_value(&row.value);
        objects.append_value(i32::try_from(row.object).unwrap_or(i32::MAX));
        counts.append_value(row.entry.count.cast_signed());
        firsts.append_option(row.entry.seconds.map(|(first, _)| first));
        spans.append_option(
            row.entry
                .seconds
                .map(|(first, last)| last.saturating_sub(first)),
        );
        blocks.append_value(row.entry.blocks.to_bytes());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(kinds.finish()),
        Arc::new(values.finish()),
        Arc::new(objects.finish()),
        Arc::new(counts.finish()),
        Arc::new(firsts.finish()),
        Arc::new(spans.finish()),
        Arc::new(blocks.finish()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Returns the rows of a batch of a segment, with all its columns. Kinds that are not known are passed over.
pub(crate) fn rows_of(batch: &RecordBatch) -> impl Iterator<Item = SegmentRow> {
    let kinds = batch.column(0).as_string::<i32>();
    let values = batch.column(1).as_string::<i32>();
    let objects = batch.column(2).as_primitive::<Int32Type>();
    let counts = batch.column(3).as_primitive::<Int64Type>();
    let firsts = batch.column(4).as_primitive::<Int64Type>();
    let spans = batch.column(5).as_primitive::<Int64Type>();
    let blocks = batch.column(6).as_binary::<i32>();
    let all = kinds.iter().zip(values).zip(objects).zip(counts);
    let all = all.zip(firsts).zip(spans).zip(blocks);
    all.filter_map(
        |((((((kind, value), object), count), first), span), blocks)| {
            Some(SegmentRow {
                kind: kind_of(kind?)?,
                value: value?.into(),
                object: u32::try_from(object?).ok()?,
                entry: ValueEntry {
                    count: count?.cast_unsigned(),
                    seconds: first
                        .zip(span)
                        .map(|(first, span)| (first, first.saturating_add(span))),
                    blocks: Blocks::from_bytes(blocks?),
                },
            })
        },
    )
}

fn kind_of(name: &str) -> Option<&'static str> {
    let text = [ADDRESS, DIGEST].into_iter().find(|kind| *kind == name);
    text.or_else(|| Kind::from_name(name).map(Kind::name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_from_their_bytes() {
        let of = |blocks: &[u64]| {
            let mut set = Blocks::default();
            blocks.iter().for_each(|block| set.add(*block));
            set
        };
        for blocks in [&[][..], &[0], &[7, 8, 63], &[0, 64, 1_000], &[200]] {
            let set = of(blocks);
            assert_eq!(Blocks::from_bytes(&set.to_bytes()), set);
            let found: Vec<u64> = (0..2_000).filter(|block| set.contains(*block)).collect();
            assert_eq!(found, blocks);
            assert_eq!(set.is_empty(), blocks.is_empty());
        }
        let (a, b) = (of(&[1, 70]), of(&[1, 2, 70, 300]));
        assert_eq!(a.union(&b), b);
        assert_eq!(b.intersection(&a), a);
    }
}
