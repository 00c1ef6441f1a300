//! What the registry reports at once.

use crate::slow::{SlowCall, SlowOperation};

/// Something worth a line in a log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request exceeded the threshold for slow calls.
    SlowCall(&'a SlowCall),
    /// An operation exceeded the threshold of its kind.
    SlowOperation(&'a SlowOperation),
    /// The work of a second panicked. It goes on with the next second (feature `tokio`).
    TickPanicked,
}

/// Receives events. It is called on the thread that does the work, also while a panic unwinds: it
/// must neither block nor panic.
pub trait Observer: Send + Sync + 'static {
    /// Takes in one event.
    fn on(&self, event: &Event<'_>);
}
