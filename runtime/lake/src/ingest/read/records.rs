//! Lines that are not JSON: gathered to records, and decoded to events.

use std::borrow::Cow;

use serde_json::{Map, Value};
use yagura_core::json::write_text;
use yagura_formats::{Decode, Decoded, Record, Rest, Taken};

use super::rows::Places;
use super::wrong::WRONG_LINE;
use super::{Reading, line_of};
use crate::ingest::IngestError;
use crate::ingest::split::{Piece, Prefix};

impl Reading<'_> {
    /// Gives a piece that is in the table to the decoder: a header says what the lines behind it mean.
    pub(super) fn pass_known(&mut self, piece: &Piece<'_>) {
        let Some(decoder) = &mut self.file.decoder else {
            return;
        };
        let text = text_of(piece, self.file.gather.is_some());
        let line = line_of(&text);
        match self
            .file
            .gather
            .as_mut()
            .map(|of| of.line(line, piece.line))
        {
            None | Some(Taken::Alone) => drop(decoder.line(line)),
            Some(Taken::Waits) => {}
            Some(Taken::Records { records, .. }) => {
                for record in records {
                    let _ = decoder.line(&record.text);
                }
            }
        }
    }

    /// Adds the events of a piece that is not JSON, and keeps what is none. Lines may wait for others: then the file is read from
    /// there again, until they are whole.
    ///
    /// The last line may lack its end because more is to be written. It is an event then. If it goes on later, it is one more event,
    /// the whole line.
    pub(super) fn decoded(
        &mut self,
        piece: &Piece<'_>,
        decoder: &mut dyn Decode,
    ) -> Result<(), IngestError> {
        let text = text_of(piece, self.file.gather.is_some());
        let line = line_of(&text);
        let gathered = match &mut self.file.gather {
            None => Taken::Alone,
            Some(gather) => gather.line(line, piece.line),
        };
        match gathered {
            Taken::Waits => self.file.waits.push((piece.line, piece.prefix.clone())),
            Taken::Alone => {
                let place = (piece.line, piece.column);
                self.record(line, place, piece.prefix.end, decoder)?;
                self.file.done = Some(piece.prefix.clone());
            }
            Taken::Records { records, waits } => {
                self.file.waits.push((piece.line, piece.prefix.clone()));
                let done = self.before(waits);
                self.records(&records, done, decoder)?;
            }
        }
        Ok(())
    }

    /// Returns what was read up to the lines that still wait, the first of which has this number. The lines before wait no longer.
    fn before(&mut self, waits: Option<u64>) -> Option<Prefix> {
        let waiting = &mut self.file.waits;
        let first = |from: u64| waiting.iter().position(|(line, _)| *line >= from);
        let end = waits.and_then(first).unwrap_or(waiting.len());
        waiting.drain(..end).next_back().map(|(_, prefix)| prefix)
    }

    /// Adds records whose last line was read up to `done`.
    pub(super) fn records(
        &mut self,
        records: &[Record],
        done: Option<Prefix>,
        decoder: &mut dyn Decode,
    ) -> Result<(), IngestError> {
        // All of them are written together with how far the file was read.
        self.make_room(records.iter().map(|record| record.text.len()).sum())?;
        let end = done.as_ref().map_or(0, |done| done.end);
        for record in records {
            self.record(&record.text, (record.line, 1), end, decoder)?;
        }
        self.file.done = done.or_else(|| self.file.done.take());
        Ok(())
    }

    /// Takes what waits at the end of a file.
    pub(super) fn end_of_lines(&mut self) -> Result<(), IngestError> {
        let Some(gather) = &mut self.file.gather else {
            return Ok(());
        };
        let Rest { records, open } = gather.end();
        let done = self.before(open);
        if let (false, Some(mut decoder)) = (records.is_empty(), self.file.decoder.take()) {
            self.records(&records, done, decoder.as_mut())?;
        }
        let Some(line) = open else {
            return Ok(());
        };
        let file = self.file.name.clone();
        if self.options.strict {
            return Err(IngestError::Malformed {
                file,
                line,
                column: 1,
                reason: "the record that begins here is not closed".to_owned(),
                next: WRONG_LINE,
            });
        }
        self.file.has_news = true;
        self.report.incomplete.push((file, line));
        Ok(())
    }

    /// Adds the event of a record that ends at `end`; keeps the record if it is none.
    pub(super) fn record(
        &mut self,
        text: &str,
        (line, column): (u64, u64),
        end: u64,
        decoder: &mut dyn Decode,
    ) -> Result<(), IngestError> {
        let wrong = match decoder.line(text) {
            Ok(Decoded::Nothing) => return Ok(()),
            Ok(Decoded::Event(event)) => {
                let (json, places) = written(&event, text.len());
                // Its values may be long.
                drop(event);
                let members = places.members(&json);
                return self.event(line, end, &json, Some(text), &members);
            }
            Err(wrong) => wrong,
        };
        let may_split = self.file.gather.as_ref().is_some_and(|of| of.may_split());
        if may_split && text.contains('\n') {
            let record = Record {
                text: text.to_owned(),
                line,
            };
            for part in record.lines() {
                self.record(&part.text, (part.line, 1), end, decoder)?;
            }
            return Ok(());
        }
        let before = text.get(..wrong.at).unwrap_or(text);
        let (line, column) = match before.rfind('\n') {
            None => (line, column + before.len() as u64),
            Some(last) => {
                let lines = before.bytes().filter(|byte| *byte == b'\n').count() as u64;
                (line + lines, (before.len() - last) as u64)
            }
        };
        if self.options.strict {
            return Err(IngestError::Malformed {
                file: self.file.name.clone(),
                line,
                column,
                reason: wrong.reason,
                next: WRONG_LINE,
            });
        }
        self.bad_line(line, column, &wrong.reason, text.as_bytes());
        Ok(())
    }
}

/// Writes an event as a JSON object, with the places of its members, so that nobody has to read it again. `length` is that of its line.
fn written(event: &Map<String, Value>, length: usize) -> (String, Places) {
    let mut json = String::with_capacity(2 * length + 64);
    let mut places = Places::default();
    for (key, value) in event {
        json.push(if json.is_empty() { '{' } else { ',' });
        let key_start = json.len();
        write_text(key, &mut json);
        let key_end = json.len();
        json.push(':');
        let start = json.len();
        match value {
            Value::String(text) => write_text(text, &mut json),
            other => json.push_str(&other.to_string()),
        }
        // Without the quotes, unless the key has escapes.
        let is_plain = key_end - key_start == key.len() + 2;
        let at = is_plain.then_some(key_start + 1..key_end - 1);
        places.add(key, at, start..json.len());
    }
    json.push_str(if json.is_empty() { "{}" } else { "}" });
    (json, places)
}

/// Returns the text of a piece. Where lines belong together, blanks around a line are a part of it, and of one that is cut at a tab
/// the last columns are empty.
fn text_of<'p>(piece: &Piece<'p>, with_blanks: bool) -> Cow<'p, str> {
    match piece.within {
        Some((line, _)) if with_blanks => {
            let text = String::from_utf8_lossy(line);
            let is_mark = |c: char| matches!(c, '\0' | '\u{feff}');
            match text.starts_with(is_mark) || text.ends_with('\0') {
                true => Cow::Owned(text.trim_matches(is_mark).to_owned()),
                false => text,
            }
        }
        _ => String::from_utf8_lossy(piece.bytes),
    }
}
