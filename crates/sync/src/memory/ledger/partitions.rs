//! The partitions of a ledger in memory.

use std::collections::HashMap;
use std::num::NonZeroU16;

use super::state::State;
use crate::ledger::PartitionError;

/// The partitions of a ledger that have been used, and how many there are.
pub(in crate::memory) struct Partitions {
    number: NonZeroU16,
    states: HashMap<u16, State>,
}

impl Partitions {
    pub(super) fn new(number: NonZeroU16) -> Self {
        Self { number, states: HashMap::new() }
    }

    /// The state of one partition. Fails if the ledger has another number of them than `wanted`.
    pub(super) fn state(&mut self, partition: u16, wanted: NonZeroU16) -> Result<&mut State, PartitionError> {
        if self.number != wanted {
            return Err(PartitionError { stored: self.number.get(), wanted: wanted.get() });
        }
        Ok(self.states.entry(partition).or_default())
    }
}
