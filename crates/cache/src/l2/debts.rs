//! Invalidations that L2 has not heard of yet: one per key or tag, bounded, told again until it has.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::try_join_all;
use tidegate_redis::Error;
use tokio::runtime::Handle;
use tokio::time::sleep;

#[cfg(feature = "sessions")]
use super::put_unless::End;
use super::{L2, RedisTier};
use crate::event::Scope;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::tag::Tag;

/// More than this many are replaced by one that clears everything.
const LIMIT: usize = 10_000;
/// Told at once.
const BATCH: usize = 256;
/// Between attempts while Redis is away: this much, twice, three times this much, and so on up to `LONGEST_PAUSE`.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Something to be invalidated in L2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Debt {
    Key(Key),
    /// What is there counts as stale from now on.
    Expired(Key),
    Tag(Tag),
    Pattern(Pattern, Option<String>),
    Class(String),
    All,
    /// No invalidation: an entry that is to be put there, and to stay.
    #[cfg(feature = "sessions")]
    End(End),
}

impl Debt {
    /// Whether it comes behind all others, which could undo it, and is covered by none.
    fn is_last(&self) -> bool {
        #[cfg(feature = "sessions")]
        return matches!(self, Self::End(_));
        #[cfg(not(feature = "sessions"))]
        false
    }

    pub(crate) fn of(scope: Scope<'_>) -> Self {
        match scope {
            Scope::Key(key) => Self::Key(key.clone()),
            Scope::Expired(key) => Self::Expired(key.clone()),
            Scope::Tag(tag) => Self::Tag(tag.clone()),
            Scope::Pattern(pattern) => Self::Pattern(pattern.clone(), None),
            Scope::PatternOf(class, pattern) => Self::Pattern(pattern.clone(), Some(class.to_owned())),
            Scope::Class(class) => Self::Class(class.to_owned()),
            Scope::All => Self::All,
        }
    }
}

#[derive(Default)]
struct Book {
    /// Numbered, so that what is owed anew while it is being paid stays owed.
    debts: HashMap<Debt, u64>,
    next: u64,
    is_paying: bool,
}

impl Book {
    fn owe(&mut self, debt: Debt) {
        self.next += 1;
        // Everything covers whatever comes after it as well, since it is yet to be paid.
        let debt = if !debt.is_last() && self.debts.contains_key(&Debt::All) { Debt::All } else { debt };
        self.debts.insert(debt, self.next);
        if self.debts.len() > LIMIT {
            self.debts.retain(|debt, _| debt.is_last());
            if self.debts.len() >= LIMIT {
                self.debts.clear();
            }
            self.debts.insert(Debt::All, self.next);
        }
    }
}

#[derive(Default)]
pub(super) struct Debts {
    book: Mutex<Book>,
    /// How many, to be read without the lock.
    count: AtomicUsize,
}

impl Debts {
    /// Whether there are any; then somebody is paying.
    pub(super) fn any(&self, l2: &Arc<L2>) -> bool {
        let any = self.count() > 0;
        if any {
            self.start_paying(l2);
        }
        any
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst) as u64
    }

    /// Takes debts on and has them paid.
    pub(super) fn owe(&self, l2: &Arc<L2>, debts: impl IntoIterator<Item = Debt>) {
        let mut book = self.book();
        debts.into_iter().for_each(|debt| book.owe(debt));
        self.count.store(book.debts.len(), Ordering::SeqCst);
        drop(book);
        self.start_paying(l2);
    }

    /// Debts that are taken on unless they are settled, also when the caller is cancelled.
    pub(super) fn owing(&self, l2: &Arc<L2>, debts: Vec<Debt>) -> Owing {
        Owing { l2: Arc::clone(l2), debts, late: Duration::ZERO }
    }

    fn start_paying(&self, l2: &Arc<L2>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut book = self.book();
        if !book.debts.is_empty() && !mem::replace(&mut book.is_paying, true) {
            runtime.spawn(Payer { l2: Arc::downgrade(l2), is_done: false }.run());
        }
    }

    /// Ends the payer's duty if nothing is left.
    fn is_settled(&self) -> bool {
        let mut book = self.book();
        book.is_paying = !book.debts.is_empty();
        !book.is_paying
    }

    fn due(&self) -> Vec<(Debt, u64)> {
        let mut due: Vec<_> = self.book().debts.iter().map(|(debt, number)| (debt.clone(), *number)).collect();
        due.sort_by_key(|(debt, _)| debt.is_last());
        due
    }

    fn paid(&self, paid: &[(Debt, u64)]) {
        let mut book = self.book();
        for (debt, number) in paid {
            if book.debts.get(debt) == Some(number) {
                book.debts.remove(debt);
            }
        }
        self.count.store(book.debts.len(), Ordering::SeqCst);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Debts that somebody is about to pay.
pub(super) struct Owing {
    l2: Arc<L2>,
    debts: Vec<Debt>,
    /// How long what they are to undo may still be on its way.
    late: Duration,
}

impl Owing {
    /// Debts that are paid twice: at once, and when what they are to undo can't come any more.
    pub(super) fn again_after(mut self, late: Duration) -> Self {
        self.late = late;
        self
    }

    pub(super) fn debts(&self) -> &[Debt] {
        &self.debts
    }

    pub(super) fn settled(mut self) {
        self.debts.clear();
    }

    /// Those of these keys stay owed, all others are settled.
    pub(super) fn settled_but(mut self, unsettled: &HashSet<Key>) {
        self.debts.retain(|debt| matches!(debt, Debt::Key(key) if unsettled.contains(key)));
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        let debts = mem::take(&mut self.debts);
        if debts.is_empty() {
            return;
        }
        if !self.late.is_zero()
            && let Ok(runtime) = Handle::try_current()
        {
            let (l2, debts, late) = (Arc::downgrade(&self.l2), debts.clone(), self.late);
            runtime.spawn(async move {
                sleep(late).await;
                l2.upgrade().iter().for_each(|l2| l2.debts.owe(l2, debts.clone()));
            });
        }
        self.l2.debts.owe(&self.l2, debts);
    }
}

/// The task that pays; at most one.
struct Payer {
    l2: Weak<L2>,
    is_done: bool,
}

impl Payer {
    async fn run(mut self) {
        let mut pause = PAUSE;
        while let Some(l2) = self.l2.upgrade() {
            let mut availability = l2.tier.client.availability().watch();
            if pay_all(&l2).await {
                self.is_done = l2.debts.is_settled();
                if self.is_done {
                    return;
                }
                continue;
            }
            drop(l2);
            tokio::select! {
                () = sleep(pause) => {}
                // A closed channel means that the client is gone, and the cache with it.
                _ = availability.changed() => {}
            }
            pause = (pause + PAUSE).min(LONGEST_PAUSE);
        }
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        // Its runtime was shut down: the next one to ask starts another on its own.
        if !self.is_done
            && let Some(l2) = self.l2.upgrade()
        {
            l2.debts.book().is_paying = false;
        }
    }
}

async fn pay_all(l2: &L2) -> bool {
    for due in l2.debts.due().chunks(BATCH) {
        let debts: Vec<Debt> = due.iter().map(|(debt, _)| debt.clone()).collect();
        if let Err(error) = settle(l2, "replay", &debts).await {
            l2.failed("replay", &error);
            return false;
        }
        #[cfg(feature = "sessions")]
        if let Err(error) = l2.put_ends(&debts).await {
            l2.failed("replay", &error);
            return false;
        }
        l2.debts.paid(due);
    }
    true
}

/// Redis will not do what was asked, now or later.
#[derive(Debug, thiserror::Error)]
#[error("Redis refuses that invalidation, so everything was invalidated instead")]
struct Refused(#[source] Error);

/// Tells L2. What it refuses for good is not owed for ever: everything is invalidated instead, and that is told of.
///
/// After an error it is not known of which it has heard.
pub(super) async fn settle(l2: &L2, operation: &'static str, debts: &[Debt]) -> Result<(), Error> {
    if debts.contains(&Debt::All) {
        return l2.tier.move_all().await;
    }
    match pay(&l2.tier, debts).await {
        Err(error) if !error.is_transient() => {
            l2.tier.move_all().await?;
            l2.failed(operation, &Refused(error));
            Ok(())
        }
        paid => paid,
    }
}

async fn pay(tier: &RedisTier, debts: &[Debt]) -> Result<(), Error> {
    let tags: Vec<&Tag> =
        debts.iter().filter_map(|debt| if let Debt::Tag(tag) = debt { Some(tag) } else { None }).collect();
    for tags in tags.chunks(BATCH) {
        tier.move_tags(tags).await?;
    }
    let keys: Vec<&Key> =
        debts.iter().filter_map(|debt| if let Debt::Key(key) = debt { Some(key) } else { None }).collect();
    tier.forget_all(&keys).await?;
    let expired: Vec<&Key> =
        debts.iter().filter_map(|debt| if let Debt::Expired(key) = debt { Some(key) } else { None }).collect();
    tier.expire_all(&expired).await?;
    for debts in debts.chunks(BATCH) {
        let told = debts.iter().map(|debt| async move {
            match debt {
                Debt::Key(_) | Debt::Expired(_) | Debt::Tag(_) => Ok(()),
                Debt::Pattern(pattern, class) => tier.forget_matching(pattern, class.as_deref()).await,
                Debt::Class(class) => tier.move_class(class).await,
                Debt::All => tier.move_all().await,
                #[cfg(feature = "sessions")]
                Debt::End(_) => Ok(()),
            }
        });
        try_join_all(told).await?;
    }
    Ok(())
}
