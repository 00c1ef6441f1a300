//! The permits in memory, and the owners that wait for one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::permit::Place;

/// The permits of all locks and semaphores.
#[derive(Default)]
pub(in crate::memory) struct Permits {
    pub(super) places: HashMap<Place, State>,
    /// Shared by all of them, so that the tokens of a removed one continue to grow.
    pub(super) fence: u64,
}

#[derive(Default)]
pub(super) struct State {
    /// Owner → end of its lease.
    pub(super) holders: HashMap<String, u64>,
    pub(super) queue: VecDeque<Waiter>,
}

pub(super) struct Waiter {
    pub(super) owner: String,
    /// Time at which it counts as dead, unless it sends another request.
    pub(super) dead_at: u64,
    pub(super) wake: Arc<Notify>,
}

impl State {
    /// Wakes the waiters that may be first now.
    pub(super) fn wake(&self, free: usize) {
        self.queue.iter().take(free.max(1)).for_each(|waiter| waiter.wake.notify_one());
    }
}
