//! The options of a front door.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use super::FrontDoor;
use crate::{BlockPolicy, Clock, Quota, SystemClock};

/// Collects the options of a [`FrontDoor`]; see [`FrontDoor::builder`].
pub struct FrontDoorBuilder {
    pub(super) name: String,
    pub(super) quota: Quota,
    pub(super) block: Option<BlockPolicy>,
    pub(super) share: u8,
    pub(super) max_suspects: usize,
    pub(super) clock: Arc<dyn Clock>,
}

/// Of a suspect's window: a charge counts a twentieth of the period longer at most, and a suspect takes half a kilobyte.
pub(super) const SEGMENTS: NonZeroU16 = NonZeroU16::new(20).expect("20 is not zero");
const DEFAULT_MAX_SUSPECTS: usize = 8_192;
/// A gigabyte of suspects, and 128 MiB that say who is one.
const MAX_SUSPECTS: usize = 1 << 20;
const DEFAULT_SHARE: u8 = 25;
const DEFAULT_QUOTA: Quota = match Quota::per_second(1_000) {
    Ok(quota) => quota,
    Err(_) => unreachable!(),
};
const DEFAULT_BLOCK: Duration = Duration::from_secs(10);

impl FrontDoorBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            quota: DEFAULT_QUOTA,
            block: Some(BlockPolicy::fixed(DEFAULT_BLOCK)),
            share: DEFAULT_SHARE,
            max_suspects: DEFAULT_MAX_SUSPECTS,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Admits so much to one key; 1,000 a second unless set. There is no burst.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    /// Blocks a suspect that goes over the quota; for 10 s unless set.
    #[must_use]
    pub fn block(mut self, policy: BlockPolicy) -> Self {
        self.block = Some(policy);
        self
    }

    /// Only refuses a suspect that goes over the quota until it fits again.
    #[must_use]
    pub fn without_block(mut self) -> Self {
        self.block = None;
        self
    }

    /// Makes a suspect of a key whose estimate reaches so many per cent of the limit; 25 unless set, clamped to between 1 and
    /// 100. What a key may be admitted beyond its limit, once, before it is counted exactly.
    #[must_use]
    pub fn share(mut self, percent: u8) -> Self {
        self.share = percent.clamp(1, 100);
        self
    }

    /// Counts at most `n` suspects exactly, between one and 1,048,576; 8,192 unless set. Each takes 128 bytes from the start and about a
    /// kilobyte while it is one.
    #[must_use]
    pub fn max_suspects(mut self, n: usize) -> Self {
        self.max_suspects = n.clamp(1, MAX_SUSPECTS);
        self
    }

    /// Takes time from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the front door.
    pub fn build(self) -> FrontDoor {
        FrontDoor::from_builder(self)
    }
}

impl fmt::Debug for FrontDoorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoorBuilder")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("block", &self.block)
            .field("share", &self.share)
            .field("max_suspects", &self.max_suspects)
            .finish_non_exhaustive()
    }
}
