//! Mutexes whose content is whole at every moment.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also after a panic of another thread that held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
