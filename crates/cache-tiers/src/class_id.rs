//! The number of a class.

/// Index of a class in the table, valid while the cache lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassId(u32);

impl ClassId {
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
