//! Instances of a plugin that wait for their next call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{Budget, Waiting};

/// An instance of a plugin, of any world.
pub trait PluginInstance: Send + 'static {
    /// Returns its linear memory, in bytes.
    fn memory(&self) -> usize;
}

/// The instances of one plugin that wait for their next call. A clone is the same pool.
///
/// When the memory of all plugins together is short, a call of any plugin drops instances from here; a caller that finds none opens
/// another.
pub struct InstancePool<I: PluginInstance>(Arc<Pool<I>>);

struct Pool<I>(Mutex<Vec<I>>);

impl<I: PluginInstance> InstancePool<I> {
    /// Makes an empty pool whose instances may be dropped when the memory of `budget` is short.
    pub(crate) fn new(budget: &Budget) -> Self {
        let pool = Arc::new(Pool(Mutex::new(Vec::new())));
        let waiting: Arc<dyn Waiting> = pool.clone();
        budget.add_waiting(Arc::downgrade(&waiting));
        Self(pool)
    }

    /// Returns the instance that was called last, if any waits.
    pub fn take(&self) -> Option<I> {
        self.0.lock().pop()
    }

    /// Keeps an instance for the next call.
    pub fn give_back(&self, instance: I) {
        self.0.lock().push(instance);
    }

    /// Returns how many instances wait.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Says whether no instance waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<I> Pool<I> {
    fn lock(&self) -> MutexGuard<'_, Vec<I>> {
        // Nothing that holds the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: PluginInstance> Waiting for Pool<I> {
    fn largest(&self) -> Option<usize> {
        self.lock().iter().map(PluginInstance::memory).max()
    }

    fn drop_largest(&self) {
        let mut waiting = self.lock();
        let sizes = waiting.iter().map(PluginInstance::memory).enumerate();
        let largest = sizes.max_by_key(|(_, size)| *size).map(|(at, _)| at);
        let dropped = largest.map(|at| waiting.remove(at));
        // It gives its memory back, which takes a while: not under the lock.
        drop(waiting);
        drop(dropped);
    }
}

impl<I: PluginInstance> Clone for InstancePool<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: PluginInstance> std::fmt::Debug for InstancePool<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePool")
            .field("waiting", &self.len())
            .finish()
    }
}
