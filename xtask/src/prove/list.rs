//! The proofs, as data.

mod api;
mod cache;
mod load;
mod perfmon;
mod queue;
mod ratelimit;
mod sync;

use super::proof::Proof;

const GROUPS: [&[Proof]; 7] =
    [api::PROOFS, sync::PROOFS, cache::PROOFS, ratelimit::PROOFS, queue::PROOFS, perfmon::PROOFS, load::PROOFS];

/// All of them, in the order in which they run.
pub(super) fn all() -> impl Iterator<Item = &'static Proof> {
    GROUPS.into_iter().flatten()
}
