//! Waiting for a permit, shared by locks and semaphores.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::error::{AcquireError, StoreError};
use crate::fence::Fence;
use crate::hold::{Claim, Hold, Lease, LeaseOptions};
use crate::owner;
use crate::permit::{Acquire, Acquired, PermitStore, Place};

/// Maximum time between two requests of a waiter.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Maximum delay of a waiter's next request before it loses its position in the queue.
const GRACE: Duration = Duration::from_millis(500);
/// Time between two attempts while the store is unavailable.
const OUTAGE: Duration = Duration::from_millis(50);

/// A request for a permit, and the options of its lease.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) store: Arc<dyn PermitStore>,
    pub(crate) place: Place,
    pub(crate) permits: u32,
    pub(crate) options: LeaseOptions,
}

impl Terms {
    /// Sends one request.
    pub(crate) async fn try_acquire(&self) -> Result<Option<(Hold, Fence)>, StoreError> {
        let mut claim = Claim::new(self.lease());
        let asked = Instant::now();
        match self.ask(&mut claim, None).await? {
            Acquired::Granted(fence) => Ok(Some((self.hold(claim, asked), fence))),
            Acquired::Busy { .. } => {
                claim.close();
                Ok(None)
            }
        }
    }

    /// Sends requests until one is granted or the timeout has passed.
    pub(crate) async fn acquire(&self, timeout: Duration) -> Result<(Hold, Fence), AcquireError> {
        let mut claim = Claim::new(self.lease());
        let deadline = Instant::now() + timeout;
        let mut pace = Pace::default();
        loop {
            let asked = Instant::now();
            let answer = self.ask(&mut claim, Some(pace.place_lasts())).await;
            let now = Instant::now();
            let pause = match answer {
                Ok(Acquired::Granted(fence)) => {
                    let hold = self.hold(claim, asked);
                    if hold.is_held() {
                        return Ok((hold, fence));
                    }
                    // The reply took longer than the lease, or this process was suspended in the
                    // meantime.
                    if now >= deadline {
                        return Err(AcquireError::TimedOut { after: timeout });
                    }
                    claim = Claim::new(self.lease());
                    continue;
                }
                Ok(Acquired::Busy { .. }) if now >= deadline => return Err(AcquireError::TimedOut { after: timeout }),
                Ok(Acquired::Busy { ahead, free_in }) => pace.next(ahead, free_in),
                Err(error) if error.is_transient() && now < deadline => OUTAGE,
                Err(error) => return Err(error.into()),
            };
            self.store.wait(&self.place, &claim.lease.owner, pause.min(deadline - now)).await;
        }
    }

    fn lease(&self) -> PermitLease {
        PermitLease {
            store: self.store.clone(),
            place: self.place.clone(),
            owner: owner::generate(),
            lease: self.options.duration,
        }
    }

    fn hold(&self, mut claim: Claim<PermitLease>, asked: Instant) -> Hold {
        claim.close();
        Hold::start(claim.lease.clone(), asked, self.options.renewal)
    }

    async fn ask(&self, claim: &mut Claim<PermitLease>, queue: Option<Duration>) -> Result<Acquired, StoreError> {
        let (place, permits, lease) = (&self.place, self.permits, self.options.duration);
        let was_open = claim.open();
        let answer = self.store.acquire(Acquire { place, permits, owner: &claim.lease.owner, lease, queue }).await;
        if !was_open && answer.as_ref().is_err_and(|error| !error.may_have_run()) {
            claim.close();
        }
        answer
    }
}

/// Interval between requests of a waiter, unless the store wakes it. The first in the queue sends a
/// request after 1 ms, and later every 25 ms. Later ones send requests less often, so that a long
/// queue costs little more than a short one.
#[derive(Default)]
struct Pace {
    ahead: Option<u64>,
    asked: u32,
}

impl Pace {
    fn next(&mut self, ahead: u64, free_in: Duration) -> Duration {
        if self.ahead.replace(ahead) != Some(ahead) {
            self.asked = 0;
        }
        let behind = u32::try_from(ahead).unwrap_or(u32::MAX);
        let steps = self.asked.saturating_add(behind).min(9);
        self.asked += 1;
        let pause = Duration::from_millis(1 << steps).min(longest_pause(ahead));
        if ahead == 0 { pause.min(free_in.max(Duration::from_millis(1))) } else { pause }
    }

    /// How long a position in the queue outlives a waiter that died. The first waiter sends
    /// requests most often, so its position ends soonest. Positions never move back, so the next
    /// pause is not longer than this.
    fn place_lasts(&self) -> Duration {
        2 * self.ahead.map_or(LONGEST_PAUSE, longest_pause) + GRACE
    }
}

fn longest_pause(ahead: u64) -> Duration {
    let behind = u32::try_from(ahead).unwrap_or(u32::MAX);
    Duration::from_millis(25).saturating_mul(behind.saturating_add(1)).min(LONGEST_PAUSE)
}

/// A permit of one owner in a store.
struct PermitLease {
    store: Arc<dyn PermitStore>,
    place: Place,
    owner: String,
    lease: Duration,
}

#[async_trait]
impl Lease for PermitLease {
    fn duration(&self) -> Duration {
        self.lease
    }

    async fn extend(&self) -> Result<bool, StoreError> {
        self.store.extend(&self.place, &self.owner, self.lease).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.store.release(&self.place, &self.owner).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(30);

    fn millis(pace: &mut Pace, ahead: u64, times: usize) -> Vec<u128> {
        (0..times).map(|_| pace.next(ahead, FAR).as_millis()).collect()
    }

    #[test]
    fn the_first_asks_often_and_tires() {
        assert_eq!(millis(&mut Pace::default(), 0, 7), [1, 2, 4, 8, 16, 25, 25]);
    }

    #[test]
    fn a_long_queue_asks_seldom() {
        assert_eq!(millis(&mut Pace::default(), 3, 5), [8, 16, 32, 64, 100]);
        assert_eq!(millis(&mut Pace::default(), 400, 2), [500, 500]);
        assert_eq!(millis(&mut Pace::default(), u64::MAX, 1), [500]);
    }

    #[test]
    fn the_first_is_missed_soonest() {
        let mut pace = Pace::default();
        assert_eq!(pace.place_lasts().as_millis(), 1_500);
        for (ahead, millis) in [(19, 1_500), (9, 1_000), (0, 550)] {
            pace.next(ahead, FAR);
            assert_eq!(pace.place_lasts().as_millis(), millis);
        }
    }

    #[test]
    fn getting_on_wakes_up() {
        let mut pace = Pace::default();
        millis(&mut pace, 1, 6);
        assert_eq!(millis(&mut pace, 0, 2), [1, 2]);
    }

    #[test]
    fn the_first_is_there_when_a_lease_ends() {
        let mut pace = Pace::default();
        millis(&mut pace, 0, 6);
        assert_eq!(pace.next(0, Duration::from_millis(3)), Duration::from_millis(3));
    }
}
