//! A program at work on batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;

use super::mask::Mask;
use super::nested::{GroupBatch, GroupState};
use super::other::OtherBatch;
use super::slot::{RowClass, SlotState};
use super::tree::{NodeId, TreeNode};
use super::values::{AtomId, compare};
use super::{Matches, Pair, Program, Undecided};
use crate::case_folding::fold;
use crate::column::render_text;
use crate::json_path::JsonPaths;
use crate::predicate::FieldReading;
use crate::resolve::Resolved;

/// After so many batches what is awaited is chosen anew, by what was seen.
const CHOOSE_AFTER: [u64; 4] = [1, 4, 32, 256];
/// Rows of a class from which on its mask is kept for the other atoms of the class.
const COMMON: u32 = 128;

/// Classes of values of one field that are kept.
const MOST_CLASSES: usize = 1 << 17;

/// What one partition keeps between the batches that a [`Program`] evaluates.
#[derive(Debug)]
pub struct PrefilterState {
    slots: Vec<SlotBatch>,
    groups: Vec<GroupState>,
    batch: u64,
    /// Rules by the atom that they await.
    awaiting: Vec<Vec<u32>>,
    /// Rules that await nothing.
    always: Vec<u32>,
    /// Slots of awaited atoms.
    awaited_slots: Vec<usize>,
    /// Rows that passed each atom.
    hits: Vec<u64>,
    /// The batch in which an atom was last passed, and the classes that passed it there.
    passed: Vec<(u64, Vec<u32>)>,
    /// The batch in which a rule was last called up.
    called: Vec<u64>,
    /// What was found of each node, for each kind of [`Failing`].
    memo: Vec<Option<Arc<Mask>>>,
    touched: Vec<usize>,
    /// Expressions of the host that were asked in the batch at hand.
    others: Vec<Option<OtherBatch>>,
}

/// What the rules decided of a batch.
struct Decided {
    matched: Vec<(usize, Arc<Mask>)>,
    /// What would match if expressions were true wherever they fail.
    undecided: Vec<(usize, Mask, String)>,
}

/// One slot in the batch at hand.
#[derive(Debug, Default)]
pub(crate) struct SlotBatch {
    pub(crate) state: SlotState,
    /// The batch that the rest is about, and whether all of the slot's places were looked at.
    batch: u64,
    is_complete: bool,
    /// Rows that were evaluated so far, in all batches.
    evaluated: u64,
    pub(crate) hits: Vec<RowClass>,
    /// Classes of the hits, and of each class the number of hits.
    present: Vec<u32>,
    counts: Vec<u32>,
    /// Rows ordered by class, and where each class ends; empty until needed.
    order: Vec<u32>,
    ends: Vec<u32>,
    /// Masks of common classes.
    masks: Vec<(u32, Vec<u64>)>,
}

impl PrefilterState {
    /// Returns a state for `program` that has seen nothing.
    pub fn new(program: &Program) -> Self {
        let mut state = Self {
            slots: program.slots.iter().map(|_| SlotBatch::default()).collect(),
            groups: program
                .groups
                .iter()
                .map(|_| GroupState::default())
                .collect(),
            batch: 0,
            awaiting: Vec::new(),
            always: Vec::new(),
            awaited_slots: Vec::new(),
            hits: vec![0; program.atoms],
            passed: vec![(0, Vec::new()); program.atoms],
            called: vec![0; program.roots.len()],
            memo: vec![None; KINDS * program.nodes.nodes.len()],
            touched: Vec::new(),
            others: program.others.iter().map(|_| None).collect(),
        };
        state.choose(program);
        state
    }

    /// Chooses what each rule awaits: the atoms that were passed least, or are least likely to be.
    #[expect(clippy::cast_precision_loss, reason = "shares of rows")]
    fn choose(&mut self, program: &Program) {
        let likely: Vec<f32> = program
            .nodes
            .guess
            .iter()
            .enumerate()
            .map(|(atom, guess)| {
                let evaluated = self.slots[program.nodes.slot_of[atom]].evaluated;
                if evaluated == 0 {
                    *guess
                } else {
                    // Atoms that were never passed differ by the guess.
                    (self.hits[atom] as f32 * 1_000.0 + guess / 100.0) / evaluated as f32
                }
            })
            .collect();
        self.awaiting = vec![Vec::new(); program.atoms];
        self.always.clear();
        let mut slots = vec![false; program.slots.len()];
        for (rule, root) in (0_u32..).zip(&program.roots) {
            if program.nodes.is_false(*root) {
                continue;
            }
            let awaited = program
                .nodes
                .awaited(*root, &likely)
                .filter(|_| program.methods.awaiting);
            match awaited {
                None => self.always.push(rule),
                Some((_, atoms)) => {
                    for atom in atoms {
                        self.awaiting[atom as usize].push(rule);
                        slots[program.nodes.slot_of[atom as usize]] = true;
                    }
                }
            }
        }
        self.awaited_slots = (0..slots.len()).filter(|slot| slots[*slot]).collect();
    }

    fn forget_nodes(&mut self) {
        for node in self.touched.drain(..) {
            self.memo[node] = None;
        }
    }
}

/// What an expression of the host is taken for where it fails.
#[derive(Debug, Clone, Copy)]
enum Failing {
    /// For not true, as NULL is.
    Unknown,
    /// For what lets the most rows match: true, and below a `Not` what [`Failing::Worst`] says.
    Best,
    /// For what lets the fewest match.
    Worst,
}

/// How many kinds of [`Failing`] there are.
const KINDS: usize = 3;

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

impl SlotBatch {
    /// Sets the bits of the rows of `class`.
    fn add_rows(&mut self, class: u32, bits: &mut [u64]) {
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
