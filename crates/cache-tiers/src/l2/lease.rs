//! The lease of a load on its keys: fences, renewed while it runs, so that others know it lives.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tidegate_redis::Arg;
use tokio::time::{Instant, sleep};

use super::patience::Patience;
use super::shared::L2;
use super::steps::{Item, run_many};
use super::tier::{RedisTier, millis};
use crate::class::Class;
use crate::key::Key;
use crate::ttl::TtlClass;

/// Time for which a fence counts as that of a live load after it was taken or renewed.
const LEASE: Duration = Duration::from_secs(2);

/// Pause between two renewals. A load that is over sooner never renews.
const RENEWAL: Duration = Duration::from_millis(500);

/// Shortest and longest pause between two queries while another process loads.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Maximum wait for another load of the same process.
const OWN: Duration = Duration::from_secs(1);

/// The wait of one read for the load of another process.
pub(super) struct Waiting {
    since: Instant,
    most: Duration,
}

impl Waiting {
    pub(super) fn new(most: Duration) -> Self {
        Self { since: Instant::now(), most }
    }

    /// Whether it has lasted long enough. A load of this process itself (`is_own`) is not waited
    /// for to its end: it could not be joined, since its value is too old by now.
    pub(super) fn is_over(&self, is_own: bool) -> bool {
        self.since.elapsed() >= if is_own { self.most.min(OWN) } else { self.most }
    }

    /// Pauses before the next query, for a twentieth of the time waited so far: a quick load is
    /// noticed at once, a slow one costs few queries.
    pub(super) async fn pause(&self) {
        let left = self.most.saturating_sub(self.since.elapsed());
        sleep((self.since.elapsed() / 20).clamp(PAUSES.0, PAUSES.1).min(left)).await;
    }
}

/// Returns how long a miss of the class waits for another process, if the class sets it.
fn wait(class: &TtlClass) -> Option<Duration> {
    class.load_wait.or(class.hard())
}

impl RedisTier {
    /// Lifetime of a fence in ms below which its load is dead and the next process takes it over.
    pub(super) fn abandoned_below(&self) -> Arg {
        millis(self.fence.saturating_sub(LEASE))
    }
}

impl L2 {
    /// Returns the maximum time that a miss waits for the load of another process.
    pub(super) fn wait_of(&self, class: &Class) -> Duration {
        wait(&class.ttl).unwrap_or(self.tier.wait)
    }

    /// Runs a load, and renews its fences until it ends.
    pub(super) async fn renewing<T>(&self, fences: &[(&Key, &str)], load: impl Future<Output = T>) -> T {
        let (load, renewals) = (pin!(load), pin!(self.renew_for_ever(fences)));
        match select(load, renewals).await {
            Either::Left((loaded, _)) => loaded,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew_for_ever(&self, fences: &[(&Key, &str)]) -> std::convert::Infallible {
        loop {
            sleep(RENEWAL).await;
            let item = |(key, fence): &(&Key, &str)| Item {
                names: vec![self.tier.names.fence(key)],
                args: vec![(*fence).into()],
                bytes: 0,
            };
            let (items, common) = (fences.iter().map(item).collect(), [millis(self.tier.fence)]);
            let mut patience = Patience::new(self.tier.client.timeout());
            let script = &self.tier.scripts.renew_many;
            let renewed = run_many(&self.tier.client, script, &common, items, 1, &mut patience).await;
            renewed.failures.iter().for_each(|error| self.failed("renew", error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_another_process_is_the_hard_timeout_unless_the_class_says_otherwise() {
        let (class, two) = (TtlClass::new("c", Duration::from_secs(60 * 60)), Duration::from_secs(2));
        assert_eq!(wait(&class), None);
        assert_eq!(wait(&class.hard_timeout(two)), Some(two));
        assert_eq!(wait(&class.hard_timeout(two).load_wait(Duration::ZERO)), Some(Duration::ZERO));
    }
}
