//! Waiting until a cost is admitted, and reservations in a queue.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Allowance, CheckError, Decision, Denial, Limiter};

/// Reason why a wait ends without an admission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The cost would not be admitted within the maximum wait. Nothing is charged.
    #[error("not admitted for another {:?}", .0.retry_after)]
    TooLong(Denial),
    /// There is no decision.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// Waits until `cost` is admitted and charged to `key`, and its [`delay`](Allowance::delay) has
/// passed. Waits for at most `patience`.
///
/// Returns an error immediately if that would take longer than `patience`. After a refusal it waits
/// for `retry_after` and then checks again, so if several callers wait for one key, the order is
/// arbitrary. For a first-come, first-served order use a
/// [`LeakyBucket::queue`](crate::LeakyBucket::queue). With a block policy, the first refusal starts
/// the block. Dropping the future while it waits after a refusal charges nothing. An admission with
/// a delay stays charged if the future is dropped: see [`Reservation`].
///
/// # Errors
/// [`WaitError`].
///
/// # Panics
/// If called outside a tokio runtime with a timer.
pub async fn until_ready(
    limiter: &(impl Limiter + ?Sized),
    key: &str,
    cost: u64,
    patience: Duration,
) -> Result<Allowance, WaitError> {
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        match admitted_within(limiter, key, cost, left).await? {
            Decision::Allowed(allowance) => {
                sleep(allowance.delay).await;
                return Ok(allowance);
            }
            Decision::Denied(denial) if denial.retry_after > left => return Err(WaitError::TooLong(denial)),
            Decision::Denied(denial) => sleep(denial.retry_after).await,
        }
    }
}

/// Checks, and refunds an admission whose delay is longer than `patience`.
async fn admitted_within(
    limiter: &(impl Limiter + ?Sized),
    key: &str,
    cost: u64,
    patience: Duration,
) -> Result<Decision, WaitError> {
    let decision = limiter.check(key, cost).await?;
    let Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay }) = decision else {
        return Ok(decision);
    };
    if delay <= patience {
        return Ok(decision);
    }
    let _ = limiter.reward(key, cost).await?;
    let retry_after = delay - patience;
    Err(WaitError::TooLong(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None }))
}

/// A place in a [`LeakyBucket::queue`](crate::LeakyBucket::queue). It is charged immediately, and
/// refunded if it is dropped before it was used.
///
/// With other algorithms the delay of an admission is zero.
#[must_use = "a place that is dropped is given back"]
pub struct Reservation {
    limiter: Arc<dyn Limiter>,
    key: String,
    /// Cost that is refunded on drop. Zero once the place was used.
    cost: u64,
    turn: Instant,
    allowance: Allowance,
}

impl Reservation {
    /// Reserves a place for `cost` whose delay is at most `max_wait`.
    ///
    /// # Errors
    /// [`WaitError`]. Nothing is charged then.
    ///
    /// # Panics
    /// If called outside a tokio runtime with a timer.
    pub async fn take(limiter: Arc<dyn Limiter>, key: &str, cost: u64, max_wait: Duration) -> Result<Self, WaitError> {
        match admitted_within(&*limiter, key, cost, max_wait).await? {
            Decision::Allowed(allowance) => {
                let turn = Instant::now() + allowance.delay;
                Ok(Self { limiter, key: key.to_owned(), cost, turn, allowance })
            }
            Decision::Denied(denial) => Err(WaitError::TooLong(denial)),
        }
    }

    /// Remaining delay.
    pub fn wait(&self) -> Duration {
        self.turn.saturating_duration_since(Instant::now())
    }

    /// Waits for the remaining delay and uses the place. Dropping the future refunds it.
    pub async fn ready(mut self) -> Allowance {
        sleep_until(self.turn).await;
        self.cost = 0;
        self.allowance
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (cost, key) = (self.cost, std::mem::take(&mut self.key));
        // Without a runtime the limiter cannot be called. The queue then drains by itself.
        if cost > 0
            && let Ok(runtime) = Handle::try_current()
        {
            let limiter = self.limiter.clone();
            // If the refund fails, the place stays unused.
            runtime.spawn(async move { limiter.reward(&key, cost).await.map(drop) });
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("limiter", &self.limiter.name())
            .field("cost", &self.cost)
            .field("wait", &self.wait())
            .finish_non_exhaustive()
    }
}
