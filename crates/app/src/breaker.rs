//! Leaves a receiver in peace that has failed several times in a row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long nothing is tried then.
const OPEN: Duration = Duration::from_secs(30);
/// Receivers that are remembered; beyond that a new one is not watched over.
const MOST: usize = 10_000;

/// One breaker for each receiver that has failed of late. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breakers(Arc<Mutex<HashMap<Box<str>, Breaker>>>);

#[derive(Debug, Clone, Copy)]
struct Breaker {
    failures: u32,
    /// Until when nothing is tried. Then one try goes through, and moves it.
    until: Option<Instant>,
}

impl Breakers {
    /// Whether a try may go through now; else after how long to ask again.
    pub(crate) fn admit(&self, receiver: &str) -> Result<(), Duration> {
        let mut breakers = self.lock();
        let Some(Breaker { until: Some(until), .. }) = breakers.get_mut(receiver) else { return Ok(()) };
        let now = Instant::now();
        if *until > now {
            return Err(*until - now);
        }
        // Others wait for what becomes of this one.
        *until = now + OPEN;
        Ok(())
    }

    /// It answered.
    pub(crate) fn succeeded(&self, receiver: &str) {
        self.lock().remove(receiver);
    }

    /// It didn't, or with a fault of its own.
    pub(crate) fn failed(&self, receiver: &str) {
        let mut breakers = self.lock();
        if breakers.len() >= MOST && !breakers.contains_key(receiver) {
            let now = Instant::now();
            breakers.retain(|_, breaker| breaker.until.is_some_and(|until| until > now));
            if breakers.len() >= MOST {
                return;
            }
        }
        let breaker = breakers.entry(receiver.into()).or_insert(Breaker { failures: 0, until: None });
        breaker.failures += 1;
        if breaker.failures >= FAILURES {
            breaker.until = Some(Instant::now() + OPEN);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_five_failures_one_try_in_half_a_minute_goes_through() {
        let breakers = Breakers::default();
        for _ in 0..FAILURES - 1 {
            breakers.failed("a");
            assert_eq!(breakers.admit("a"), Ok(()));
        }
        breakers.failed("a");
        assert_eq!(breakers.admit("a"), Err(OPEN));
        assert_eq!(breakers.admit("b"), Ok(()), "another one is none of its business");
        tokio::time::advance(OPEN).await;
        assert_eq!(breakers.admit("a"), Ok(()));
        assert_eq!(breakers.admit("a"), Err(OPEN), "one alone");
        breakers.failed("a");
        assert!(breakers.admit("a").is_err());
        tokio::time::advance(OPEN).await;
        assert_eq!(breakers.admit("a"), Ok(()));
        breakers.succeeded("a");
        assert_eq!(breakers.admit("a"), Ok(()));
        breakers.failed("a");
        assert_eq!(breakers.admit("a"), Ok(()), "it begins anew");
    }

    #[test]
    fn receivers_without_end_take_no_memory_without_end() {
        let breakers = Breakers::default();
        for number in 0..2 * MOST {
            breakers.failed(&number.to_string());
        }
        assert!(breakers.lock().len() <= MOST);
    }
}
