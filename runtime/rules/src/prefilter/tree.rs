//! The rules' boolean trees, each distinct one once.

use std::collections::HashMap;

use crate::predicate::{NumberOp, Test, TextOp};
use crate::resolve::Resolved;

use super::values::AtomId;

/// Number of a tree.
pub(crate) type NodeId = u32;

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TreeNode {
    Always(bool),
    Atom(AtomId),
    /// Index into [`Nodes::exists`].
    Exists(usize),
    /// Index of a pair of fields.
    Pair(usize),
    /// Index of an expression.
    Other(usize),
    Not(NodeId),
    All(Box<[NodeId]>),
    Any(Box<[NodeId]>),
    AtLeast(u64, Box<[NodeId]>),
}

/// All trees of a program.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<TreeNode>,
    ids: HashMap<TreeNode, NodeId>,
    /// The fields whose presence is asked for.
    pub(crate) exists: Vec<Resolved>,
    /// The slot of each atom.
    pub(crate) slot_of: Vec<usize>,
    /// How likely each atom is, before anything was seen: parts of a thousand.
    pub(crate) guess: Vec<f32>,
}

impl Nodes {
    fn intern(&mut self, node: TreeNode) -> NodeId {
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        let id = u32::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        self.nodes.push(node.clone());
        self.ids.insert(node, id);
        id
    }

    pub(crate) fn get(&self, id: NodeId) -> &TreeNode {
        &self.nodes[id as usize]
    }

    pub(crate) fn is_false(&self, id: NodeId) -> bool {
        *self.get(id) == TreeNode::Always(false)
    }

    pub(crate) fn is_true(&self, id: NodeId) -> bool {
        *self.get(id) == TreeNode::Always(true)
    }

    pub(crate) fn always(&mut self, truth: bool) -> NodeId {
        self.intern(TreeNode::Always(truth))
    }

    pub(crate) fn atom(&mut self, atom: AtomId, slot: usize, test: &Test) -> NodeId {
        self.slot_of.push(slot);
        self.guess.push(likelihood(test));
        self.intern(TreeNode::Atom(atom))
    }

    pub(crate) fn exists(&mut self, source: &Resolved) -> NodeId {
        let index = match self.exists.iter().position(|known| known == source) {
            Some(index) => index,
            None => {
                self.exists.push(source.clone());
                self.exists.len() - 1
            }
        };
        self.intern(TreeNode::Exists(index))
    }

    pub(crate) fn pair(&mut self, index: usize) -> NodeId {
        self.intern(TreeNode::Pair(index))
    }

    pub(crate) fn other(&mut self, index: usize) -> NodeId {
        self.intern(TreeNode::Other(index))
    }

    pub(crate) fn not(&mut self, inner: NodeId) -> NodeId {
        match self.get(inner) {
            TreeNode::Always(truth) => {
                let opposite = !truth;
                self.always(opposite)
            }
            TreeNode::Not(inner) => *inner,
            _ => self.intern(TreeNode::Not(inner)),
        }
    }

    pub(crate) fn all(&mut self, mut parts: Vec<NodeId>) -> NodeId {
        parts.sort_unstable();
        parts.dedup();
        if parts.iter().any(|part| self.is_false(*part)) {
            return self.always(false);
        }
        parts.retain(|part| *self.get(*part) != TreeNode::Always(true));
        match parts.as_slice() {
            [] => self.always(true),
            [one] => *one,
            _ => {
                // Cheap ones and those that decide come first.
                parts.sort_by(|a, b| self.order(*a).total_cmp(&self.order(*b)));
                self.intern(TreeNode::All(parts.into()))
            }
        }
    }

    pub(crate) fn any(&mut self, mut parts: Vec<NodeId>) -> NodeId {
        parts.sort_unstable();
        parts.dedup();
        if parts
            .iter()
            .any(|part| *self.get(*part) == TreeNode::Always(true))
        {
            return self.always(true);
        }
        parts.retain(|part| !self.is_false(*part));
        match parts.as_slice() {
            [] => self.always(false),
            [one] => *one,
            _ => self.intern(TreeNode::Any(parts.into())),
        }
    }

    pub(crate) fn at_least(&mut self, wanted: u64, parts: Vec<NodeId>) -> NodeId {
        match wanted {
            0 => self.always(true),
            1 => self.any(parts),
            _ if wanted > parts.len() as u64 => self.always(false),
            _ if wanted == parts.len() as u64 => self.all(parts),
            _ => self.intern(TreeNode::AtLeast(wanted, parts.into())),
        }
    }

    /// Where a part stands in a conjunction: by how likely it is, expressions of the host last.
    fn order(&self, id: NodeId) -> f32 {
        match self.get(id) {
            TreeNode::Always(_) => 0.0,
            TreeNode::Atom(atom) => self.guess[*atom as usize],
            TreeNode::Any(parts) => parts.iter().map(|part| self.order(*part)).sum(),
            TreeNode::All(parts) => parts
                .iter()
                .map(|part| self.order(*part))
                .fold(f32::MAX, f32::min),
            TreeNode::Exists(_) => 2_000.0,
            TreeNode::Not(_) | TreeNode::AtLeast(..) => 3_000.0,
            TreeNode::Pair(_) => 4_000.0,
            TreeNode::Other(_) => 5_000.0,
        }
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.exists.iter().map(|source| source.column)
    }

    /// Returns the atoms one of which is true whenever the tree is, the least likely set of them; nothing where the tree
    /// can be true without any.
    pub(crate) fn awaited(&self, id: NodeId, likely: &[f32]) -> Option<(f32, Vec<AtomId>)> {
        match self.get(id) {
            TreeNode::Always(false) => Some((0.0, Vec::new())),
            TreeNode::Atom(atom) => Some((likely[*atom as usize], vec![*atom])),
            TreeNode::Always(true)
            | TreeNode::Exists(_)
            | TreeNode::Pair(_)
            | TreeNode::Other(_)
            | TreeNode::Not(_) => None,
            TreeNode::All(parts) => parts
                .iter()
                .filter_map(|part| self.awaited(*part, likely))
                .min_by(|a, b| a.0.total_cmp(&b.0)),
            TreeNode::Any(parts) | TreeNode::AtLeast(_, parts) => {
                let mut sum = 0.0;
                let mut atoms = Vec::new();
                for part in parts {
                    let (likely, more) = self.awaited(*part, likely)?;
                    sum += likely;
                    atoms.extend(more);
                }
                Some((sum, atoms))
            }
        }
    }
}

/// A guess of how many of a thousand values pass, until it is measured.
fn likelihood(test: &Test) -> f32 {
    let by_length = |length: usize, at_most: f32| {
        #[expect(clippy::cast_precision_loss, reason = "a guess")]
        let length = length.max(1) as f32;
        at_most / length
    };
    match test {
        Test::Text {
            op: TextOp::Equals, ..
        } => 5.0,
        Test::Text { value, .. } => by_length(value.len(), 50.0),
        Test::Regex(_) | Test::Glob { .. } => 10.0,
        Test::Number(NumberOp::Equal, _) => 50.0,
        Test::Cidr(_) | Test::Moment(..) => 100.0,
        Test::Number(..) | Test::Truth(_) => 300.0,
        Test::Exists | Test::Field { .. } => 900.0,
    }
}
