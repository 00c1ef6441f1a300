//! One copy of a counter per few threads, so that cores don't fight over a cache line.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More stripes cost memory in every series; four take most of the contention away on small machines.
const STRIPES: usize = 4;

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

/// `STRIPES` lazily built copies of `T`; a thread always writes the same one.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    copies: [OnceLock<Box<T>>; STRIPES],
}

impl<T> Striped<T> {
    pub(crate) fn new() -> Self {
        Self { copies: [const { OnceLock::new() }; STRIPES] }
    }

    /// The copy of this thread, built by `make` when no thread of the stripe has needed it yet.
    pub(crate) fn local(&self, make: impl FnOnce() -> T) -> &T {
        // A thread that is shutting down has no thread-locals any more; any copy serves.
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        self.copies[stripe].get_or_init(|| Box::new(make()))
    }

    /// The copies built so far.
    pub(crate) fn built(&self) -> impl Iterator<Item = &T> {
        self.copies.iter().filter_map(OnceLock::get).map(|copy| &**copy)
    }
}
