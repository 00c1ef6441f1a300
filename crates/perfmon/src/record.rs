//! Recorders: each has a series of its own.

pub(crate) mod endpoint;
pub(crate) mod kind;
pub(crate) mod meter;
pub(crate) mod operation;
