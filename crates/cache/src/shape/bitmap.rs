//! One bit per number.

use super::error::ShapeError;
use super::store::{Bound, Kind, common};
use tidegate_cache_tiers::Key;

/// Highest bit by default: a million, in 128 KiB.
const HIGHEST: u32 = (1 << 20) - 1;

/// Highest bit that can be configured: 2^27, in 16 MiB.
const HIGHEST_OF_ALL: u32 = (1 << 27) - 1;

/// Bitmaps under keys of one class, for example which of all pupils, by number, attended on a day.
/// A key takes one byte for 8 numbers up to the highest that was ever set, so number densely. The
/// highest is 1,048,575 by default.
#[derive(Debug, Clone)]
pub struct BitmapShape {
    bound: Bound,
    highest: u32,
}

impl BitmapShape {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, highest: HIGHEST }
    }

    /// Sets the highest bit, up to 134,217,727 (16 MiB per key).
    #[must_use]
    pub fn highest(mut self, bit: u32) -> Self {
        self.highest = bit.min(HIGHEST_OF_ALL);
        self
    }

    /// Sets or clears a bit. Returns its previous value.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooHigh`], or Redis cannot be reached.
    pub async fn set(&self, key: &Key, bit: u32, value: bool) -> Result<bool, ShapeError> {
        if bit > self.highest {
            return Err(ShapeError::TooHigh { bit, highest: self.highest });
        }
        self.bound.store.bit_set(key, bit, value, self.bound.life).await
    }

    /// Whether a bit is set. A bit that was never set, however high, is not.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn get(&self, key: &Key, bit: u32) -> Result<bool, ShapeError> {
        self.bound.store.bit_get(key, bit).await
    }

    /// Returns how many bits are set.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn count(&self, key: &Key) -> Result<u64, ShapeError> {
        self.bound.store.count(Kind::Bitmap, key).await
    }

    common!(Kind::Bitmap, self.bound);
}
