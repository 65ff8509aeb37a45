//! Parquet files as lines of JSON: a row becomes an event.
//!
//! Values are written as `arrow-json` does: times as RFC 3339, bytes as hexadecimal digits, lists and structs as JSON. Intervals are ISO 8601:
//! [`super::intervals`]. Columns without a
//! value are left out. So the same rows are the same source, however the file is laid out.

use std::fs::File;
use std::io::{self, Read};

use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::errors::ParquetError;

use super::intervals::Intervals;
use crate::guard::catch;

/// Rows that are decoded at once.
const ROWS: usize = 1_024;

/// What a Parquet file begins with.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// Reads the rows of a Parquet file as lines.
pub(crate) struct Rows {
    reader: ParquetRecordBatchReader,
    intervals: Option<Intervals>,
    text: Vec<u8>,
    used: usize,
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Rows {
    /// Opens a file.
    ///
    /// # Errors
    /// The file's footer is damaged, or not there.
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let opened = catch(|| {
            let options = ArrowReaderOptions::default();
            let mut footer = ArrowReaderMetadata::load(&file, options.clone())?;
            let intervals = Intervals::of(footer.metadata())?;
            let (metadata, intervals) = intervals.unzip();
            if let Some(metadata) = metadata {
                footer = ArrowReaderMetadata::try_new(metadata, options)?;
            }
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer);
            Ok((builder.with_batch_size(ROWS).build()?, intervals))
        });
        let opened: Result<_, ParquetError> = opened.map_err(damaged)?;
        let (reader, intervals) = opened.map_err(damaged)?;
        Ok(Self {
            reader,
            intervals,
            text: Vec::new(),
            used: 0,
        })
    }

    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.used = 0;
        while self.text.is_empty() {
            let reader = &mut self.reader;
            let Some(batch) = catch(|| reader.next()).map_err(damaged)? else {
                return Ok(());
            };
            let mut batch = batch.map_err(damaged)?;
            if let Some(intervals) = &self.intervals {
                batch = intervals.to_text(&batch).map_err(damaged)?;
            }
            let mut writer = LineDelimitedWriter::new(&mut self.text);
            writer.write(&batch).map_err(damaged)?;
            writer.finish().map_err(damaged)?;
        }
        Ok(())
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.text.len() {
            self.refill()?;
        }
        let count = (self.text.len() - self.used).min(buffer.len());
        buffer[..count].copy_from_slice(&self.text[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
