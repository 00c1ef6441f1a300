//! Debts that are settled when Redis is back, whether or not anybody asks for their keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use compact_str::CompactString;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Between attempts to settle debts, where one failed; longer each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many keys are settled at once: enough that a round trip of each is no matter, and no burst.
const AT_ONCE: usize = 32;

/// What has to tell Redis of its debts.
pub(super) trait Debtor: Send + Sync + 'static {
    /// The keys that owe anything.
    fn owing(&self) -> Vec<CompactString>;

    /// Settles one of them; answers whether Redis took it.
    fn settle_one(self: Arc<Self>, key: CompactString) -> impl Future<Output = bool> + Send + 'static;
}

/// Whether somebody waits for Redis to settle the debts.
#[derive(Default)]
pub(super) struct Settling {
    is_awaited: Arc<AtomicBool>,
}

impl Settling {
    /// Has all debts settled as soon as Redis is available. To be called after each debt; costs a load where somebody waits
    /// already.
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

/// Somebody who waits. However that ends, also with its runtime, the next debt finds nobody waiting.
struct Waiting {
    is_awaited: Arc<AtomicBool>,
    is_mine: bool,
}

impl Waiting {
    /// Answers whether nobody else waits.
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

/// Ends with the last debt, with the client, or with the debtor.
async fn wait<D: Debtor>(mut waiting: Waiting, debtor: Weak<D>, mut available: watch::Receiver<bool>) {
    let mut failures = 0;
    while available.wait_for(|is_available| *is_available).await.is_ok() {
        let Some(debtor) = debtor.upgrade() else { return };
        if debtor.owing().is_empty() {
            waiting.end();
            // One that came in between found somebody waiting.
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

/// Settles what it can: past those that fail, but not on into an outage. Answers whether none failed.
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
        /// A key that Redis doesn't take.
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
        // Later debts are waited for too.
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
