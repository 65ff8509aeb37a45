//! Records that a source's parser reads: gathered until they are many, parsed at once, then events like others.

use std::ops::Range;
use std::sync::Arc;

use super::wrong::WRONG_LINE;
use super::{Reading, clipped};
use crate::ingest::IngestError;
use crate::ingest::event::members;
use crate::ingest::parse::ParsedRecord;
use crate::ingest::report::Example;
use crate::ingest::split::{Piece, Prefix};

/// So many records are parsed at once, or so many bytes of them.
const PARSED_AT_ONCE: usize = 4_096;
const PARSED_BYTES: usize = 4 << 20;

/// Records of the file that wait to be parsed.
#[derive(Default)]
pub(super) struct WaitingRecords {
    bytes: Vec<u8>,
    records: Vec<WaitingRecord>,
}

/// A record and its place.
struct WaitingRecord {
    line: u64,
    column: u64,
    /// Its bytes among those of all.
    range: Range<usize>,
    /// What was read of the file up to its end.
    prefix: Prefix,
}

impl Reading<'_> {
    /// Adds a record to those that wait to be parsed.
    pub(super) fn add_record(&mut self, piece: &Piece<'_>) -> Result<(), IngestError> {
        let waiting = &mut self.file.records;
        let start = waiting.bytes.len();
        waiting.bytes.extend_from_slice(piece.bytes);
        waiting.records.push(WaitingRecord {
            line: piece.line,
            column: piece.column,
            range: start..waiting.bytes.len(),
            prefix: piece.prefix.clone(),
        });
        let is_full =
            waiting.records.len() >= PARSED_AT_ONCE || waiting.bytes.len() >= PARSED_BYTES;
        if is_full { self.parse() } else { Ok(()) }
    }

    /// Parses the records that wait. Each of them ends as events, among the lines that are not events, or as counted for holding
    /// none.
    pub(super) fn parse(&mut self) -> Result<(), IngestError> {
        let WaitingRecords { bytes, records } = std::mem::take(&mut self.file.records);
        let parser = self.options.source.as_ref();
        let Some(parser) = parser.and_then(|source| source.parser.as_ref()) else {
            return Ok(());
        };
        let Some(first) = records.first() else {
            return Ok(());
        };
        let parser = Arc::clone(parser);
        let texts: Vec<&[u8]> = records.iter().map(|of| &bytes[of.range.clone()]).collect();
        let failed = |source| IngestError::Parser {
            file: self.file.name.clone(),
            line: first.line,
            source,
        };
        let parsed = parser.parse(&texts).map_err(failed)?;
        if parsed.len() != records.len() {
            let counts = format!("{} of {} records came back", parsed.len(), records.len());
            return Err(failed(counts.into()));
        }
        for ((record, text), parsed) in records.into_iter().zip(texts).zip(parsed) {
            self.parsed(&record, text, parsed)?;
            // Only now is it part of what is written, or kept.
            self.file.done = Some(record.prefix);
        }
        Ok(())
    }

    /// Adds the events of one record, or keeps it if it cannot be used.
    fn parsed(
        &mut self,
        record: &WaitingRecord,
        bytes: &[u8],
        parsed: ParsedRecord,
    ) -> Result<(), IngestError> {
        let text = String::from_utf8_lossy(bytes);
        let events = match parsed {
            ParsedRecord::Events(events) => events,
            ParsedRecord::Wrong(reason) => return self.wrong_record(record, bytes, reason),
        };
        if let Some(reason) = self.unusable(&events, &text) {
            return self.wrong_record(record, bytes, reason);
        }
        if events.is_empty() {
            let name = &self.file.name;
            self.batch.counts.without_event.add(|| Example {
                file: name.clone(),
                line: record.line,
                value: clipped(&text),
            });
            return Ok(());
        }
        let all: usize = events.iter().map(String::len).sum();
        self.make_room(all.saturating_add(text.len().saturating_mul(events.len())))?;
        for event in &events {
            // They were read just now.
            let members = members(event).unwrap_or_default();
            self.event(record.line, record.prefix.end, event, Some(&text), &members)?;
        }
        Ok(())
    }

    /// Returns why the events of a record cannot be rows, if so.
    fn unusable(&self, events: &[String], text: &str) -> Option<String> {
        let limit = self.options.max_event_bytes;
        let mut left = limit;
        for (index, event) in events.iter().enumerate() {
            let of_events = || match events.len() {
                1 => "its event".to_owned(),
                all => format!("event {} of {all}", index + 1),
            };
            let length = event.len().saturating_add(text.len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => {
                    return Some(format!(
                        "its {} events, each with the record in `raw`, are longer than {limit} bytes",
                        events.len()
                    ));
                }
            }
            if let Err(error) = members(event) {
                return Some(format!(
                    "{} from the parser is not a JSON object: {}, at byte {}: {}",
                    of_events(),
                    error.reason,
                    error.at,
                    clipped(event)
                ));
            }
        }
        None
    }

    fn wrong_record(
        &mut self,
        record: &WaitingRecord,
        bytes: &[u8],
        reason: String,
    ) -> Result<(), IngestError> {
        if self.options.strict {
            return Err(IngestError::Malformed {
                file: self.file.name.clone(),
                line: record.line,
                column: record.column,
                reason,
                next: WRONG_LINE,
            });
        }
        self.bad_line(record.line, record.column, &reason, bytes);
        Ok(())
    }
}
