//! Events to rows: as they are, or with what their source makes of them, many at once.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::Ordering;

use yagura_core::Timestamp;

use super::wrong::WRONG_LINE;
use super::{PROGRESS_BYTES, Reading, clipped};
use crate::ingest::IngestError;
use crate::ingest::chunk::{Event, narrow};
use crate::ingest::each::{Elements, elements_at};
use crate::ingest::encode::day_name;
use crate::ingest::event::{Member, find, members as members_of, text_of};
use crate::ingest::normalize::Normalized;
use crate::ingest::repeats::{Repeats, weight};
use crate::ingest::report::{Example, Traced};
use crate::ingest::time::{self, Looked};

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
    /// Where its members stand in `text`.
    members: Places,
}

/// The members of a text as places in it, so that they are read once although the text moves.
#[derive(Default)]
pub(super) struct Places {
    /// Begin and end of the key and of the value. A key with escapes stands in `escaped` instead, and has no place.
    members: Vec<[u32; 4]>,
    escaped: Vec<String>,
}

impl Places {
    /// Returns the places of members that are pieces of `text`, which has less than 4 GiB.
    fn of(text: &str, members: &[Member<'_>]) -> Self {
        let mut places = Self {
            members: Vec::with_capacity(members.len()),
            escaped: Vec::new(),
        };
        let place = |piece: &str| {
            let start = piece.as_ptr() as usize - text.as_ptr() as usize;
            start..start + piece.len()
        };
        for (key, value) in members {
            let at = match key {
                Cow::Borrowed(key) => Some(place(key)),
                Cow::Owned(_) => None,
            };
            places.add(key, at, place(value));
        }
        places
    }

    /// Adds a member by the places of its value and of its key, unless that has escapes.
    pub(super) fn add(&mut self, key: &str, at: Option<Range<usize>>, value: Range<usize>) {
        let [key_start, key_end] = match at {
            Some(at) => [narrow(at.start), narrow(at.end)],
            None => {
                self.escaped.push(key.to_owned());
                [u32::MAX; 2]
            }
        };
        let [start, end] = [narrow(value.start), narrow(value.end)];
        self.members.push([key_start, key_end, start, end]);
    }

    /// Returns the members of the same text.
    pub(super) fn members<'t>(&'t self, text: &'t str) -> Vec<Member<'t>> {
        let mut escaped = self.escaped.iter();
        let piece = |start: u32, end: u32| text.get(start as usize..end as usize);
        let members = self.members.iter().map(|[key_start, key_end, start, end]| {
            let key = match key_start {
                &u32::MAX => escaped.next().map(String::as_str),
                _ => piece(*key_start, *key_end),
            };
            let key = Cow::Borrowed(key.unwrap_or_default());
            (key, piece(*start, *end).unwrap_or_default())
        });
        members.collect()
    }
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
        if let Some(each) = &source.each {
            let limit = self.options.max_event_bytes;
            match elements_at(members, each, limit) {
                Elements::None => {}
                Elements::Each(parts) => {
                    for part in parts {
                        let own = members_of(&part).unwrap_or_default();
                        let places = Places::of(&part, &own);
                        drop(own);
                        self.wait(line, end, part, None, places)?;
                    }
                    return Ok(());
                }
                Elements::TooLong => {
                    let reason = format!(
                        "the elements of {}, each with what stands beside them, are longer than {limit} bytes: split the report, or name parts in [[source.apart]]",
                        each.shown()
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
        let places = Places::of(text, members);
        self.wait(line, end, text.to_owned(), raw.map(str::to_owned), places)
    }

    /// Adds an event to those that wait to be normalized.
    pub(super) fn wait(
        &mut self,
        line: u64,
        end: u64,
        text: String,
        raw: Option<String>,
        members: Places,
    ) -> Result<(), IngestError> {
        let address = text.as_ptr();
        let (text, raw) = match &self.options.source {
            Some(source) => source.normalizer.masked_event(text, raw),
            None => (text, raw),
        };
        // What is masked is another text.
        let members = match std::ptr::eq(address, text.as_ptr()) {
            true => members,
            false => Places::of(&text, &members_of(&text).unwrap_or_default()),
        };
        self.file.waiting_bytes += text.len() + raw.as_ref().map_or(0, String::len);
        self.file.waiting.push(Waiting {
            line,
            end,
            text,
            raw,
            members,
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
        let options = self.options;
        let Some(source) = &options.source else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut self.file.waiting);
        self.file.waiting_bytes = 0;
        let texts: Vec<&str> = waiting.iter().map(|event| event.text.as_str()).collect();
        let mut all = source.normalizer.normalize(&texts);
        all.resize_with(waiting.len(), Normalized::default);
        for (event, normalized) in waiting.into_iter().zip(all) {
            match &source.repeats {
                None => self.waited(&event, normalized)?,
                Some(repeats) => self.repeat(repeats, event, normalized)?,
            }
        }
        Ok(())
    }

    /// Adds the row of an event that waited.
    fn waited(&mut self, event: &Waiting, normalized: Normalized) -> Result<(), IngestError> {
        let own = event.members.members(&event.text);
        let raw = event.raw.as_deref();
        let text = (event.text.as_str(), raw, own.as_slice());
        self.row(event.line, event.end, text, Some(normalized))
    }

    /// Counts an event in the row of an equal one, or lets it wait for others.
    fn repeat(
        &mut self,
        repeats: &Repeats,
        event: Waiting,
        normalized: Normalized,
    ) -> Result<(), IngestError> {
        let own = event.members.members(&event.text);
        let found = self.gatherer.look(&own).found.map(|found| found.time);
        let Some(time) = normalized.time.or(found) else {
            // Nobody knows whether it came soon after another.
            return self.waited(&event, normalized);
        };
        let key = repeats.key(normalized.class, &own);
        let count = weight(&own);
        let bytes = event.text.len() + event.raw.as_ref().map_or(0, String::len);
        drop(own);
        let rows = &mut self.file.repeats;
        let row = ((event, normalized), bytes);
        if rows.add(key, repeats.within, (time, count), row) {
            self.batch.counts.repeated += 1;
        } else if rows.is_full() {
            self.end_repeats()?;
        }
        Ok(())
    }

    /// Adds the rows that wait for repetitions.
    fn end_repeats(&mut self) -> Result<(), IngestError> {
        for repeated in self.file.repeats.take() {
            let members = repeated.members();
            let first = repeated.first;
            let (event, mut normalized) = repeated.row;
            normalized.time = Some(first);
            let comma = if normalized.members.is_empty() {
                ""
            } else {
                ","
            };
            normalized.members.push_str(comma);
            normalized.members.push_str(&members);
            self.waited(&event, normalized)?;
        }
        Ok(())
    }

    /// Adds all events that wait for something.
    pub(super) fn end_waiting(&mut self) -> Result<(), IngestError> {
        self.normalize()?;
        self.end_repeats()
    }

    /// Adds when the row is ingested: when this ingest began.
    fn with_processed_time(&self, mut of: Normalized) -> Normalized {
        let source = self.options.source.as_ref();
        let Some(column) = source.and_then(|source| source.processed_time.as_ref()) else {
            return of;
        };
        let began = self.future.micros() - super::super::DAY;
        let comma = if of.members.is_empty() { "" } else { "," };
        let member = format!("{comma}\"{column}\":{}", began.div_euclid(1_000));
        of.members.push_str(&member);
        of
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
        let normalized = normalized.map(|of| self.with_processed_time(of));
        let made_time = normalized.as_ref().and_then(|of| of.time);
        let looked = match made_time.map(time::Found::declared) {
            Some(found) if self.options.time_field.is_none() => Looked::of(found),
            found => {
                let mut looked = self.gatherer.look(own);
                looked.found = found.or(looked.found);
                looked
            }
        };
        let before = &self.file.before;
        let is_known = |time| !before.parts.is_empty() && before.holds(end, &day_name(time));
        let added = match &normalized {
            Some(normalized) if !normalized.members.is_empty() => {
                let made = format!("{{{}}}", normalized.members);
                let of_source = members_of(&made).unwrap_or_default();
                let event = Event {
                    made: (&made, &of_source),
                    own: (text, own),
                    raw,
                };
                let mut added = self.gatherer.add(&event, looked, is_known);
                // A maker's key may have the name of a column of its class.
                added.duplicate = added
                    .duplicate
                    .filter(|key| own.iter().filter(|(own, _)| own == key).count() > 1);
                added
            }
            _ => {
                let event = Event {
                    made: ("", &[]),
                    own: (text, own),
                    raw,
                };
                self.gatherer.add(&event, looked, is_known)
            }
        };
        if added.is_known {
            return Ok(());
        }
        self.file.has_news = true;
        self.events += 1;
        if self.options.trace {
            self.report.trace.push(Traced {
                file: self.file.name.clone(),
                line,
                raw: raw.unwrap_or(text).to_owned(),
            });
        }
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
                let arrived = match self.file.is_of_lines {
                    true => received(own).unwrap_or(self.until),
                    false => self.until,
                };
                let delay = arrived.micros().saturating_sub(found.time.micros());
                counts.delays.add(delay);
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

/// Returns when a listener received an event.
fn received(own: &[Member<'_>]) -> Option<Timestamp> {
    let time = find(own, &["received".to_owned(), "time".to_owned()])?;
    text_of(time).parse().ok()
}
