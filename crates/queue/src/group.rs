//! Groups: jobs that are counted together, with a completion job that is enqueued when all have
//! ended.
//!
//! A group is stored as a document of the broker. Open groups and completed groups are in separate
//! collections, so that maintenance reads only groups that may still complete. The broker keeps the
//! counts: they change in the same step as the jobs.

mod completion;
mod error;
mod groups;
mod members;
mod progress;
mod store;
mod upkeep;

pub use completion::{Completion, CompletionPolicy};
pub use error::GroupError;
pub use groups::{Groups, NewGroup};
pub use progress::{CompletionJob, GroupProgress};

pub(crate) use members::EndedMembers;
pub(crate) use upkeep::{settled, tend};
