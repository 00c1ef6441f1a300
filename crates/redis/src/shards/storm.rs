//! A MOVED storm: servers of a cluster that redirect a command again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of the log about it.
const QUIET: Duration = Duration::from_secs(10);

/// Names the storms that a client meets, and logs one in ten seconds.
#[derive(Debug, Default)]
pub(crate) struct StormLog {
    /// When the last line was logged, and how many commands were given up since.
    state: Mutex<(Option<Instant>, u64)>,
}

impl StormLog {
    /// The detail of the error of a command that is given up after so many redirections. `last` is
    /// the last of them, in the server's words.
    pub(crate) fn give_up(&self, code: &str, redirections: u32, last: &str) -> String {
        let detail = format!(
            "{code} MOVED storm: the command was redirected {redirections} times, the last time with `{last}`; the \
             servers of the cluster disagree about who serves the slot, or it moves to and fro: compare CLUSTER NODES \
             of all servers"
        );
        if let Some(unlogged) = self.count() {
            tracing::warn!(detail, unlogged, "the Redis cluster redirects commands without end");
        }
        detail
    }

    /// How many were not logged before this one, if this one is to be.
    fn count(&self) -> Option<u64> {
        let now = Instant::now();
        let (logged_at, unlogged) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if logged_at.is_some_and(|at| now.duration_since(at) < QUIET) {
            *unlogged += 1;
            return None;
        }
        *logged_at = Some(now);
        Some(std::mem::take(unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_storms_one_in_ten_seconds_is_logged() {
        let log = StormLog::default();
        assert_eq!([log.count(), log.count(), log.count()], [Some(0), None, None]);
        tokio::time::advance(QUIET).await;
        assert_eq!([log.count(), log.count()], [Some(2), None]);
    }
}
