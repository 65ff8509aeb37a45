//! The linear memory of all plugins together: which plugin has how much of it, and what is given back before a call fails.
//!
//! Three promises, each for its own cause:
//!
//! * Growth counts for the plugin that grows.
//! * While an instance of any plugin waits for its next call, no growth is refused for want of memory: such an instance is
//!   dropped first, the largest before the others.
//! * Half of the memory is shared out evenly among the plugins that are loaded. A plugin has its part of it whatever others do; what
//!   is over its part it takes from the other half, and from that alone it is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How many plugins an error names.
const NAMED: usize = 3;

/// Instances of one plugin that wait for their next call and can be dropped.
pub(crate) trait Waiting: Send + Sync {
    /// Returns the memory of the largest one, in bytes, if there is any.
    fn largest(&self) -> Option<usize>;

    /// Drops the largest one, if there is any.
    fn drop_largest(&self);
}

/// A plugin and the memory that its instances have together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) plugin: Arc<str>,
    pub(crate) bytes: usize,
}

/// The linear memory of all instances of a host together.
#[derive(Default)]
pub(crate) struct Budget {
    /// Bytes that there are.
    most: usize,
    table: Mutex<Table>,
    /// Its lock is held while instances are dropped, so that no thread takes the memory for used up that another gives back.
    waiting: Mutex<Vec<Weak<dyn Waiting>>>,
}

/// Who has how much.
#[derive(Debug, Default)]
struct Table {
    used: usize,
    next: u64,
    holders: BTreeMap<u64, Holder>,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Returns the bytes that there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Returns the bytes that instances have.
    pub(crate) fn used(&self) -> usize {
        self.table().used
    }

    /// Adds a plugin, which has nothing yet.
    pub(crate) fn account(self: &Arc<Self>, plugin: Arc<str>) -> Account {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.holders.insert(number, Holder { plugin, bytes: 0 });
        Account {
            budget: Arc::clone(self),
            number,
        }
    }

    /// Adds instances that may be dropped when memory is short.
    pub(crate) fn add_waiting(&self, waiting: Weak<dyn Waiting>) {
        let mut all = self.waiting();
        all.retain(|known| known.strong_count() > 0);
        all.push(waiting);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that holds the lock leaves it half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Weak<dyn Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("most", &self.most)
            .field("table", &self.table())
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Takes bytes for a plugin, or none where it may not have so many.
    fn take(&mut self, number: u64, bytes: usize, most: usize) -> bool {
        let Some(used) = self.used.checked_add(bytes).filter(|used| *used <= most) else {
            return false;
        };
        let part = most / 2 / self.holders.len().max(1);
        let has = self.holders.get(&number).map_or(0, |holder| holder.bytes);
        if has.saturating_add(bytes) > part {
            let others = self.holders.iter().filter(|(other, _)| **other != number);
            let kept: usize = others
                .map(|(_, holder)| part.saturating_sub(holder.bytes))
                .sum();
            if used > most - kept.min(most) {
                return false;
            }
        }
        if let Some(holder) = self.holders.get_mut(&number) {
            holder.bytes += bytes;
            self.used = used;
        }
        true
    }

    fn give_back(&mut self, number: u64, bytes: usize) {
        if let Some(holder) = self.holders.get_mut(&number) {
            let bytes = bytes.min(holder.bytes);
            holder.bytes -= bytes;
            self.used -= bytes;
        }
    }

    /// Returns the plugins that have the most, the largest first.
    fn largest(&self) -> Vec<Holder> {
        let mut holders: Vec<Holder> = self.holders.values().cloned().collect();
        holders.retain(|holder| holder.bytes > 0);
        holders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.plugin.cmp(&b.plugin)));
        holders.truncate(NAMED);
        holders
    }
}

/// What one plugin has of the memory: all its instances together.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    number: u64,
}

impl Account {
    /// Returns what all plugins share.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Takes bytes; where there are not so many, instances that wait are dropped until there are.
    ///
    /// # Errors
    /// Those that have the most memory then; nothing is taken.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Vec<Holder>> {
        if self.try_take(bytes) {
            return Ok(());
        }
        let waiting = self.budget.waiting();
        loop {
            // Once more, because another thread may just have given something back.
            if self.try_take(bytes) {
                return Ok(());
            }
            let all = waiting.iter().filter_map(Weak::upgrade);
            let largest = all
                .filter_map(|some| Some((some.largest()?, some)))
                .max_by_key(|(size, _)| *size);
            match largest {
                Some((size, some)) => {
                    tracing::debug!(
                        target: "plugin",
                        bytes = size,
                        "an instance that waited was dropped: memory is short"
                    );
                    some.drop_largest();
                }
                None => return Err(self.budget.table().largest()),
            }
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let most = self.budget.most;
        self.budget.table().take(self.number, bytes, most)
    }

    /// Gives bytes back that were taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.budget.table().give_back(self.number, bytes);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut table = self.budget.table();
        if let Some(holder) = table.holders.remove(&self.number) {
            table.used -= holder.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Instances that wait, as sizes that are counted for an account.
    struct Sizes {
        account: Arc<Account>,
        sizes: Mutex<Vec<usize>>,
    }

    impl Waiting for Sizes {
        fn largest(&self) -> Option<usize> {
            self.sizes.lock().unwrap().iter().copied().max()
        }

        fn drop_largest(&self) {
            let mut sizes = self.sizes.lock().unwrap();
            sizes.sort_unstable();
            if let Some(size) = sizes.pop() {
                self.account.give_back(size);
            }
        }
    }

    fn plugin(budget: &Arc<Budget>, name: &str) -> Arc<Sizes> {
        let sizes = Arc::new(Sizes {
            account: Arc::new(budget.account(name.into())),
            sizes: Mutex::default(),
        });
        let waiting: Arc<dyn Waiting> = sizes.clone();
        budget.add_waiting(Arc::downgrade(&waiting));
        sizes
    }

    #[test]
    fn who_has_the_most_is_named() {
        let budget = Arc::new(Budget::new(1000));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| plugin(&budget, name));
        for (plugin, bytes) in [(&a, 100), (&b, 500), (&c, 125)] {
            plugin.account.take(bytes).unwrap();
        }
        // Its part, an eighth, is kept for `d`.
        let named = a.account.take(200).unwrap_err();
        let named: Vec<(&str, usize)> = named
            .iter()
            .map(|holder| (&*holder.plugin, holder.bytes))
            .collect();
        assert_eq!(named, [("b", 500), ("c", 125), ("a", 100)]);
        d.account.take(125).unwrap();
        drop((a, b, c, d));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_plugin_alone_can_have_everything() {
        let budget = Arc::new(Budget::new(1001));
        let only = plugin(&budget, "only");
        only.account.take(1001).unwrap();
        assert!(only.account.take(1).is_err());
        let unbounded = Arc::new(Budget::new(usize::MAX));
        let [one, other] = ["one", "other"].map(|name| plugin(&unbounded, name));
        one.account.take(1 << 40).unwrap();
        other.account.take(1 << 40).unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A call begins, or grows.
        Grow(usize, usize),
        /// A call ends, and its instance waits.
        Wait(usize),
        /// A call ends, and its instance is gone.
        Drop(usize),
    }

    fn steps() -> impl Strategy<Value = (usize, usize, Vec<Step>)> {
        (1..6_usize).prop_flat_map(|plugins| {
            let step = prop_oneof![
                3 => (0..plugins, 0..600_usize).prop_map(|(at, bytes)| Step::Grow(at, bytes)),
                2 => (0..plugins).prop_map(Step::Wait),
                1 => (0..plugins).prop_map(Step::Drop),
            ];
            let steps = prop::collection::vec(step, 0..80);
            (Just(plugins), 100..2000_usize, steps)
        })
    }

    proptest! {
        #[test]
        fn the_table_keeps_its_promises((count, most, steps) in steps()) {
            let budget = Arc::new(Budget::new(most));
            let plugins: Vec<Arc<Sizes>> =
                (0..count).map(|at| plugin(&budget, &at.to_string())).collect();
            // What calls under way have.
            let mut busy: Vec<Vec<usize>> = vec![Vec::new(); count];
            let part = most / 2 / count;
            for step in steps {
                match step {
                    Step::Grow(at, bytes) => {
                        let mine: usize = busy[at].iter().sum();
                        match plugins[at].account.take(bytes) {
                            Ok(()) => busy[at].push(bytes),
                            Err(named) => {
                                // Nothing waits any more, and its own part it would have got.
                                prop_assert!(plugins.iter().all(|one| one.largest().is_none()));
                                prop_assert!(mine + bytes > part);
                                let held: Vec<usize> = named.iter().map(|one| one.bytes).collect();
                                let mut all: Vec<usize> =
                                    busy.iter().map(|sizes| sizes.iter().sum()).collect();
                                all.retain(|bytes| *bytes > 0);
                                all.sort_unstable_by(|a, b| b.cmp(a));
                                all.truncate(NAMED);
                                prop_assert_eq!(held, all);
                            }
                        }
                    }
                    Step::Wait(at) => {
                        plugins[at].sizes.lock().unwrap().append(&mut busy[at]);
                    }
                    Step::Drop(at) => {
                        for bytes in busy[at].drain(..) {
                            plugins[at].account.give_back(bytes);
                        }
                    }
                }
                // What is counted is what there is, for each plugin and for all.
                let mut used = 0;
                for (at, one) in plugins.iter().enumerate() {
                    let waits: usize = one.sizes.lock().unwrap().iter().sum();
                    let has = waits + busy[at].iter().sum::<usize>();
                    let table = budget.table();
                    prop_assert_eq!(table.holders[&one.account.number].bytes, has);
                    used += has;
                }
                prop_assert_eq!(budget.used(), used);
                prop_assert!(used <= most);
            }
            drop((plugins, busy));
            prop_assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn threads_that_are_short_of_memory_at_once_all_get_what_waits() {
        for _ in 0..50 {
            let budget = Arc::new(Budget::new(800));
            let hog = plugin(&budget, "hog");
            let others: Vec<Arc<Sizes>> =
                (0..4).map(|at| plugin(&budget, &at.to_string())).collect();
            for _ in 0..4 {
                hog.account.take(100).unwrap();
                hog.sizes.lock().unwrap().push(100);
            }
            std::thread::scope(|scope| {
                for other in &others {
                    scope.spawn(|| other.account.take(150).unwrap());
                }
            });
            assert!(budget.used() <= 800);
        }
    }
}
