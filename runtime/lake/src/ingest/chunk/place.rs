//! The values of an event go to the cells of columns; those without a column stay in its unmapped text.

use std::collections::HashSet;
use std::sync::Arc;

use yagura_core::json::write_text;

use super::{Cell, Gatherer, may_be_column, narrow};
use crate::ingest::event::{Member, kind_of};
use crate::ingest::mapping::fits;
use crate::ingest::time;
use crate::{ColumnDefinition, ColumnKind};

impl Gatherer {
    /// Sends each member to the column of its key, which is widened as needed, and made if it is one of the chosen. Returns a key
    /// that the event has more than once.
    pub(super) fn place(
        &mut self,
        event: &Placed,
        (made, own): (&[Member<'_>], &[Member<'_>]),
        columns: &[Option<usize>],
        chosen: &HashSet<String>,
    ) -> Option<String> {
        let mut duplicate = None;
        let unmapped_start = self.chunk.unmapped_text.len();
        for (at, (key, value)) in made.iter().chain(own).enumerate() {
            if *value == "null" {
                continue;
            }
            let is_own = at >= made.len();
            let known = columns.get(at).copied().flatten();
            let column = match known {
                // The column promises what the source means by the name.
                Some(column) if is_own && self.is_made.get(column) == Some(&true) => {
                    self.leave_unmapped(unmapped_start, key, value);
                    continue;
                }
                Some(column) => column,
                None if chosen.contains(key.as_ref()) => self.column_of(key, kind_of(value).0),
                None => {
                    if may_be_column(key) && !self.definition.has_keys_without_column {
                        Arc::make_mut(&mut self.definition).has_keys_without_column = true;
                    }
                    self.leave_unmapped(unmapped_start, key, value);
                    continue;
                }
            };
            let base = if is_own { event.own } else { event.made };
            if !self.put(event.row, base, column, value) {
                // The first value of a key is in its column, the others are where a rule looks for them as well.
                duplicate.get_or_insert_with(|| key.as_ref().to_owned());
                self.leave_unmapped(unmapped_start, key, value);
                continue;
            }
            self.admit(column, value);
        }
        duplicate
    }

    /// Returns the column of a chosen key, which is made if no event before had a value.
    pub(super) fn column_of(&mut self, key: &str, kind: ColumnKind) -> usize {
        if let Some(column) = self.by_key.get(key) {
            return *column;
        }
        let definition = Arc::make_mut(&mut self.definition);
        let column = definition.columns.len();
        definition.columns.push(ColumnDefinition::of_key(key, kind));
        self.by_key.insert(key.to_owned(), column);
        column
    }

    /// Widens a column as a value needs it.
    pub(super) fn admit(&mut self, column: usize, value: &str) {
        let definition = &self.definition.columns[column];
        // Every value has a text.
        if definition.kind == ColumnKind::Text && value.starts_with('"') {
            return;
        }
        let (kind, wide) = kind_of(value);
        if definition.kind != kind || (wide && !definition.wide_ints) {
            let before = definition.kind;
            let definition = &mut Arc::make_mut(&mut self.definition).columns[column];
            definition.admit(kind, wide);
            if definition.kind != before {
                self.widened.entry(column).or_insert(before);
            }
        }
    }

    /// Fills the columns of the shipped mapping; every member that none of them holds is left unmapped, and so is every one in
    /// which a key stands more than once. Returns such a key.
    pub(super) fn map(
        &mut self,
        event: &Placed,
        members: &[Member<'_>],
        time: Option<time::Found<'_>>,
    ) -> Option<String> {
        let unmapped_start = self.chunk.unmapped_text.len();
        let mut found = vec![None; self.definition.columns.len()];
        let ambiguous = match &self.routes {
            Some(routes) => routes.follow(members, &mut found),
            None => Vec::new(),
        };
        let mut kept: Vec<*const u8> = Vec::with_capacity(found.len() + 1);
        // A time is held by `event_time` alone where that says the same in the same digits.
        if let Some(time) = time.filter(time::Found::is_exact) {
            kept.push(time.source.as_ptr());
        }
        for (column, value) in found.into_iter().enumerate() {
            if let Some((_, value)) = value
                && fits(self.definition.columns[column].kind, value)
                && self.put(event.row, event.own, column, value)
            {
                kept.push(value.as_ptr());
            }
        }
        for (at, (key, value)) in members.iter().enumerate() {
            let is_ambiguous = ambiguous.iter().any(|(member, _)| *member == at);
            if *value != "null" && (is_ambiguous || !kept.contains(&value.as_ptr())) {
                self.leave_unmapped(unmapped_start, key, value);
            }
        }
        let nested = ambiguous.into_iter().map(|(_, key)| key);
        let mut top = members.iter().enumerate().filter_map(|(at, (key, _))| {
            let is_again = members[..at].iter().any(|(other, _)| other == key);
            is_again.then(|| key.as_ref().to_owned())
        });
        top.next().or_else(|| nested.into_iter().next())
    }

    /// Adds a cell, unless the row has one in the column.
    pub(super) fn put(&mut self, row: u32, base: Base, column: usize, value: &str) -> bool {
        if self.chunk.cells.len() <= column {
            self.chunk
                .cells
                .resize_with(self.definition.columns.len(), Vec::new);
        }
        let cells = &mut self.chunk.cells[column];
        if cells.last().is_some_and(|cell| cell.row == row) {
            return false;
        }
        let start = base.start + (value.as_ptr() as usize - base.at);
        cells.push(Cell {
            row,
            start: narrow(start),
            end: narrow(start + value.len()),
        });
        true
    }

    /// Appends a member to the row's object of unmapped ones, which began at `start` of their text.
    pub(super) fn leave_unmapped(&mut self, start: usize, key: &str, value: &str) {
        let text = &mut self.chunk.unmapped_text;
        text.push(if text.len() == start { '{' } else { ',' });
        write_text(key, text);
        text.push(':');
        text.push_str(value);
    }

    /// Ends the row's object of unmapped members, which began at `start` of their text, if it has one.
    pub(super) fn close_unmapped(&mut self, row: u32, start: usize) {
        let chunk = &mut self.chunk;
        if chunk.unmapped_text.len() > start {
            chunk.unmapped_text.push('}');
            chunk.unmapped.push(Cell {
                row,
                start: narrow(start),
                end: narrow(chunk.unmapped_text.len()),
            });
        }
    }
}

/// Where the texts of the event lie that is being added.
pub(super) struct Placed {
    pub(super) row: u32,
    pub(super) made: Base,
    pub(super) own: Base,
}

/// Where a text lies, which values are pieces of, and where its copy lies in the chunk's text.
#[derive(Clone, Copy)]
pub(super) struct Base {
    at: usize,
    start: usize,
}

impl Base {
    pub(super) fn new(text: &str, start: usize) -> Self {
        Self {
            at: text.as_ptr() as usize,
            start,
        }
    }
}
