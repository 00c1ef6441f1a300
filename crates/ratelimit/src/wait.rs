//! Waiting until a cost is admitted, and places in a line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Allowance, CheckError, Decision, Denial, Limiter};

/// Why there is nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The cost isn't admitted before the patience ends; nothing is charged.
    #[error("not admitted for another {:?}", .0.retry_after)]
    TooLong(Denial),
    /// There is no decision.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// Waits until `cost` is admitted and charged to `key`, and its [`delay`](Allowance::delay) has passed; at most `patience`.
///
/// Gives up at once where that would take longer than `patience`. Each refusal is waited out and then checked again, so that
/// of several that wait for one key any may be first: who wants them served in their order takes a
/// [`LeakyBucket::queue`](crate::LeakyBucket::queue), whose admissions are places in a line. With a block, the first refusal
/// starts it. Dropping the future while it waits charges nothing, but what was admitted with a delay stays charged: see
/// [`Reservation`].
///
/// # Errors
/// [`WaitError`].
///
/// # Panics
/// Outside of a tokio runtime with its timer.
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

/// Checks, and gives back what would have to wait for longer than `patience`.
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

/// A place in the line of a [`LeakyBucket::queue`](crate::LeakyBucket::queue): taken at once, given back when it is dropped
/// before it was used.
///
/// With other algorithms an admission is a place whose turn it is at once.
#[must_use = "a place that is dropped is given back"]
pub struct Reservation {
    limiter: Arc<dyn Limiter>,
    key: String,
    /// What is given back; nothing where it was used.
    cost: u64,
    turn: Instant,
    allowance: Allowance,
}

impl Reservation {
    /// Takes a place for `cost` whose turn comes within `max_wait`.
    ///
    /// # Errors
    /// [`WaitError`]; then nothing is charged.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer.
    pub async fn take(limiter: Arc<dyn Limiter>, key: &str, cost: u64, max_wait: Duration) -> Result<Self, WaitError> {
        match admitted_within(&*limiter, key, cost, max_wait).await? {
            Decision::Allowed(allowance) => {
                let turn = Instant::now() + allowance.delay;
                Ok(Self { limiter, key: key.to_owned(), cost, turn, allowance })
            }
            Decision::Denied(denial) => Err(WaitError::TooLong(denial)),
        }
    }

    /// How long until it is this one's turn.
    pub fn wait(&self) -> Duration {
        self.turn.saturating_duration_since(Instant::now())
    }

    /// Waits for its turn and uses it. Dropping the future gives the place back.
    pub async fn ready(mut self) -> Allowance {
        sleep_until(self.turn).await;
        self.cost = 0;
        self.allowance
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (cost, key) = (self.cost, std::mem::take(&mut self.key));
        // Without a runtime nobody could ask the limiter; its line then moves on by itself.
        if cost > 0
            && let Ok(runtime) = Handle::try_current()
        {
            let limiter = self.limiter.clone();
            // A place that can't be given back is left empty.
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
