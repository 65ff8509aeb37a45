//! Events gathered until they are written: their source texts in one piece of memory, and cells that point into it.

mod place;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ahash::RandomState;
use yagura_core::{FieldPath, Timestamp};
use yagura_formats::Zone;

use self::place::{Base, Placed};
use super::columns::{Candidates, KeysWithoutColumn};
use super::event::{Member, members};
use super::mapping::Routes;
use super::time::{self, Looked, Place, Range};
use crate::definition::RESERVED_COLUMNS;
use crate::{ColumnKind, OnNullTime, TableDefinition};

/// Longest key that gets a column.
const MAX_KEY_BYTES: usize = 256;
/// A place where fewer than one of so many events have their time is not the table's.
const FEW: u64 = 20;

/// A value's place in the chunk's text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) row: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// An event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Place in the chunk's text of what its source made, a JSON object; as long as nothing where that made nothing.
    pub(crate) start: u32,
    /// Where the event itself begins behind it, a JSON object too, and where that ends.
    pub(crate) own: u32,
    pub(crate) end: u32,
    /// Where the source text ends that stands behind it; `end` where the object itself is the source text.
    pub(crate) raw_end: u32,
    pub(crate) time: Option<Timestamp>,
    /// The number of the part that it is of.
    pub(crate) part: usize,
}

impl Row {
    /// Returns the place of the source text in the chunk's text.
    pub(crate) fn raw(&self) -> std::ops::Range<usize> {
        if self.raw_end > self.end {
            self.end as usize..self.raw_end as usize
        } else {
            self.own as usize..self.end as usize
        }
    }
}

/// An event that is added.
pub(crate) struct Event<'e, 'm> {
    /// What its source made, a JSON object, and its members; the empty text where that made nothing.
    pub(crate) made: (&'e str, &'e [Member<'e>]),
    /// The event as a JSON object, and its members.
    pub(crate) own: (&'e str, &'e [Member<'m>]),
    /// The source text where that is not the object itself.
    pub(crate) raw: Option<&'e str>,
}

/// Events that are written together.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The events as JSON objects, one after another, each with its source text behind it unless that is the object itself.
    pub(crate) text: String,
    pub(crate) rows: Vec<Row>,
    /// For each column of the definition, its values.
    pub(crate) cells: Vec<Vec<Cell>>,
    /// JSON objects of what has no column; the cells of `unmapped` point here.
    pub(crate) unmapped_text: String,
    pub(crate) unmapped: Vec<Cell>,
}

impl Chunk {
    fn with_room(bytes: usize) -> Self {
        Self {
            // Untouched room costs nothing, whereas growing leaves holes of every size behind.
            text: String::with_capacity(bytes),
            ..Self::default()
        }
    }
}

/// Gathers events and learns the table's columns from them.
#[derive(Debug)]
pub(crate) struct Gatherer {
    definition: Arc<TableDefinition>,
    /// Where each column's key leads; for tables that learn their columns.
    by_key: HashMap<String, usize, RandomState>,
    /// Which columns the table's source makes: a maker's key of the same name has no column.
    is_made: Vec<bool>,
    /// Room for the columns of an event's keys.
    found: Vec<Option<usize>>,
    /// For tables with a shipped mapping.
    routes: Option<Routes>,
    /// Keys without a column, and how many events have them.
    candidates: Candidates,
    chunk: Chunk,
    /// The number of the part whose events are added.
    part: usize,
    /// Rows of the chunk with such keys: none of their values has a place before all of the chunk's keys are counted.
    undecided: Vec<u32>,
    room: usize,
    /// Kinds at the start of the columns that were widened.
    widened: BTreeMap<usize, ColumnKind>,
    /// Columns at the start.
    columns: usize,
    /// Where the user says that the time is; stored once an event has it.
    declared: Option<FieldPath>,
    has_declared: bool,
    /// Where times were found that no place of the table holds, with how many were.
    places: Vec<(FieldPath, u64)>,
    events: u64,
    range: Range,
}

/// What was found when an event was added.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    pub(crate) looked: Looked<'a>,
    /// A key that the event has more than once.
    pub(crate) duplicate: Option<String>,
    /// Whether it is in the table already, and was passed over.
    pub(crate) is_known: bool,
}

impl Gatherer {
    /// `known` are names that rules know; `room` is how many bytes of source text a chunk usually has.
    pub(crate) fn new(
        definition: TableDefinition,
        declared: Option<FieldPath>,
        known: Arc<BTreeSet<String>>,
        room: usize,
    ) -> Self {
        let routes = definition
            .schema
            .is_some()
            .then(|| Routes::new(&definition));
        let keys = definition.columns.iter().enumerate();
        Self {
            by_key: keys.map(|(at, column)| (column.name.clone(), at)).collect(),
            is_made: Vec::new(),
            found: Vec::new(),
            routes,
            candidates: Candidates::new(known),
            chunk: Chunk::with_room(room),
            part: 0,
            undecided: Vec::new(),
            room,
            widened: BTreeMap::new(),
            columns: definition.columns.len(),
            declared,
            has_declared: false,
            places: Vec::new(),
            events: 0,
            range: Range::of(definition.time_bounds),
            definition: Arc::new(definition),
        }
    }

    /// Sets the zone of times that name none.
    pub(crate) fn set_zone(&mut self, zone: Zone) {
        self.range = self.range.in_zone(zone);
    }

    /// Sets until when the events that follow were written, for times without a year.
    pub(crate) fn set_written_until(&mut self, until: Timestamp) {
        self.range = self.range.written_until(until.micros());
    }

    /// Keeps these columns for what the table's source makes.
    pub(crate) fn keep_for_source(&mut self, columns: impl Iterator<Item = String>) {
        for name in columns {
            let Some(column) = self.by_key.get(&name).copied() else {
                continue;
            };
            if self.is_made.len() <= column {
                self.is_made.resize(column + 1, false);
            }
            self.is_made[column] = true;
        }
    }

    /// Sets the number of the part whose events come next.
    pub(crate) fn set_part(&mut self, part: usize) {
        self.part = part;
    }

    /// Returns the definition as learned so far.
    pub(crate) fn definition(&self) -> &Arc<TableDefinition> {
        &self.definition
    }

    /// Returns the events gathered so far.
    pub(crate) fn len(&self) -> usize {
        self.chunk.rows.len()
    }

    /// Returns the bytes of their source texts.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk.text.len() + self.chunk.unmapped_text.len()
    }

    /// Takes the events gathered so far. The definition holds all of them afterwards.
    pub(crate) fn take(&mut self) -> Chunk {
        self.decide();
        std::mem::replace(&mut self.chunk, Chunk::with_room(self.room))
    }

    /// Describes new columns whose names differ from that of another in case only, such as `User, user`.
    pub(crate) fn alike(&self) -> Vec<String> {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, column) in self.definition.columns.iter().enumerate() {
            by_name
                .entry(column.name.to_lowercase())
                .or_default()
                .push(at);
        }
        by_name
            .into_values()
            .filter(|same| same.len() > 1 && same.iter().any(|at| *at >= self.columns))
            .map(|same| {
                let names = same
                    .iter()
                    .map(|at| self.definition.columns[*at].name.as_str());
                names.collect::<Vec<_>>().join(", ")
            })
            .collect()
    }

    /// Returns the keys that have no column because there was no room.
    pub(crate) fn without_column(&self) -> KeysWithoutColumn {
        self.candidates.left()
    }

    /// Describes the columns that became wider, such as `port: int64 to text`.
    pub(crate) fn widened(&self) -> Vec<String> {
        let describe = |(at, before): (&usize, &ColumnKind)| {
            let column = &self.definition.columns[*at];
            format!("{}: {before} to {}", column.name, column.kind)
        };
        self.widened.iter().map(describe).collect()
    }

    /// Finds the time of an event by its members.
    pub(crate) fn look<'a>(&self, members: &[Member<'a>]) -> Looked<'a> {
        let paths = match &self.declared {
            Some(path) => std::slice::from_ref(path),
            None => &self.definition.time_paths,
        };
        time::of_event(members, paths, &self.definition.time_keys, self.range)
    }

    /// Adds an event, unless `is_known` says of its day that it is in the table.
    ///
    /// Members must be pieces of the text that they belong to; the chunk's text must have room for all. `looked` was found in the
    /// event's own members.
    pub(crate) fn add<'a>(
        &mut self,
        event: &Event<'_, 'a>,
        looked: Looked<'a>,
        is_known: impl FnOnce(Option<Timestamp>) -> bool,
    ) -> Added<'a> {
        let (text, own) = event.own;
        let time = looked.found.map(|found| found.time);
        let mut added = Added {
            looked,
            duplicate: None,
            is_known: is_known(time),
        };
        if added.is_known {
            return added;
        }
        if looked.has_declared
            && let Some(path) = &self.declared
            && self.definition.time_paths != [path.clone()]
        {
            Arc::make_mut(&mut self.definition).time_paths = vec![path.clone()];
        }
        self.has_declared |= looked.has_declared;
        self.events += 1;
        self.note_place(looked.found.map(|found| found.place), own);
        if time.is_none() && self.definition.on_null_time == OnNullTime::Fail {
            Arc::make_mut(&mut self.definition).on_null_time = OnNullTime::Skip;
        }
        let (made, of_source) = event.made;
        let start = self.chunk.text.len();
        self.chunk.text.push_str(made);
        let own_start = self.chunk.text.len();
        self.chunk.text.push_str(text);
        let at = Placed {
            row: narrow(self.chunk.rows.len()),
            made: Base::new(made, start),
            own: Base::new(text, own_start),
        };
        let unmapped_start = self.chunk.unmapped_text.len();
        added.duplicate = if self.routes.is_some() {
            self.map(&at, own, looked.found)
        } else {
            self.learn(&at, of_source, own)
        };
        self.close_unmapped(at.row, unmapped_start);
        let end = narrow(self.chunk.text.len());
        self.chunk.text.push_str(event.raw.unwrap_or_default());
        self.chunk.rows.push(Row {
            start: narrow(start),
            own: narrow(own_start),
            end,
            raw_end: narrow(self.chunk.text.len()),
            time,
            part: self.part,
        });
        added
    }

    /// Counts where a time was found, unless the table knows of it.
    fn note_place(&mut self, place: Option<Place>, members: &[Member<'_>]) {
        let same = |path: &FieldPath, segments: &[&str]| path.segments() == segments;
        let by_member;
        let segments: &[&str] = match place {
            Some(Place::Member(at)) => {
                by_member = [members[at].0.as_ref()];
                &by_member
            }
            Some(Place::Path(path)) => path,
            Some(Place::Declared | Place::Known) | None => return,
        };
        let mut places = self.places.iter_mut();
        if let Some((_, count)) = places.find(|(path, _)| same(path, segments)) {
            *count += 1;
        } else if let Some(path) =
            FieldPath::new(segments.iter().map(|of| (*of).to_owned()).collect())
        {
            self.places.push((path, 1));
        }
    }

    /// Fixes where the table's times are, the most usual place first. What few events have may be an oddity, or a trick.
    pub(crate) fn learn_time_keys(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (path, count) in places {
            if count.saturating_mul(FEW) >= self.events
                && !self.definition.time_keys.contains(&path)
            {
                Arc::make_mut(&mut self.definition).learn_time_key(&path);
            }
        }
    }

    /// Says whether the table says where the time is.
    pub(crate) fn has_time_paths(&self) -> bool {
        self.declared.is_some() || !self.definition.time_paths.is_empty()
    }

    /// Returns the declared place of the time if no event had a value there so far.
    pub(crate) fn missing_declared(&self) -> Option<&FieldPath> {
        self.declared.as_ref().filter(|_| !self.has_declared)
    }

    /// Sends each member to the column of its key, unless a key has none: then the row waits until the chunk's keys are counted.
    /// Returns a key that the event has more than once.
    fn learn(&mut self, event: &Placed, made: &[Member<'_>], own: &[Member<'_>]) -> Option<String> {
        self.candidates.add_event();
        let mut columns = std::mem::take(&mut self.found);
        columns.clear();
        let mut is_undecided = false;
        for (key, value) in made.iter().chain(own) {
            let column = self.by_key.get(key.as_ref()).copied();
            is_undecided |= column.is_none() && *value != "null" && may_be_column(key);
            columns.push(column);
        }
        let duplicate = match is_undecided {
            false => self.place(event, (made, own), &columns, &HashSet::new()),
            true => self.count(event, made.iter().chain(own)),
        };
        self.found = columns;
        duplicate
    }

    /// Counts the keys of an event that has some without a column. Returns a key that the event has more than once.
    fn count<'m>(
        &mut self,
        event: &Placed,
        members: impl Iterator<Item = &'m Member<'m>>,
    ) -> Option<String> {
        self.undecided.push(event.row);
        let mut duplicate = None;
        let mut seen = HashSet::new();
        for (key, value) in members {
            if *value == "null" {
                continue;
            }
            if !seen.insert(key.as_ref()) {
                duplicate.get_or_insert_with(|| key.as_ref().to_owned());
            } else if !self.by_key.contains_key(key.as_ref()) && may_be_column(key) {
                self.candidates.add(key);
            }
        }
        duplicate
    }

    /// Gives columns to keys, and a place to the values of the rows that waited for it.
    pub(crate) fn decide(&mut self) {
        if self.undecided.is_empty() {
            return;
        }
        let chosen = self.candidates.choose(self.definition.columns.len());
        // The members are pieces of the text, which does not change.
        let text = std::mem::take(&mut self.chunk.text);
        for row in std::mem::take(&mut self.undecided) {
            let Some(of_row) = self.chunk.rows.get(row as usize).copied() else {
                continue;
            };
            let (start, own, end) = (
                of_row.start as usize,
                of_row.own as usize,
                of_row.end as usize,
            );
            let (made, event) = (&text[start..own], &text[own..end]);
            let at = Placed {
                row,
                made: Base::new(made, start),
                own: Base::new(event, own),
            };
            // They were read before.
            let of_source = members(made).unwrap_or_default();
            let of_event = members(event).unwrap_or_default();
            let columns: Vec<Option<usize>> = of_source
                .iter()
                .chain(&of_event)
                .map(|(key, _)| self.by_key.get(key.as_ref()).copied())
                .collect();
            let unmapped_start = self.chunk.unmapped_text.len();
            self.place(&at, (&of_source, &of_event), &columns, &chosen);
            self.close_unmapped(row, unmapped_start);
        }
        self.chunk.text = text;
    }
}

/// Says whether a key of events can be a column's name.
fn may_be_column(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES && !RESERVED_COLUMNS.contains(&key)
}

/// Chunks stay below 4 GiB: see [`super::IngestOptions::chunk_bytes`] and the limit of an event.
pub(crate) fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
