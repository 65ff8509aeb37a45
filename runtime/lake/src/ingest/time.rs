//! When an event happened, from the forms in which logs write it.
//!
//! ```text
//! event ─names─▶ candidates, best first ─text, number, zone─▶ moments ─▶ the first one that is plausible
//! ```
//!
//! A moment is plausible inside the table's [`Range`]. Numbers outside it are not times: counters and durations are
//! numbers too. Texts outside it count only where no candidate is inside, a day without a time of day only where none has
//! one, and what stands for "no time" (0001-01-01, 1601-01-01, 1970-01-01, 0) never counts.

mod names;
mod number;
#[cfg(test)]
mod tests;
mod text;
mod zone;

use std::borrow::Cow;

use yagura_core::{FieldPath, Timestamp};
use yagura_formats::Zone;

use self::text::Read;
use super::event::{Member, find, members, text_of};
use crate::definition::TimeBounds;

/// The moments in which events are expected, in microseconds since 1970, and how times are completed that leave something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    from: i64,
    to: i64,
    /// The zone of times that name none.
    zone: Zone,
    /// Until when the text was written, where times without a year are read: they are at most 1 day after it.
    until: Option<i64>,
}

impl Range {
    /// Returns the range of a table, 1990 to 2100 where it has none of its own.
    pub(crate) fn of(range: Option<TimeBounds>) -> Self {
        let range = range.unwrap_or_default();
        Self {
            from: range.from.micros(),
            to: range.to.micros(),
            zone: Zone::utc(),
            until: None,
        }
    }

    /// Sets the zone of times that name none.
    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Lets times without a year be read at the declared places.
    pub(crate) fn written_until(self, until: i64) -> Self {
        let until = Some(until);
        Self { until, ..self }
    }

    fn holds(self, micros: i64) -> bool {
        (self.from..=self.to).contains(&micros)
    }
}

/// Reads the time in a text or a number, in any form that an event's time may have; a day is its first moment.
pub fn of_text(text: &str) -> Option<Timestamp> {
    of_text_in(text, Zone::utc())
}

/// Does the same for a text whose time is in this zone if it names none.
pub fn of_text_in(text: &str, zone: Zone) -> Option<Timestamp> {
    let micros = text::read(text, Range::of(None).in_zone(zone))?.micros()?;
    Timestamp::from_micros(micros)
}

/// An event's time and where it stood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) time: Timestamp,
    /// JSON text of the value.
    pub(crate) source: &'a str,
    pub(crate) place: Place,
}

/// Where a time stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At one of the table's paths.
    Declared,
    /// Where times of earlier events were.
    Known,
    /// At one of the usual names: the member of this index.
    Member(usize),
    /// At a usual path below a member.
    Path(&'static [&'static str]),
}

impl Found<'static> {
    /// Returns a time that the table's source says.
    pub(crate) fn declared(time: Timestamp) -> Self {
        Self {
            time,
            source: "",
            place: Place::Declared,
        }
    }
}

impl Found<'_> {
    /// Says whether it stood at one of the table's paths.
    pub(crate) fn is_declared(&self) -> bool {
        self.place == Place::Declared
    }

    /// Says whether the time is written in UTC to the second or to a whole number of digits that microseconds hold, so
    /// that the value can be written again from the time.
    pub(crate) fn is_exact(&self) -> bool {
        let micros = self.time.to_string();
        let (seconds, fraction) = micros.split_at(19);
        let Some(source) = self
            .source
            .strip_prefix('"')
            .and_then(|s| s.strip_suffix("Z\""))
        else {
            return false;
        };
        source == seconds || source.strip_suffix(&fraction[..fraction.len() - 1]) == Some(seconds)
    }
}

/// The result of looking for an event's time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked<'a> {
    pub(crate) found: Option<Found<'a>>,
    /// Whether the event has a value at one of the table's paths.
    pub(crate) has_declared: bool,
    /// The first value that stood where a time should and is none.
    pub(crate) refused: Option<&'a str>,
}

impl<'a> Looked<'a> {
    /// Returns a time that nobody had to look for.
    pub(crate) fn of(found: Found<'a>) -> Self {
        Self {
            found: Some(found),
            ..Self::default()
        }
    }
}

/// Finds an event's time: at the first of `paths` that holds one, else where the times of earlier events were, else at the best of
/// the usual places.
pub(crate) fn of_event<'a>(
    members: &[Member<'a>],
    paths: &[FieldPath],
    known: &[FieldPath],
    range: Range,
) -> Looked<'a> {
    let mut search = Search {
        range,
        looked: Looked::default(),
        fallback: None,
    };
    for path in paths {
        if let Some(source) = find(members, path.segments()) {
            search.looked.has_declared = true;
            search.declared(source);
            if search.looked.found.is_some() {
                return search.looked;
            }
        }
    }
    for path in known {
        if let Some(source) = find(members, path.segments())
            && source != "null"
        {
            let clock = names::clock_beside(members, &path.segments()[0]);
            search.usual(source, clock, Place::Known);
            if search.looked.found.is_some() {
                return search.looked;
            }
        }
    }
    // A day at a known place counts more than a moment at another.
    if let Some((DAY, found)) = search.fallback {
        search.looked.found = Some(found);
        return search.looked;
    }
    names::candidates(members, |source, clock, place| {
        search.usual(source, clock, place);
        search.looked.found.is_some()
    });
    search.looked.found = search
        .looked
        .found
        .or(search.fallback.map(|(_, found)| found));
    search.looked
}

/// How good a day without a time of day is, and a time outside the range.
const DAY: u8 = 0;
const OUTSIDE: u8 = 1;

struct Search<'a> {
    range: Range,
    looked: Looked<'a>,
    /// The best of what counts only where nothing better comes, and how good it is.
    fallback: Option<(u8, Found<'a>)>,
}

impl<'a> Search<'a> {
    /// A declared place wins with everything that can be read.
    fn declared(&mut self, source: &'a str) {
        match of_json(source, self.range, 0) {
            Some(Read::Moment(micros) | Read::Day(micros)) => {
                self.looked.found = found(micros, source, Place::Declared);
            }
            _ => {
                self.looked.refused.get_or_insert(source);
            }
        }
    }

    fn usual(&mut self, source: &'a str, clock: Option<&'a str>, place: Place) {
        let (micros, is_day) = match self.read(source, clock) {
            Some(Read::Moment(micros)) => (micros, false),
            Some(Read::Day(micros)) => (micros, true),
            Some(Read::Zero) | None => {
                self.looked.refused.get_or_insert(source);
                return;
            }
        };
        let rank = match (self.range.holds(micros), is_day) {
            (true, false) => {
                self.looked.found = found(micros, source, place);
                return;
            }
            (true, true) => DAY,
            (false, _) => OUTSIDE,
        };
        if self.fallback.is_none_or(|(best, _)| rank < best) {
            self.fallback = found(micros, source, place).map(|found| (rank, found));
        }
    }

    /// Reads a JSON value; `clock` is the time of day that stands apart from a date.
    fn read(&self, source: &str, clock: Option<&str>) -> Option<Read> {
        // A word and a number may be anything at a place that nobody declared.
        let range = Range {
            until: None,
            ..self.range
        };
        if let Some(clock) = clock {
            let whole = format!("{} {}", text_of(source), text_of(clock));
            if let Some(read) = text::read(&whole, range) {
                return Some(read);
            }
        }
        of_json(source, range, 0)
    }
}

fn found(micros: i64, source: &str, place: Place) -> Option<Found<'_>> {
    let time = Timestamp::from_micros(micros)?;
    Some(Found {
        time,
        source,
        place,
    })
}

/// Keys under which an object keeps its moment: XML as JSON, MongoDB.
const INNER: [&str; 7] = [
    "SystemTime",
    "@SystemTime",
    "#attributes",
    "#text",
    "$date",
    "$numberLong",
    "value",
];
/// Keys of whole seconds beside finer ones: protobuf, log4j, WMI's own.
const SECONDS: [&str; 3] = ["seconds", "epochSecond", "_seconds"];
const NANOS: [&str; 3] = ["nanos", "nanoOfSecond", "_nanoseconds"];

/// Reads the moment in a JSON value: a string, a number, the first element of an array, or an object that holds one.
fn of_json(source: &str, range: Range, depth: usize) -> Option<Read> {
    if depth > 3 {
        return None;
    }
    let text = match source.as_bytes().first()? {
        b'"' => text_of(source),
        b'-' | b'0'..=b'9' => Cow::Borrowed(source),
        b'[' => {
            let first = yagura_core::json::elements(source).ok()?;
            return of_json(first.first()?, range, depth + 1);
        }
        b'{' => {
            let members = members(source).ok()?;
            let at = |keys: &[&str]| {
                let mut all = members.iter();
                all.find(|(key, _)| keys.contains(&key.as_ref()))
                    .map(|(_, value)| *value)
            };
            if let Some(seconds) = at(&SECONDS) {
                let nanos = at(&NANOS).map_or(Some(0), |nanos| nanos.parse::<u32>().ok())?;
                return text::read(&format!("{}.{nanos:09}", text_of(seconds)), range);
            }
            return of_json(at(&INNER)?, range, depth + 1);
        }
        _ => return None,
    };
    text::read(&text, range)
}
