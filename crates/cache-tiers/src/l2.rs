//! L2 as the cache uses it. Queries are bounded by the patience of a read. Invalidations are sent
//! to it. It is not read while an invalidation is owed to it.

mod absent;
mod batch;
mod bound;
mod debts;
#[cfg(feature = "sessions")]
mod end;
mod entry;
mod epoch;
mod epoch_reads;
mod expire;
mod fill_many;
mod follow;
mod forget;
mod glance;
mod glance_many;
mod lately;
mod lease;
mod look;
mod names;
mod new;
mod patience;
mod pattern;
mod paying;
#[cfg(feature = "sessions")]
mod put_unless;
mod recall;
mod replica_reads;
mod replicas;
mod scripts;
mod seek;
mod seek_many;
mod shared;
mod single;
mod steps;
mod store;
mod ticket;
mod tickets;
mod tier;
mod unpack;
mod way;

pub use debts::Debt;
pub(crate) use entry::EntryId;
pub(crate) use follow::{Attempts, Following, Word, is_named};
pub use glance::Glance;
pub(crate) use names::Meaning;
pub use new::New;
pub use patience::Patience;
#[cfg(feature = "sessions")]
pub use put_unless::Untold;
pub(crate) use seek::{Past, Sought};
pub use seek_many::News;
pub use shared::{L2, Mark};
pub use ticket::Ticket;
pub use tickets::Tickets;
pub use tier::RedisTier;
