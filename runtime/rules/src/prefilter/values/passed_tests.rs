//! What one value was found to pass.

/// Number of an atom in a program.
pub(crate) type AtomId = u32;

/// What one value was found to pass.
#[derive(Debug, Default)]
pub(crate) struct PassedTests {
    pub(crate) atoms: Vec<AtomId>,
    pub(super) suspects: Vec<u32>,
    /// The value with its case folded.
    pub(super) lower: String,
}

impl PassedTests {
    pub(super) fn atom(&mut self, atom: AtomId) {
        self.atoms.push(atom);
    }

    /// Sorts, removes what was found twice, and hands the atoms out.
    pub(crate) fn finish(&mut self) -> &[AtomId] {
        self.atoms.sort_unstable();
        self.atoms.dedup();
        &self.atoms
    }

    /// Keeps of the atoms from the place `before` on those of `of`, which is sorted.
    pub(crate) fn keep(&mut self, before: usize, of: &[AtomId]) {
        let mut kept = before;
        for at in before..self.atoms.len() {
            if of.binary_search(&self.atoms[at]).is_ok() {
                self.atoms.swap(kept, at);
                kept += 1;
            }
        }
        self.atoms.truncate(kept);
    }

    pub(crate) fn clear(&mut self) {
        self.atoms.clear();
        self.suspects.clear();
    }
}
