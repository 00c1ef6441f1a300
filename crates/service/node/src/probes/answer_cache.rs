//! An answer that concurrent clients share.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Caches an answer for a short time. Clients that arrive while it is made wait for it: only one is
/// made at a time.
#[derive(Debug)]
pub(super) struct AnswerCache<T> {
    holds: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> AnswerCache<T> {
    /// Makes a cache whose answers are valid for `holds`, counted from their completion.
    pub(super) const fn new(holds: Duration) -> Self {
        Self { holds, last: Mutex::const_new(None) }
    }

    /// Returns the last answer while it is valid, else a new one. If the caller that makes it is
    /// cancelled, the next waiting caller makes it.
    pub(super) async fn get_or<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> T {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < self.holds
        {
            return answer.clone();
        }
        let answer = make().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const HOLDS: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn a_hundred_concurrent_callers_share_one_answer() {
        let (kept, made) = (AnswerCache::new(HOLDS), AtomicUsize::new(0));
        let ask = || {
            kept.get_or(|| async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                made.fetch_add(1, Ordering::Relaxed)
            })
        };
        let started = Instant::now();
        assert_eq!(join_all((0..100).map(|_| ask())).await, [0; 100]);
        assert_eq!(started.elapsed(), Duration::from_secs(2), "they wait for the same one");
        tokio::time::advance(HOLDS).await;
        assert_eq!(ask().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_hands_the_work_to_the_next_one() {
        let kept = AnswerCache::new(HOLDS);
        let left = tokio::time::timeout(Duration::from_millis(1), kept.get_or(std::future::pending)).await;
        assert!(left.is_err());
        assert_eq!(kept.get_or(|| async { 7 }).await, 7);
    }
}
