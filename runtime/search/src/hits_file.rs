//! Hits as a Parquet file.

use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;

use crate::merge::SearchHit;

/// Hits that are held until they are written.
const HELD: usize = 4_096;

/// A Parquet file of hits: `time`, `table`, `object`, `row` and `event`, which is JSON.
pub struct HitsFile {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    times: TimestampMicrosecondBuilder,
    tables: StringBuilder,
    objects: StringBuilder,
    rows: UInt64Builder,
    events: StringBuilder,
    held: usize,
}

impl HitsFile {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(file: File) -> Result<Self, ParquetError> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("time", time, true),
            Field::new("table", DataType::Utf8, false),
            Field::new("object", DataType::Utf8, false),
            Field::new("row", DataType::UInt64, false),
            Field::new("event", DataType::Utf8, false),
        ]));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(65_536))
            .build();
        Ok(Self {
            writer: ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?,
            schema,
            times: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            tables: StringBuilder::new(),
            objects: StringBuilder::new(),
            rows: UInt64Builder::new(),
            events: StringBuilder::new(),
            held: 0,
        })
    }

    /// Adds a hit.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, hit: &SearchHit) -> Result<(), ParquetError> {
        self.times.append_option(hit.time.map(|time| time.micros()));
        self.tables.append_value(&hit.table);
        self.objects.append_value(&hit.object);
        self.rows.append_value(hit.row);
        self.events.append_value(&hit.event);
        self.held += 1;
        match self.held < HELD {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        self.held = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.times.finish()),
            Arc::new(self.tables.finish()),
            Arc::new(self.objects.finish()),
            Arc::new(self.rows.finish()),
            Arc::new(self.events.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch)
    }

    /// Writes what is left, and ends the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        self.write()?;
        self.writer.close()?;
        Ok(())
    }
}
