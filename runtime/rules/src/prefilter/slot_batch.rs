//! One field in the batch at hand: its rows by class.

use super::slot::{RowClass, SlotState};

/// Rows of a class from which on its mask is kept for the other atoms of the class.
const COMMON: u32 = 128;

/// One slot in the batch at hand.
#[derive(Debug, Default)]
pub(crate) struct SlotBatch {
    pub(crate) state: SlotState,
    /// The batch that the rest is about, and whether all of the slot's places were looked at.
    pub(super) batch: u64,
    pub(super) is_complete: bool,
    /// Rows that were evaluated so far, in all batches.
    pub(super) evaluated: u64,
    pub(crate) hits: Vec<RowClass>,
    /// Classes of the hits, and of each class the number of hits.
    pub(super) present: Vec<u32>,
    pub(super) counts: Vec<u32>,
    /// Rows ordered by class, and where each class ends; empty until needed.
    pub(super) order: Vec<u32>,
    pub(super) ends: Vec<u32>,
    /// Masks of common classes.
    pub(super) masks: Vec<(u32, Vec<u64>)>,
}

impl SlotBatch {
    /// Sets the bits of the rows of `class`.
    pub(super) fn add_rows(&mut self, class: u32, bits: &mut [u64]) {
        if self.order.is_empty() {
            self.sort();
        }
        let end = self.ends[class as usize];
        let count = self.counts[class as usize];
        let rows = &self.order[(end - count) as usize..end as usize];
        if count < COMMON {
            for row in rows {
                bits[*row as usize / 64] |= 1 << (row % 64);
            }
            return;
        }
        let known = match self.masks.iter().position(|(known, _)| *known == class) {
            Some(at) => at,
            None => {
                let mut mask = vec![0_u64; bits.len()];
                for row in rows {
                    mask[*row as usize / 64] |= 1 << (row % 64);
                }
                self.masks.push((class, mask));
                self.masks.len() - 1
            }
        };
        for (word, of_class) in bits.iter_mut().zip(&self.masks[known].1) {
            *word |= of_class;
        }
    }

    /// Orders the rows by class.
    fn sort(&mut self) {
        self.ends.resize(self.counts.len(), 0);
        let mut end = 0;
        for class in &self.present {
            self.ends[*class as usize] = end;
            end += self.counts[*class as usize];
        }
        self.order.resize(end as usize, 0);
        for (row, class) in &self.hits {
            let place = &mut self.ends[*class as usize];
            self.order[*place as usize] = *row;
            *place += 1;
        }
    }
}
