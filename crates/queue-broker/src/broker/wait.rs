//! Waiting for work: check, and check again when something changed or became due.

use std::time::Duration;

use tidegate_clock::Clock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::Wake;
use crate::error::BrokerError;
use crate::timestamp::Timestamp;

/// Longest sleep. A jump of the clock is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Waits until one of `queues` has work. `look` returns for a queue whether it has ready jobs, and
/// when its next delayed job is due.
pub(super) async fn wait<'a, L>(
    clock: &Clock,
    mut changes: watch::Receiver<()>,
    queues: &'a [String],
    timeout: Duration,
    look: impl Fn(&'a str) -> L + Send,
) -> Result<Wake, BrokerError>
where
    L: Future<Output = Result<(bool, Option<Timestamp>), BrokerError>> + Send,
{
    let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
    loop {
        // Before the check, so that no change between the check and the sleep is missed.
        changes.mark_unchanged();
        let mut next_due = None;
        for queue in queues {
            let (ready, due) = look(queue).await?;
            if ready {
                return Ok(Wake::Ready);
            }
            next_due = [next_due, due].into_iter().flatten().min();
        }
        let now = Timestamp::now(clock);
        if next_due.is_some_and(|due| due <= now) {
            return Ok(Wake::Due);
        }
        let until_due = next_due.map_or(LONGEST_SLEEP, |due| due.since(now).min(LONGEST_SLEEP));
        let slice = Instant::now() + until_due;
        tokio::select! {
            changed = changes.changed() => changed.map_err(|_| BrokerError::Closed)?,
            () = tokio::time::sleep_until(slice.min(deadline)) => {
                if slice >= deadline {
                    return Ok(Wake::Timeout);
                }
            }
        }
    }
}
