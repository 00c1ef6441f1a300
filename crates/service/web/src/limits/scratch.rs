//! A copy of a limiter to try a quota on, which counts no requests.

use tidegate_ratelimit::{
    Clock, Limiter, MemoryLimiter, MemoryLimiterBuilder, QuotaError, SketchLimiter, SketchLimiterBuilder, SlidingLog,
    SlidingWindow,
};

use super::{Named, build};

/// A small number, because only one key is tried.
const KEYS: usize = 16;

impl Named {
    /// A limiter that decides as this one does in a single process, by that clock: with its current
    /// quota, its algorithm and its block.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] when the algorithm can't apply the quota.
    pub fn scratch(&self, clock: impl Into<Clock>) -> Result<Box<dyn Limiter>, QuotaError> {
        let (quota, block) = (self.limiter().quota(), build::block(self.settings()));
        Ok(match self.algorithm() {
            "sketch_limiter" => {
                let sketch =
                    SketchLimiter::builder("scratch").quota(quota).without_block().max_suspects(KEYS).clock(clock);
                Box::new(block.into_iter().fold(sketch, SketchLimiterBuilder::block).build())
            }
            "sliding_log" => {
                let limiter = MemoryLimiter::builder("scratch", SlidingLog::new(quota)?).max_keys(KEYS).clock(clock);
                Box::new(block.into_iter().fold(limiter, MemoryLimiterBuilder::block).build())
            }
            _ => {
                let limiter = MemoryLimiter::builder("scratch", SlidingWindow::new(quota)).max_keys(KEYS).clock(clock);
                Box::new(block.into_iter().fold(limiter, MemoryLimiterBuilder::block).build())
            }
        })
    }
}
