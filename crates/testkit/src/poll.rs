//! The only function that waits.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Short enough for fast tests, long enough for ten of them to leave a core almost idle.
const INTERVAL: Duration = Duration::from_millis(10);

/// The condition was not met in time. `Debug` prints the same text as `Display`, for `unwrap`.
#[derive(thiserror::Error)]
#[error("nothing came of the wait at {at} within {after:?}")]
#[non_exhaustive]
pub struct TimedOut {
    /// The deadline.
    pub after: Duration,
    /// The line of the caller.
    pub at: &'static Location<'static>,
}

impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Calls `probe` every 10 ms until it returns `Some`, and returns that value.
///
/// The first call is made at once, so a deadline of zero makes one call. A probe that hangs is
/// dropped at the deadline. Tests wait with this function: they check the condition itself, and
/// never sleep for a time that "should be enough".
///
/// ```
/// # use std::time::Duration;
/// # use tidegate_testkit::poll_until;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut asked = 0;
/// let answer = poll_until(Duration::from_secs(5), async || {
///     asked += 1;
///     (asked == 3).then_some("third time")
/// });
/// assert_eq!(answer.await.unwrap(), "third time");
/// # }
/// ```
///
/// # Errors
///
/// [`TimedOut`], with the caller's line, if `deadline` passes first.
#[track_caller]
pub fn poll_until<T, P>(deadline: Duration, mut probe: P) -> impl Future<Output = Result<T, TimedOut>>
where
    P: AsyncFnMut() -> Option<T>,
{
    let at = Location::caller();
    async move {
        let asking = async {
            loop {
                if let Some(answer) = probe().await {
                    return answer;
                }
                sleep(INTERVAL).await;
            }
        };
        timeout(deadline, asking).await.map_err(|_| TimedOut { after: deadline, at })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::poll_until;

    #[tokio::test]
    async fn polls_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = poll_until(Duration::from_secs(30), async || {
            asked += 1;
            (asked == 5).then_some(asked)
        });
        assert_eq!(answer.await.unwrap(), 5);
    }

    #[tokio::test]
    async fn a_deadline_of_zero_polls_once() {
        assert_eq!(poll_until(Duration::ZERO, async || Some(1)).await.unwrap(), 1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_probe_without_answer_ends_at_the_deadline_and_names_the_line() {
        let error = poll_until(Duration::from_millis(50), async || None::<()>).await.unwrap_err();
        assert_eq!(error.after, Duration::from_millis(50));
        assert!(error.at.file().ends_with("poll.rs"));
        assert_eq!(format!("{error:?}"), format!("{error}"));
    }

    #[tokio::test]
    async fn a_probe_that_hangs_ends_at_the_deadline() {
        let hung = poll_until(Duration::from_millis(50), async || std::future::pending::<Option<()>>().await);
        assert!(hung.await.is_err());
    }
}
