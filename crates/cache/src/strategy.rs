//! Ways to write through the cache to a store.

pub(crate) mod write_behind;
pub(crate) mod write_through;
