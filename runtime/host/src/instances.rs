//! The pool of idle instances of a plugin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{Budget, IdleInstances};

/// An instance of a plugin, of any world.
pub trait PluginInstance: Send + 'static {
    /// Returns its linear memory, in bytes.
    fn memory(&self) -> usize;
}

/// The idle instances of one plugin. A clone is the same pool.
///
/// If the memory of all plugins together is short, a call of any plugin drops instances from here. A caller that gets none opens a
/// new one.
pub struct InstancePool<I: PluginInstance>(Arc<PoolSlots<I>>);

struct PoolSlots<I>(Mutex<Vec<I>>);

impl<I: PluginInstance> InstancePool<I> {
    /// Makes an empty pool whose instances may be dropped if the memory of `budget` is short.
    pub(crate) fn new(budget: &Budget) -> Self {
        let pool = Arc::new(PoolSlots(Mutex::new(Vec::new())));
        let idle: Arc<dyn IdleInstances> = pool.clone();
        budget.add_idle(Arc::downgrade(&idle));
        Self(pool)
    }

    /// Returns the instance that was used last, if there is any.
    pub fn take(&self) -> Option<I> {
        self.0.lock().pop()
    }

    /// Puts an instance back for the next call.
    pub fn give_back(&self, instance: I) {
        self.0.lock().push(instance);
    }

    /// Returns the number of idle instances.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Returns whether there is no idle instance.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<I> PoolSlots<I> {
    fn lock(&self) -> MutexGuard<'_, Vec<I>> {
        // No panic can leave the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: PluginInstance> IdleInstances for PoolSlots<I> {
    fn largest(&self) -> Option<usize> {
        self.lock().iter().map(PluginInstance::memory).max()
    }

    fn drop_largest(&self) {
        let mut idle = self.lock();
        let sizes = idle.iter().map(PluginInstance::memory).enumerate();
        let largest = sizes.max_by_key(|(_, size)| *size).map(|(at, _)| at);
        let dropped = largest.map(|at| idle.remove(at));
        // Dropping an instance takes a while, so the lock is released first.
        drop(idle);
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
            .field("idle", &self.len())
            .finish()
    }
}
