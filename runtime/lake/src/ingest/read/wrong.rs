//! Pieces of a file that are not events: kept and counted, or the end of a strict ingest.

use std::io;

use super::Reading;
use crate::ingest::line::Wrong;
use crate::ingest::report::SHOWN;
use crate::ingest::split::{Piece, SplitError};
use crate::ingest::{IngestError, quarantine};
use yagura_formats::DAMAGED;

impl Reading<'_> {
    /// Ends the ingest with what is wrong, or keeps it.
    pub(super) fn wrong(
        &mut self,
        piece: &Piece<'_>,
        text: &str,
        known: usize,
        wrong: Wrong<'_>,
    ) -> Result<(), IngestError> {
        let damage = wrong
            .text
            .strip_prefix(DAMAGED)
            .and_then(|text| text.strip_suffix("?>"));
        if let Some(damage) = damage.filter(|_| self.file.is_converted) {
            return self.damaged(piece, damage);
        }
        let before = &text[..wrong.at.min(text.len())];
        let lines = before.bytes().filter(|byte| *byte == b'\n').count() as u64;
        let column = match before.rfind('\n') {
            Some(newline) => (before.len() - newline) as u64,
            None => piece.column + (known + before.len()) as u64,
        };
        let line = piece.line + lines;
        if self.options.strict {
            return Err(IngestError::Malformed {
                file: self.file.name.clone(),
                line,
                column,
                reason: wrong.reason.to_owned(),
                next: if wrong.is_open { OPEN_LINE } else { WRONG_LINE },
            });
        }
        self.bad_line(line, column, wrong.reason, wrong.text.as_bytes());
        Ok(())
    }

    /// Ends the ingest with what could not be read of a file, or keeps what is known of it.
    pub(super) fn damaged(&mut self, piece: &Piece<'_>, damage: &str) -> Result<(), IngestError> {
        if self.options.strict {
            return Err(IngestError::Malformed {
                file: self.file.name.clone(),
                line: piece.line,
                column: 1,
                reason: damage.to_owned(),
                next: DAMAGED_PART,
            });
        }
        self.bad_line(piece.line, 1, damage, damage.as_bytes());
        Ok(())
    }

    pub(super) fn bad_line(&mut self, line: u64, column: u64, reason: &str, text: &[u8]) {
        let masked = self.options.source.as_ref().map(|source| {
            let text = String::from_utf8_lossy(text);
            source.normalizer.masked_line(&text).into_owned()
        });
        let text = masked.as_ref().map_or(text, |masked| masked.as_bytes());
        self.file.has_news = true;
        let counts = &mut self.batch.counts;
        counts.rejected += 1;
        if counts.bad_lines.len() < SHOWN {
            let place = format!("`{}`, line {line}, column {column}", self.file.name);
            counts.bad_lines.push(format!("{place}: {reason}"));
        }
        match self.options.rejects {
            Some(_) => {
                self.batch.rejects.extend_from_slice(text);
                self.batch.rejects.push(b'\n');
            }
            None => quarantine::write(
                &mut self.batch.rejects,
                &self.file.name,
                (line, column),
                reason,
                text,
            ),
        }
    }
}

pub(super) const WRONG_LINE: &str =
    "; correct it, or leave --strict out: such lines are then kept apart and the others ingested";
const DAMAGED_PART: &str =
    "; get the file again, or leave --strict out: what is whole in it is then ingested";
pub(super) const OPEN_LINE: &str = "; correct it, or give --format json if events span lines, or leave --strict out: such lines are then kept apart";

/// Names the file in what ended its reading.
pub(super) fn failure(error: SplitError<IngestError>, name: &str) -> IngestError {
    let file = name.to_owned();
    match error {
        SplitError::Receiver(error) => error,
        SplitError::Read { line, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            IngestError::Truncated { file, line }
        }
        SplitError::Read { line, source } => IngestError::Read { file, line, source },
        SplitError::Torn { line, column } => IngestError::Malformed {
            file,
            line,
            column,
            reason: "the value that begins here is not closed".to_owned(),
            next: "; correct the file, or give --format ndjson if it holds an event a line",
        },
        SplitError::Syntax {
            line,
            column,
            reason,
        } => IngestError::Malformed {
            file,
            line,
            column,
            reason,
            next: "; the next event's start is unknown: correct the file, or give --format ndjson if it holds an event a line",
        },
    }
}
