//! Parts of files: where one ends, and when what is gathered is sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use yagura_core::names::did_you_mean;

use super::{Batch, Reading, Step};
use crate::ingest::IngestError;
use crate::ingest::known::Entry;
use crate::ingest::ledger::Part;
use crate::ingest::replace::origin_of;

impl Reading<'_> {
    /// Sends what is gathered if so many more bytes would be too many.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), IngestError> {
        if self.is_full(bytes) {
            self.end_waiting()?;
            self.end_part();
            // Rejected lines are written with the place up to which they were read.
            if !self.batch.parts.is_empty() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Says whether something is gathered, and so many more bytes would be too many.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        let repeats = &self.file.repeats;
        let events = self.gatherer.len() + self.file.waiting.len() + repeats.len();
        let held = self.gatherer.bytes()
            + self.file.waiting_bytes
            + repeats.bytes()
            + self.batch.rejects.len();
        let is_full =
            events >= self.options.chunk_events || held + bytes > self.options.chunk_bytes;
        is_full && (events > 0 || !self.batch.rejects.is_empty())
    }

    /// Notes what was gathered of the file since its last part.
    pub(super) fn end_part(&mut self) {
        let done = self.file.done.take();
        let Some(done) = done.filter(|done| done.end > self.file.from) else {
            return;
        };
        let number = self.part;
        self.part += 1;
        let entry = Entry::of(&done);
        self.in_run.insert(entry.clone());
        let claim = self.claims.last_mut();
        let origin = claim.map(|claim| {
            claim.contents.insert(entry.id());
            origin_of(&claim.name)
        });
        self.batch.parts.push(Part {
            from: self.file.from,
            entry,
            start: self.file.start.clone(),
            origin,
            number,
        });
        self.file.from = done.end;
        if !self.file.is_lasting {
            self.batch.fleeting = Some(self.file.name.clone());
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), IngestError> {
        if self.batch.parts.is_empty() && self.batch.rejects.is_empty() {
            return Ok(());
        }
        let events = self.gatherer.len();
        self.gatherer.decide();
        if events > 0
            && let Some(field) = self.gatherer.missing_declared()
        {
            let columns = &self.gatherer.definition().columns;
            let names = columns.iter().map(|column| column.name.as_str());
            let field = field.to_string();
            return Err(IngestError::NoTimeField {
                hint: did_you_mean(&field, names),
                field,
                events,
            });
        }
        let gathered = std::mem::take(&mut self.batch);
        let batch = Batch {
            chunk: self.gatherer.take(),
            definition: Arc::clone(self.gatherer.definition()),
            parts: gathered.parts,
            rejects: gathered.rejects,
            counts: gathered.counts,
            fleeting: gathered.fleeting,
        };
        self.send(Step::Batch(Box::new(batch)))?;
        // The channel holds one step: this one waits until the batch was taken, so that two chunks exist at most.
        self.send_progress()
    }

    pub(super) fn send_progress(&mut self) -> Result<(), IngestError> {
        self.progress.bytes = self.read.load(Ordering::Relaxed);
        self.progress.events = self.events;
        self.send(Step::Progress(self.progress))
    }

    pub(super) fn send(&self, step: Step) -> Result<(), IngestError> {
        // Nobody receives any more once writing has failed, which is then what is reported.
        self.sender
            .blocking_send(step)
            .map_err(|_| IngestError::Worker(None))
    }
}
