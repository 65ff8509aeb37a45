//! A program at work on batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;

use super::mask::Mask;
use super::nested::GroupBatch;
use super::other::OtherBatch;
use super::program::{Matches, Pair, Program, Undecided};
use super::slot_batch::SlotBatch;
use super::state::{Failing, PrefilterState};
use super::tree::{NodeId, TreeNode};
use super::values::{AtomId, compare};
use crate::case_folding::fold;
use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::predicate::FieldReading;
use crate::resolve::Resolved;

/// After so many batches what is awaited is chosen anew, by what was seen.
const CHOOSE_AFTER: [u64; 4] = [1, 4, 32, 256];

/// Classes of values of one field that are kept.
const MOST_CLASSES: usize = 1 << 17;

/// What the rules decided of a batch.
struct Decided {
    matched: Vec<(usize, Arc<Mask>)>,
    /// What would match if expressions were true wherever they fail.
    undecided: Vec<(usize, Mask, String)>,
}

/// A batch under evaluation.
struct EvaluatedBatch<'a> {
    program: &'a Program,
    column: &'a dyn Fn(usize) -> ArrayRef,
    rows: usize,
    failing: Failing,
}

impl Program {
    /// Evaluates a batch whose columns are those of the schema that the program was compiled for.
    ///
    /// # Errors
    /// A column of another type than the schema says.
    pub fn evaluate(
        &self,
        state: &mut PrefilterState,
        batch: &RecordBatch,
    ) -> Result<Matches, ArrowError> {
        let rows = batch.num_rows();
        let decided = self.decide(state, rows, &|index| Arc::clone(batch.column(index)))?;
        Ok(Matches {
            rows,
            rules: decided
                .matched
                .into_iter()
                .map(|(rule, mask)| (rule, mask.to_buffer(rows)))
                .collect(),
            undecided: decided
                .undecided
                .into_iter()
                .map(|(rule, mask, reason)| Undecided {
                    rule,
                    rows: mask.to_buffer(rows),
                    reason,
                })
                .collect(),
        })
    }

    /// Returns which of `rows` rows any rule matches, or cannot decide on; `column` returns a column by its index in the schema, and is asked
    /// only for those that [`Program::columns`] names.
    ///
    /// # Errors
    /// As [`Program::evaluate`].
    pub fn evaluate_any(
        &self,
        state: &mut PrefilterState,
        rows: usize,
        column: &dyn Fn(usize) -> ArrayRef,
    ) -> Result<BooleanBuffer, ArrowError> {
        let decided = self.decide(state, rows, column)?;
        let matched = decided.matched.iter().map(|(_, mask)| &**mask);
        let undecided = decided.undecided.iter().map(|(_, mask, _)| mask);
        let any = matched
            .chain(undecided)
            .fold(Mask::None, |any, mask| any.or(mask, rows));
        Ok(any.to_buffer(rows))
    }

    fn decide(
        &self,
        state: &mut PrefilterState,
        rows: usize,
        column: &dyn Fn(usize) -> ArrayRef,
    ) -> Result<Decided, ArrowError> {
        let mut decided = Decided {
            matched: Vec::new(),
            undecided: Vec::new(),
        };
        if rows == 0 {
            return Ok(decided);
        }
        if CHOOSE_AFTER.contains(&state.batch) {
            state.choose(self);
        }
        state.batch += 1;
        let batch = EvaluatedBatch {
            program: self,
            column,
            rows,
            failing: Failing::Unknown,
        };
        let mut called = state.always.clone();
        for at in 0..state.awaited_slots.len() {
            let slot = state.awaited_slots[at];
            batch.evaluate_slot(state, slot)?;
            let of_slot = &state.slots[slot];
            let classes = of_slot.present.iter();
            for atom in classes.flat_map(|class| of_slot.state.classes[*class as usize].iter()) {
                for rule in &state.awaiting[*atom as usize] {
                    let last = &mut state.called[*rule as usize];
                    if *last != state.batch {
                        *last = state.batch;
                        called.push(*rule);
                    }
                }
            }
        }
        called.sort_unstable();
        for rule in &called {
            let rule = *rule as usize;
            let mask = batch.evaluate(state, self.roots[rule])?;
            if !mask.is_none() {
                decided.matched.push((rule, mask));
            }
        }
        state.forget_nodes();
        let has_failed = |other: &OtherBatch| other.failed.is_some();
        if state.others.iter().flatten().any(has_failed) {
            batch.decide_failed(state, &called, &mut decided)?;
            state.forget_nodes();
        }
        state.others.fill_with(|| None);
        Ok(decided)
    }
}

impl EvaluatedBatch<'_> {
    /// Finds the rows on which expressions failed that would have decided, of the rules that were called up.
    fn decide_failed(
        &self,
        state: &mut PrefilterState,
        called: &[u32],
        decided: &mut Decided,
    ) -> Result<(), ArrowError> {
        let best = EvaluatedBatch {
            failing: Failing::Best,
            ..*self
        };
        for (rule, others) in &self.program.with_others {
            let is_called =
                u32::try_from(*rule).is_ok_and(|rule| called.binary_search(&rule).is_ok());
            let has_failed = |other: &usize| {
                let other = state.others[*other].as_ref();
                other.is_some_and(|other| other.failed.is_some())
            };
            if !is_called || !others.iter().any(has_failed) {
                continue;
            }
            let could = best.evaluate(state, self.program.roots[*rule])?;
            let does = match decided
                .matched
                .binary_search_by_key(rule, |(rule, _)| *rule)
            {
                Ok(at) => decided.matched[at].1.not(self.rows),
                Err(_) => Mask::All,
            };
            let rows = does.and(&could, self.rows);
            let mut failed = others
                .iter()
                .filter_map(|other| state.others[*other].as_ref()?.failed.as_ref());
            let reason = failed.find(|(failed, _)| !rows.clone().and(failed, self.rows).is_none());
            if let Some((_, reason)) = reason {
                let reason = reason.clone();
                decided.undecided.push((*rule, rows, reason));
            }
        }
        Ok(())
    }

    /// Prepares a slot for the batch, if that was not done yet.
    fn begin(&self, state: &mut PrefilterState, slot: usize) {
        let of_batch = &mut state.slots[slot];
        if of_batch.batch == state.batch {
            return;
        }
        if of_batch.state.classes.len() > MOST_CLASSES {
            // What was learned is only worth its memory while values come again.
            *of_batch = SlotBatch {
                evaluated: of_batch.evaluated,
                ..SlotBatch::default()
            };
            for group in &self.program.slots[slot].groups {
                state.groups[*group].forget();
            }
        }
        of_batch.batch = state.batch;
        of_batch.is_complete = false;
        of_batch.evaluated += self.rows as u64;
        for class in of_batch.present.drain(..) {
            of_batch.counts[class as usize] = 0;
        }
        of_batch.hits.clear();
        of_batch.order.clear();
        of_batch.masks.clear();
    }

    /// Finds what all fields inside the JSON text of a group hold, once a batch.
    fn evaluate_group(&self, state: &mut PrefilterState, group: usize) -> Result<(), ArrowError> {
        if state.groups[group].batch == state.batch {
            return Ok(());
        }
        let of_program = &self.program.groups[group];
        for field in &of_program.fields {
            self.begin(state, field.slot);
        }
        state.groups[group].batch = state.batch;
        let column = (self.column)(of_program.source.column);
        let values = of_program.source.array_below(&column)?;
        let mut of_group = GroupBatch {
            group: of_program,
            slots: &self.program.slots,
            of_slots: &mut state.slots,
            state: &mut state.groups[group],
        };
        of_group.evaluate(&values, self.program.methods.distinct)
    }

    /// Sorts the rows of a slot into classes, once a batch.
    fn evaluate_slot(&self, state: &mut PrefilterState, slot: usize) -> Result<(), ArrowError> {
        self.begin(state, slot);
        if state.slots[slot].is_complete {
            return Ok(());
        }
        let of_program = &self.program.slots[slot];
        for group in &of_program.groups {
            self.evaluate_group(state, *group)?;
        }
        let of_batch = &mut state.slots[slot];
        for source in &of_program.sources {
            let column = (self.column)(source.column);
            let values = source.array_below(&column)?;
            let distinct = self.program.methods.distinct;
            let SlotBatch { state, hits, .. } = of_batch;
            state.evaluate(of_program, &values, distinct, hits)?;
        }
        of_batch.is_complete = true;
        of_batch.counts.resize(of_batch.state.classes.len(), 0);
        for (_, class) in &of_batch.hits {
            let count = &mut of_batch.counts[*class as usize];
            if *count == 0 {
                of_batch.present.push(*class);
            }
            *count += 1;
        }
        for class in &of_batch.present {
            let count = u64::from(of_batch.counts[*class as usize]);
            for atom in &of_batch.state.classes[*class as usize] {
                state.hits[*atom as usize] += count;
                let (batch, classes) = &mut state.passed[*atom as usize];
                if *batch != state.batch {
                    *batch = state.batch;
                    classes.clear();
                }
                classes.push(*class);
            }
        }
        Ok(())
    }

    fn evaluate(&self, state: &mut PrefilterState, id: NodeId) -> Result<Arc<Mask>, ArrowError> {
        let nodes = &self.program.nodes;
        let place = id as usize + self.failing as usize * nodes.nodes.len();
        if let Some(known) = &state.memo[place] {
            return Ok(Arc::clone(known));
        }
        let mask = match nodes.get(id) {
            TreeNode::Always(truth) => Arc::new(if *truth { Mask::All } else { Mask::None }),
            TreeNode::Atom(atom) => Arc::new(self.atom(state, *atom)?),
            TreeNode::Exists(index) => Arc::new(self.exists(*index)?),
            TreeNode::Pair(index) => Arc::new(self.pair(&self.program.pairs[*index])?),
            TreeNode::Other(index) => Arc::new(self.other(state, *index)?),
            TreeNode::Not(inner) => {
                let failing = match self.failing {
                    Failing::Unknown => Failing::Unknown,
                    Failing::Best => Failing::Worst,
                    Failing::Worst => Failing::Best,
                };
                let of_inner = EvaluatedBatch { failing, ..*self };
                Arc::new(of_inner.evaluate(state, *inner)?.not(self.rows))
            }
            TreeNode::All(parts) => {
                let mut all = Arc::new(Mask::All);
                if !self.is_refuted(state, parts)? {
                    for part in parts {
                        let mask = self.evaluate(state, *part)?;
                        all = match (&*all, &*mask) {
                            (Mask::All, _) => mask,
                            (_, Mask::All) => all,
                            _ => Arc::new(Arc::unwrap_or_clone(all).and(&mask, self.rows)),
                        };
                        if all.is_none() {
                            break;
                        }
                    }
                    all
                } else {
                    Arc::new(Mask::None)
                }
            }
            TreeNode::Any(parts) => {
                let mut any = Arc::new(Mask::None);
                for part in parts {
                    let mask = self.evaluate(state, *part)?;
                    any = match (&*any, &*mask) {
                        (Mask::None, _) => mask,
                        (_, Mask::None) => any,
                        _ => Arc::new(Arc::unwrap_or_clone(any).or(&mask, self.rows)),
                    };
                    if *any == Mask::All {
                        break;
                    }
                }
                any
            }
            TreeNode::AtLeast(wanted, parts) => {
                let mut counts = vec![0_u64; self.rows];
                let mut bits = vec![0_u64; self.rows.div_ceil(64)];
                for part in parts {
                    let mask = self.evaluate(state, *part)?;
                    for row in mask.to_buffer(self.rows).set_indices() {
                        counts[row] += 1;
                        if counts[row] == *wanted {
                            bits[row / 64] |= 1 << (row % 64);
                        }
                    }
                }
                Arc::new(Mask::of(bits, self.rows))
            }
        };
        state.memo[place] = Some(Arc::clone(&mask));
        state.touched.push(place);
        Ok(mask)
    }

    /// Says whether one part of a conjunction is an atom that no row of the batch passes.
    fn is_refuted(&self, state: &mut PrefilterState, parts: &[NodeId]) -> Result<bool, ArrowError> {
        for part in parts {
            if let TreeNode::Atom(atom) = self.program.nodes.get(*part) {
                self.evaluate_slot(state, self.program.nodes.slot_of[*atom as usize])?;
                if state.passed[*atom as usize].0 != state.batch {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn atom(&self, state: &mut PrefilterState, atom: AtomId) -> Result<Mask, ArrowError> {
        let slot = self.program.nodes.slot_of[atom as usize];
        self.evaluate_slot(state, slot)?;
        let (batch, classes) = &state.passed[atom as usize];
        if *batch != state.batch {
            return Ok(Mask::None);
        }
        let of_batch = &mut state.slots[slot];
        let mut bits = vec![0_u64; self.rows.div_ceil(64)];
        for class in classes {
            of_batch.add_rows(*class, &mut bits);
        }
        Ok(Mask::of(bits, self.rows))
    }

    fn exists(&self, index: usize) -> Result<Mask, ArrowError> {
        let source = &self.program.nodes.exists[index];
        let values = source.array_below(&(self.column)(source.column))?;
        Ok(match values.logical_nulls() {
            None => Mask::All,
            Some(nulls) => Mask::from_buffer(nulls.inner()),
        })
    }

    fn pair(&self, pair: &Pair) -> Result<Mask, ArrowError> {
        let texts = |places: &[Resolved]| -> Result<Vec<ArrayRef>, ArrowError> {
            let of =
                |place: &Resolved| render_text(&place.values_below(&(self.column)(place.column))?);
            places.iter().map(of).collect()
        };
        let (lefts, rights) = (texts(&pair.left)?, texts(&pair.right)?);
        let members = JsonPaths::root(FieldReading::Members);
        let mut bits = vec![0_u64; self.rows.div_ceil(64)];
        let passes = |left: &str, right: &str| {
            if pair.cased {
                compare(pair.op, left, right)
            } else {
                compare(pair.op, &fold(left), &fold(right))
            }
        };
        for (left, right) in lefts
            .iter()
            .flat_map(|left| rights.iter().map(move |right| (left, right)))
        {
            let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
            for (row, (left, right)) in left.iter().zip(right).enumerate() {
                let (Some(left), Some(right)) = (left, right) else {
                    continue;
                };
                let mut any = false;
                let is_list = left.starts_with('[')
                    && members.walk(left, &mut |_, member, _| any |= passes(member, right));
                if any || (!is_list && passes(left, right)) {
                    bits[row / 64] |= 1 << (row % 64);
                }
            }
        }
        Ok(Mask::of(bits, self.rows))
    }

    fn other(&self, state: &mut PrefilterState, index: usize) -> Result<Mask, ArrowError> {
        let other = match &mut state.others[index] {
            Some(known) => known,
            unknown => unknown.insert(OtherBatch::evaluate(
                &self.program.others[index],
                self.column,
                self.rows,
                self.program.methods.distinct,
            )?),
        };
        Ok(match &other.failed {
            Some((failed, _)) if matches!(self.failing, Failing::Best) => {
                other.passed.clone().or(failed, self.rows)
            }
            _ => other.passed.clone(),
        })
    }
}
