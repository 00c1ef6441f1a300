//! The steps of the protocol for many keys. Each does for every key what its single-key step does.

mod fill;
mod forget;
mod look;
mod put;
mod shared;

pub(super) use fill::FillOne;
pub(super) use forget::{FOREVER, values_of};
pub(super) use look::{Look, Seen};
