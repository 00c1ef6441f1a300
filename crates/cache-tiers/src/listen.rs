//! Listeners for values that are removed from L1.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::class_id::ClassId;
use crate::event::Removal;
use crate::key::Key;
use crate::slot::Anything;

type Listener = Arc<dyn Fn(&Key, &Anything, Removal) + Send + Sync>;

/// The listeners of one cache, by class.
#[derive(Default)]
pub struct Listeners {
    /// Whether there are any, readable without the lock.
    any: AtomicBool,
    all: RwLock<Vec<(ClassId, Listener)>>,
}

impl Listeners {
    pub fn add(&self, class: ClassId, listener: Listener) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).push((class, listener));
        self.any.store(true, Ordering::Release);
    }

    /// Reports a value that was removed. A panic ends with the call. The caller holds no lock.
    pub(crate) fn notify(&self, class: ClassId, key: &Key, value: &Anything, cause: Removal) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        // Copied, so that a listener may use the cache, and have others added.
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let meant: Vec<Listener> =
            all.iter().filter(|(of, _)| *of == class).map(|(_, listener)| Arc::clone(listener)).collect();
        drop(all);
        for listener in meant {
            drop(catch_unwind(AssertUnwindSafe(|| listener(key, value, cause))));
        }
    }
}
