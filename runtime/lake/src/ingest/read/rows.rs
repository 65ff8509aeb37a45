//! Events to rows: as they are, or with what their source makes of them, many at once.

use std::sync::atomic::Ordering;

use super::{PROGRESS_BYTES, Reading, WRONG_LINE, clipped};
use crate::ingest::IngestError;
use crate::ingest::each::{Elements, elements_at};
use crate::ingest::encode::day_name;
use crate::ingest::event::{Member, members};
use crate::ingest::normalize::{Normalized, joined};
use crate::ingest::report::Example;
use crate::ingest::time;

/// So many events are normalized at once, or so many bytes of them.
const NORMALIZED_AT_ONCE: usize = 4_096;
const NORMALIZED_BYTES: usize = 4 << 20;

/// An event that waits to be normalized, many at once.
pub(super) struct Waiting {
    line: u64,
    /// Where the piece of its file ends.
    end: u64,
    text: String,
    /// The source text where that is not `text` itself.
    raw: Option<String>,
}

impl Reading<'_> {
    pub(super) fn event(
        &mut self,
        line: u64,
        end: u64,
        text: &str,
        raw: Option<&str>,
        members: &[Member<'_>],
    ) -> Result<(), IngestError> {
        let Some(source) = &self.options.source else {
            return self.row(line, end, (text, raw, members), None);
        };
        if let Some(path) = &source.each {
            let limit = self.options.max_event_bytes;
            match elements_at(members, path.segments(), limit) {
                Elements::None => {}
                Elements::Each(parts) => {
                    for part in parts {
                        self.wait(line, end, part, None)?;
                    }
                    return Ok(());
                }
                Elements::TooLong => {
                    let reason = format!(
                        "the elements of `{path}`, each with what stands beside them, are longer than {limit} bytes: split the report"
                    );
                    if self.options.strict {
                        return Err(IngestError::Malformed {
                            file: self.file.name.clone(),
                            line,
                            column: 1,
                            reason,
                            next: WRONG_LINE,
                        });
                    }
                    self.bad_line(line, 1, &reason, text.as_bytes());
                    return Ok(());
                }
            }
        }
        self.wait(line, end, text.to_owned(), raw.map(str::to_owned))
    }

    /// Adds an event to those that wait to be normalized.
    pub(super) fn wait(
        &mut self,
        line: u64,
        end: u64,
        text: String,
        raw: Option<String>,
    ) -> Result<(), IngestError> {
        let (text, raw) = match &self.options.source {
            Some(source) => source.normalizer.masked_event(text, raw),
            None => (text, raw),
        };
        self.file.waiting_bytes += text.len() + raw.as_ref().map_or(0, String::len);
        self.file.waiting.push(Waiting {
            line,
            end,
            text,
            raw,
        });
        if self.file.waiting.len() >= NORMALIZED_AT_ONCE
            || self.file.waiting_bytes >= NORMALIZED_BYTES
        {
            self.normalize()?;
        }
        Ok(())
    }

    /// Adds the events that wait to be normalized.
    pub(super) fn normalize(&mut self) -> Result<(), IngestError> {
        let Some(source) = &self.options.source else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut self.file.waiting);
        self.file.waiting_bytes = 0;
        let texts: Vec<&str> = waiting.iter().map(|event| event.text.as_str()).collect();
        let mut all = source.normalizer.normalize(&texts);
        all.resize_with(waiting.len(), Normalized::default);
        for (event, normalized) in waiting.iter().zip(all) {
            // They were read before.
            let own = members(&event.text).unwrap_or_default();
            let raw = event.raw.as_deref();
            let text = (event.text.as_str(), raw, own.as_slice());
            self.row(event.line, event.end, text, Some(normalized))?;
        }
        Ok(())
    }

    /// Adds a row: an event, with what its source makes of it.
    pub(super) fn row(
        &mut self,
        line: u64,
        end: u64,
        (text, raw, own): (&str, Option<&str>, &[Member<'_>]),
        normalized: Option<Normalized>,
    ) -> Result<(), IngestError> {
        self.gatherer.set_part(self.part);
        let mut looked = self.gatherer.look(own);
        if let Some(time) = normalized.as_ref().and_then(|of| of.time) {
            looked.found = Some(time::Found::declared(time));
        }
        let before = &self.file.before;
        let is_known = |time| !before.parts.is_empty() && before.holds(end, &day_name(time));
        let added = match &normalized {
            Some(normalized) if !normalized.members.is_empty() => {
                let whole = joined(&normalized.members, text);
                let all = members(&whole).unwrap_or_default();
                let raw = Some(raw.unwrap_or(text));
                let made = all.len() - own.len();
                let members = (all.as_slice(), made);
                let mut added = self
                    .gatherer
                    .add(&whole, raw, members, (own, looked), is_known);
                // A maker's key may have the name of a column of its class.
                added.duplicate = added
                    .duplicate
                    .filter(|key| own.iter().filter(|(own, _)| own == key).count() > 1);
                added
            }
            _ => self
                .gatherer
                .add(text, raw, (own, 0), (own, looked), is_known),
        };
        if added.is_known {
            return Ok(());
        }
        self.file.has_news = true;
        self.events += 1;
        let counts = &mut self.batch.counts;
        counts.events += 1;
        let name = &self.file.name;
        let example = |value: &str| Example {
            file: name.clone(),
            line,
            value: clipped(value),
        };
        let looked = added.looked;
        match looked.found {
            None => counts.without_time.add(|| match looked.refused {
                Some(value) => example(&format!("{value} is not a time")),
                None => example("it has none of the usual names for a time"),
            }),
            Some(found) => {
                if found.time > self.future {
                    counts.in_future.add(|| example(found.source));
                } else if found.time < self.early {
                    counts.before_1990.add(|| example(found.source));
                }
                if !found.is_declared() && self.gatherer.has_time_paths() {
                    counts.elsewhere.add(|| example(found.source));
                }
            }
        }
        if let Some(key) = added.duplicate {
            counts.duplicate_keys.add(|| example(&key));
        }
        if let Some(normalized) = normalized {
            *counts.classes.entry(normalized.class).or_default() += 1;
            for (column, value) in normalized.unfit {
                let tally = counts.unfit.entry(column).or_default();
                tally.add(|| example(&value));
            }
        }
        if self.read.load(Ordering::Relaxed) >= self.progress.bytes + PROGRESS_BYTES {
            self.send_progress()?;
        }
        Ok(())
    }
}
