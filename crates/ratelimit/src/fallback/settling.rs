//! Settles debts when Redis is available again, even without further requests for their keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use compact_str::CompactString;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Pause between attempts after a failure. It grows with each attempt, up to `LONGEST_PAUSE`.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Number of keys that are settled at once: enough to hide the round trips, without a burst.
const AT_ONCE: usize = 32;

/// A limiter with debts to Redis.
pub(super) trait Debtor: Send + Sync + 'static {
    /// The keys with debts.
    fn owing(&self) -> Vec<CompactString>;

    /// Settles one of them. Returns whether Redis accepted it.
    fn settle_one(self: Arc<Self>, key: CompactString) -> impl Future<Output = bool> + Send + 'static;
}

/// Whether a task is waiting for Redis to settle the debts.
#[derive(Default)]
pub(super) struct Settling {
    is_awaited: Arc<AtomicBool>,
}

impl Settling {
    /// Settles all debts as soon as Redis is available. Must be called after each debt. Costs one
    /// atomic load if a task is already waiting.
    pub(super) fn when_back(&self, debtor: &Arc<impl Debtor>, available: impl FnOnce() -> watch::Receiver<bool>) {
        if self.is_awaited.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let mut waiting = Waiting { is_awaited: self.is_awaited.clone(), is_mine: false };
        if waiting.begin() {
            runtime.spawn(wait(waiting, Arc::downgrade(debtor), available()));
        }
    }
}

/// A waiting task. When it ends, even with its runtime, the next debt starts a new one.
struct Waiting {
    is_awaited: Arc<AtomicBool>,
    is_mine: bool,
}

impl Waiting {
    /// Returns whether no other task is waiting.
    fn begin(&mut self) -> bool {
        self.is_mine = !self.is_awaited.swap(true, Ordering::AcqRel);
        self.is_mine
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_mine) {
            self.is_awaited.store(false, Ordering::Release);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends after the last debt, or when the client or the debtor is dropped.
async fn wait<D: Debtor>(mut waiting: Waiting, debtor: Weak<D>, mut available: watch::Receiver<bool>) {
    let mut failures = 0;
    while available.wait_for(|is_available| *is_available).await.is_ok() {
        let Some(debtor) = debtor.upgrade() else { return };
        if debtor.owing().is_empty() {
            waiting.end();
            // A debt that was added in between found a waiting task.
            if debtor.owing().is_empty() || !waiting.begin() {
                return;
            }
        }
        if settle_all(&debtor, &available).await {
            failures = 0;
            continue;
        }
        drop(debtor);
        failures += 1;
        tokio::time::sleep((PAUSE * failures).min(LONGEST_PAUSE)).await;
    }
}

/// Settles as many debts as possible: continues after a failure, but stops at an outage. Returns
/// whether none failed.
async fn settle_all(debtor: &Arc<impl Debtor>, available: &watch::Receiver<bool>) -> bool {
    let (mut running, mut all) = (JoinSet::new(), true);
    for key in debtor.owing() {
        if running.len() >= AT_ONCE {
            all &= matches!(running.join_next().await, Some(Ok(true)));
        }
        if !*available.borrow() {
            all = false;
            break;
        }
        running.spawn(debtor.clone().settle_one(key));
    }
    while let Some(settled) = running.join_next().await {
        all &= matches!(settled, Ok(true));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use tidegate_testkit::poll_until;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Books {
        owing: Mutex<Vec<CompactString>>,
        /// A key that Redis does not accept.
        refused: Mutex<Option<CompactString>>,
        now: AtomicUsize,
        most: AtomicUsize,
        settling: Settling,
    }

    impl Books {
        fn owe(self: &Arc<Self>, key: impl Into<CompactString>, available: &watch::Receiver<bool>) {
            self.owing.lock().unwrap().push(key.into());
            self.settling.when_back(self, || available.clone());
        }

        async fn until_owing(&self, count: usize) {
            poll_until(LONG, async || (self.owing().len() == count).then_some(())).await.unwrap();
        }
    }

    impl Debtor for Books {
        fn owing(&self) -> Vec<CompactString> {
            self.owing.lock().unwrap().clone()
        }

        async fn settle_one(self: Arc<Self>, key: CompactString) -> bool {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            if self.refused.lock().unwrap().as_ref() == Some(&key) {
                return false;
            }
            self.owing.lock().unwrap().retain(|other| *other != key);
            true
        }
    }

    #[tokio::test]
    async fn one_that_fails_holds_no_other_one_up() {
        let (books, (available, back)) = (Arc::new(Books::default()), watch::channel(false));
        *books.refused.lock().unwrap() = Some("key-0".into());
        for key in 0..200 {
            books.owe(format!("key-{key}"), &back);
        }
        available.send(true).unwrap();
        books.until_owing(1).await;
        assert_eq!((books.owing(), books.most.load(Ordering::SeqCst)), (vec!["key-0".into()], AT_ONCE));
        *books.refused.lock().unwrap() = None;
        books.until_owing(0).await;
        // Later debts are settled too.
        books.owe("key-0", &back);
        books.until_owing(0).await;
    }

    #[test]
    fn a_runtime_that_is_gone_leaves_no_debt_unsettled() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (books, (available, back)) = (Arc::new(Books::default()), watch::channel(false));
        let gone = runtime();
        gone.block_on(async { books.owe("key-0", &back) });
        drop(gone);
        available.send(true).unwrap();
        runtime().block_on(async {
            books.owe("key-1", &back);
            books.until_owing(0).await;
        });
    }
}
