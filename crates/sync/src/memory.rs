//! The store in memory.

mod ledger;
mod once;
mod permits;
mod stock;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_clock::Clock;

use self::ledger::partitions::Partitions;
use self::once::records::Records;
use self::permits::state::Permits;
use self::stock::state::StockState;

/// Stores everything in this process, for tests and for services with one process. It gives tasks
/// the same guarantees that the Redis store gives processes. Its contents end with the process.
pub struct MemoryStore {
    clock: Clock,
    permits: Mutex<Permits>,
    once: Mutex<Records>,
    stocks: Mutex<HashMap<String, StockState>>,
    ledgers: Mutex<HashMap<String, Partitions>>,
}

impl MemoryStore {
    /// Creates an empty store with the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Creates an empty store with another clock.
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self {
            clock: clock.into(),
            permits: Mutex::default(),
            once: Mutex::default(),
            stocks: Mutex::default(),
            ledgers: Mutex::default(),
        }
    }

    /// Microseconds since the Unix epoch, which never go back.
    fn now(&self) -> u64 {
        u64::try_from(self.clock.steady().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// Locks the mutex. No step leaves its state inconsistent where it could panic, so poisoning is
/// ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
