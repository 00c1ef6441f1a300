//! The reading of slow statements for health.

use std::sync::Arc;

use super::Queries;
use super::entry::Entry;
use super::recent::{BURST, Calls, MINUTES};
use crate::figure::latency::share;
use crate::health::reading::Reading;
use crate::health::wording::duration;

impl Queries {
    /// Returns one reading, `slow_statements`: the highest share of slow calls of any shape, over
    /// the last five to six minutes. Shapes with fewer than `min_samples` calls are skipped. If all
    /// are skipped, the reading has the calls of the most called shape, too few to judge. It
    /// returns none if no statement has run in that time.
    ///
    /// A shape that rarely runs is judged too, once three of its calls within a minute were slow,
    /// and these are more than [`QueryConfig::slow_share`](crate::QueryConfig::slow_share) of its
    /// calls around that time. It is judged until a minute has passed without a further slow call.
    #[must_use]
    pub fn readings(&self, min_samples: u64) -> Vec<Reading> {
        let config = &self.0.config;
        let now = self.0.clock.now();
        let mut worst: Option<(Recently, Arc<Entry>)> = None;
        for entry in self.0.table.entries() {
            let (calls, burst) = entry.recently(now);
            let burst = burst.filter(|burst| share(burst.slow, burst.calls) > config.slow_share);
            let lately = Recently { calls, is_known: calls.calls >= min_samples, is_burst: false };
            let burst = burst.map(|calls| Recently { calls, is_known: true, is_burst: true });
            // If both find it, the figures of five minutes are reported.
            for recently in [Some(lately), burst].into_iter().flatten() {
                if calls.calls > 0 && worst.as_ref().is_none_or(|(worst, _)| recently.is_worse_than(worst)) {
                    worst = Some((recently, Arc::clone(&entry)));
                }
            }
        }
        let Some((Recently { calls: Calls { calls, slow }, is_burst, .. }, entry)) = worst else { return Vec::new() };
        let reading = Reading::new("slow_statements", share(slow, calls), config.slow_share)
            .subject("share of slow calls of a statement")
            .share();
        let (text, limit) = (entry.text(), duration(config.slow));
        vec![if is_burst {
            let detail =
                format!("{slow} of {calls} calls took longer than {limit}, {BURST} or more within a minute: {text}");
            reading.detail(detail)
        } else {
            let detail = format!("{slow} of {calls} calls in {MINUTES} min took longer than {limit}: {text}");
            reading.samples(calls).detail(detail)
        }]
    }
}

struct Recently {
    calls: Calls,
    /// Whether they are enough to judge by.
    is_known: bool,
    is_burst: bool,
}

impl Recently {
    fn is_worse_than(&self, other: &Self) -> bool {
        match (self.is_known, other.is_known) {
            // slow / calls, compared without a division.
            (true, true) => {
                let [mine, theirs] = [self.calls, other.calls];
                u128::from(mine.slow) * u128::from(theirs.calls) > u128::from(theirs.slow) * u128::from(mine.calls)
            }
            (false, false) => self.calls.calls > other.calls.calls,
            (is_known, _) => is_known,
        }
    }
}
