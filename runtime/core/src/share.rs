//! How several divide what is not enough for all.

/// Returns the most that each may have, so that all together have at most `most`.
///
/// What those who need less leave is divided among the others; nobody who needs at most the result loses anything.
/// `usize::MAX` if there is enough for all.
pub fn level(mut needs: Vec<usize>, most: usize) -> usize {
    needs.sort_unstable();
    let mut rest = most;
    for (at, need) in needs.iter().enumerate() {
        let share = rest / (needs.len() - at);
        if *need > share {
            return share;
        }
        rest -= need;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_little_loses_nothing() {
        assert_eq!(level(vec![], 0), usize::MAX);
        assert_eq!(level(vec![4, 6], 10), usize::MAX);
        assert_eq!(level(vec![1, 100, 100], 11), 5);
        assert_eq!(level(vec![100], 7), 7);
        assert_eq!(level(vec![3, 3, 3], 2), 0);
    }
}
