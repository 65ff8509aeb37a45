//! What one partition keeps between batches.

use std::sync::Arc;

use super::mask::Mask;
use super::nested::GroupState;
use super::other::OtherBatch;
use super::program::Program;
use super::slot_batch::SlotBatch;

/// What one partition keeps between the batches that a [`Program`] evaluates.
#[derive(Debug)]
pub struct PrefilterState {
    pub(super) slots: Vec<SlotBatch>,
    pub(super) groups: Vec<GroupState>,
    pub(super) batch: u64,
    /// Rules by the atom that they await.
    pub(super) awaiting: Vec<Vec<u32>>,
    /// Rules that await nothing.
    pub(super) always: Vec<u32>,
    /// Slots of awaited atoms.
    pub(super) awaited_slots: Vec<usize>,
    /// Rows that passed each atom.
    pub(super) hits: Vec<u64>,
    /// The batch in which an atom was last passed, and the classes that passed it there.
    pub(super) passed: Vec<(u64, Vec<u32>)>,
    /// The batch in which a rule was last called up.
    pub(super) called: Vec<u64>,
    /// What was found of each node, for each kind of [`Failing`].
    pub(super) memo: Vec<Option<Arc<Mask>>>,
    pub(super) touched: Vec<usize>,
    /// Expressions of the host that were asked in the batch at hand.
    pub(super) others: Vec<Option<OtherBatch>>,
}

/// What an expression of the host is taken for where it fails.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failing {
    /// For not true, as NULL is.
    Unknown,
    /// For what lets the most rows match: true, and below a `Not` what [`Failing::Worst`] says.
    Best,
    /// For what lets the fewest match.
    Worst,
}

/// How many kinds of [`Failing`] there are.
const KINDS: usize = 3;

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
    pub(super) fn choose(&mut self, program: &Program) {
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

    pub(super) fn forget_nodes(&mut self) {
        for node in self.touched.drain(..) {
            self.memo[node] = None;
        }
    }
}
