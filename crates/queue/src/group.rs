//! Jobs that are counted together: how far they have come, and one more job when all have ended.
//!
//! A group lies among the broker's documents, in one collection while it is open and in another when it has completed, so
//! that upkeep reads only what may still complete. Its counts are the broker's: they change in the same step as its jobs.

mod admission;
mod completion;
mod error;
mod groups;
mod members;
mod progress;
mod store;
mod upkeep;

pub use admission::GroupRefusal;
pub use completion::{Completion, CompletionPolicy};
pub use error::GroupError;
pub use groups::{Groups, NewGroup};
pub use progress::{CompletionJob, GroupProgress};

pub(crate) use admission::admit;
pub(crate) use members::EndedMembers;
pub(crate) use upkeep::{settled, tend};
