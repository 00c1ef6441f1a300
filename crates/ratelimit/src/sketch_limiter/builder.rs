use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use super::SketchLimiter;
use crate::{BlockPolicy, Clock, Quota};

/// Builder of a [`SketchLimiter`]; see [`SketchLimiter::builder`].
pub struct SketchLimiterBuilder {
    pub(super) name: String,
    pub(super) quota: Quota,
    pub(super) block: Option<BlockPolicy>,
    pub(super) share: u8,
    pub(super) max_suspects: usize,
    pub(super) clock: Clock,
}

/// Segments of a suspect's window: a charge counts for at most a twentieth of the period longer,
/// and a suspect takes half a kilobyte.
pub(super) const SEGMENTS: NonZeroU16 = NonZeroU16::new(20).expect("20 is not zero");
const DEFAULT_MAX_SUSPECTS: usize = 8_192;
/// A gigabyte for the suspects, and 128 MiB for the set that identifies them.
const MAX_SUSPECTS: usize = 1 << 20;
const DEFAULT_SHARE: u8 = 25;
const DEFAULT_QUOTA: Quota = match Quota::per_second(1_000) {
    Ok(quota) => quota,
    Err(_) => unreachable!(),
};
const DEFAULT_BLOCK: Duration = Duration::from_secs(10);

impl SketchLimiterBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            quota: DEFAULT_QUOTA,
            block: Some(BlockPolicy::fixed(DEFAULT_BLOCK)),
            share: DEFAULT_SHARE,
            max_suspects: DEFAULT_MAX_SUSPECTS,
            clock: Clock::system(),
        }
    }

    /// Sets the quota of one key; 1,000 per second by default. There is no burst.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    /// Sets the block of a suspect that exceeds the quota; 10 s by default.
    #[must_use]
    pub fn block(mut self, policy: BlockPolicy) -> Self {
        self.block = Some(policy);
        self
    }

    /// Disables the block: a suspect above the quota is refused only until its cost fits again.
    #[must_use]
    pub fn without_block(mut self) -> Self {
        self.block = None;
        self
    }

    /// Sets the share of the limit, in percent, at which a key becomes a suspect; 25 by default,
    /// clamped to between 1 and 100. A key may be admitted this much beyond its limit, once, before
    /// it is counted exactly.
    #[must_use]
    pub fn share(mut self, percent: u8) -> Self {
        self.share = percent.clamp(1, 100);
        self
    }

    /// Sets the maximum number of suspects, between 1 and 1,048,576; 8,192 by default. Each takes
    /// 128 bytes from the start and about a kilobyte while it is used.
    #[must_use]
    pub fn max_suspects(mut self, n: usize) -> Self {
        self.max_suspects = n.clamp(1, MAX_SUSPECTS);
        self
    }

    clock_setter!(clock);

    /// Builds the sketch limiter.
    pub fn build(self) -> SketchLimiter {
        SketchLimiter::from_builder(self)
    }
}

impl fmt::Debug for SketchLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SketchLimiterBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("block", &self.block)
            .field("share", &self.share)
            .field("max_suspects", &self.max_suspects)
            .finish_non_exhaustive()
    }
}
