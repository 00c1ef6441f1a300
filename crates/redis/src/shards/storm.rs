//! MOVED storms: servers of a cluster that redirect a command again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two log lines about it.
const QUIET: Duration = Duration::from_secs(10);

/// Describes MOVED storms of a client, and logs at most one per ten seconds.
#[derive(Debug, Default)]
pub(crate) struct StormLog {
    /// Time of the last log line, and the number of failed commands since.
    state: Mutex<(Option<Instant>, u64)>,
}

impl StormLog {
    /// The error text of a command that failed after that many redirections. `last` is the last
    /// redirection, as the server sent it.
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

    /// Returns the number of storms that were not logged since the last log line, if this one is to
    /// be logged.
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
