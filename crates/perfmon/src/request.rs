//! What a request carries with it while it is measured.

pub(crate) mod body_wait;
pub(crate) mod received_at;
pub(crate) mod refused;
pub(crate) mod trace_context;
pub(crate) mod under_way;
