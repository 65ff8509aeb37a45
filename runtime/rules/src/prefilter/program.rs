//! The compiled form of all rules' predicates.

use arrow::buffer::BooleanBuffer;

use super::nested::Group;
use super::slot::Slot;
use super::tree::{NodeId, Nodes};
use crate::predicate::{OtherExpr, TextOp};
use crate::resolve::Resolved;

/// Which of the methods that make it fast a program uses; all of them, but for measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Methods {
    /// Evaluate each distinct value once, not each row.
    pub distinct: bool,
    /// One automaton for all literals of a field, not one search a literal.
    pub automaton: bool,
    /// Evaluate only the trees of rules whose awaited atoms were seen.
    pub awaiting: bool,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            distinct: true,
            automaton: true,
            awaiting: true,
        }
    }
}

/// The predicates of many rules over the columns of one schema.
#[derive(Debug)]
pub struct Program {
    pub(super) slots: Vec<Slot>,
    /// Columns of JSON text that slots look into.
    pub(super) groups: Vec<Group>,
    /// Two fields of the same event.
    pub(super) pairs: Vec<Pair>,
    pub(super) others: Vec<OtherEvaluator>,
    pub(super) nodes: Nodes,
    /// The tree of each rule, in the order given.
    pub(super) roots: Vec<NodeId>,
    /// The rules that have expressions of the host, with the indexes of these.
    pub(super) with_others: Vec<(usize, Vec<usize>)>,
    pub(super) atoms: usize,
    pub(super) methods: Methods,
}

/// A test of a field against another one, each in any of its places.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) left: Vec<Resolved>,
    pub(super) right: Vec<Resolved>,
    pub(super) op: TextOp,
    pub(super) cased: bool,
}

#[derive(Debug)]
pub(super) struct OtherEvaluator {
    pub(super) expr: OtherExpr,
    /// Its columns in the schema.
    pub(super) columns: Vec<usize>,
}

/// What a batch's rules decided.
#[derive(Debug, Clone)]
pub struct Matches {
    /// Number of rows of the batch.
    pub rows: usize,
    /// Rules with rows, in the order of the rules, and these rows.
    pub rules: Vec<(usize, BooleanBuffer)>,
    /// Rules with rows on which a part of them failed that would have decided, in the order of the rules.
    pub undecided: Vec<Undecided>,
}

/// Rows of a batch of which a rule could not say whether they match.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// The rule.
    pub rule: usize,
    /// These rows. They are none of those that match.
    pub rows: BooleanBuffer,
    /// What is wrong with one of them, in a line.
    pub reason: String,
}

impl Program {
    /// Returns the indexes of the schema's columns that are read.
    pub fn columns(&self) -> Vec<usize> {
        let slots = self.slots.iter().flat_map(|slot| &slot.sources);
        let groups = self.groups.iter().map(|group| &group.source);
        let pairs = self.pairs.iter();
        let pairs = pairs.flat_map(|pair| pair.left.iter().chain(&pair.right));
        let places = slots.chain(groups).chain(pairs);
        let others = self
            .others
            .iter()
            .flat_map(|other| other.columns.iter().copied());
        let exists = self.nodes.columns();
        let mut columns: Vec<usize> = places
            .map(|place| place.column)
            .chain(others)
            .chain(exists)
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Says whether the rule can match no event of the schema, whatever it holds.
    pub fn is_impossible(&self, rule: usize) -> bool {
        self.nodes.is_false(self.roots[rule])
    }

    /// Says whether the rule matches every event.
    pub fn is_certain(&self, rule: usize) -> bool {
        self.nodes.is_true(self.roots[rule])
    }

    /// Returns the number of distinct atoms.
    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// Returns the number of rules.
    pub fn rules(&self) -> usize {
        self.roots.len()
    }
}
