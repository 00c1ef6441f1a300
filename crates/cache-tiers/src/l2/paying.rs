//! Invalidations and their debts: sent at once, or owed and sent again until L2 has processed them.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::try_join_all;
use tidegate_redis::Error;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::debts::Debt;
use super::shared::L2;
use super::tier::RedisTier;
use crate::key::Key;
use crate::tag::Tag;

/// Number of invalidations in one step.
const BATCH: usize = 256;
/// Pause between attempts during an outage of Redis. It grows linearly (once, twice, three times
/// this value) up to `LONGEST_PAUSE`.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl L2 {
    /// Invalidates in L2. An invalidation that fails or is cancelled is kept and sent later.
    pub async fn invalidate(self: &Arc<Self>, debts: Vec<Debt>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        if debts.is_empty() {
            return Ok(());
        }
        let owing = self.owing(debts);
        match settle(self, "invalidate", owing.debts()).await {
            Ok(()) => {
                owing.settled();
                Ok(())
            }
            Err(error) => {
                self.failed("invalidate", &error);
                Err(error.into())
            }
        }
    }

    /// Whether invalidations are pending. If so, a task sends them, and L2 is not read.
    pub(super) fn owes(self: &Arc<Self>) -> bool {
        let owes = self.debts.count() > 0;
        if owes {
            self.start_paying();
        }
        owes
    }

    /// Adds debts and starts paying them.
    pub(super) fn owe(self: &Arc<Self>, debts: impl IntoIterator<Item = Debt>) {
        self.debts.add(debts);
        self.start_paying();
    }

    /// Returns debts that are recorded unless they are settled, also if the caller is cancelled.
    pub(super) fn owing(self: &Arc<Self>, debts: Vec<Debt>) -> Owing {
        Owing { l2: Arc::clone(self), debts, late: Duration::ZERO }
    }

    fn start_paying(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.debts.begin_paying() {
            runtime.spawn(Payer { l2: Arc::downgrade(self), is_done: false }.run());
        }
    }
}

/// Debts that a task is about to pay.
pub(super) struct Owing {
    l2: Arc<L2>,
    debts: Vec<Debt>,
    /// How long the writes that they undo may still arrive.
    late: Duration,
}

impl Owing {
    /// Marks debts that are paid twice: now, and when the writes they undo can no longer arrive.
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

    /// Keeps the debts of these keys and settles all others.
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
                l2.upgrade().iter().for_each(|l2| l2.owe(debts.clone()));
            });
        }
        self.l2.owe(debts);
    }
}

/// The only task that pays.
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
                // A closed channel means that the client was dropped, and the cache with it.
                _ = availability.changed() => {}
            }
            pause = (pause + PAUSE).min(LONGEST_PAUSE);
        }
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        // Its runtime was shut down: the next caller starts another on its own.
        if !self.is_done
            && let Some(l2) = self.l2.upgrade()
        {
            l2.debts.stop_paying();
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

/// Redis refuses this operation for good.
#[derive(Debug, thiserror::Error)]
#[error("Redis refuses that invalidation, so everything was invalidated instead")]
struct Refused(#[source] Error);

/// Sends the debts to L2. A debt that L2 refuses for good is not owed for ever: everything is
/// invalidated instead, which is reported.
///
/// After an error it is not known which of them L2 has processed.
async fn settle(l2: &L2, operation: &'static str, debts: &[Debt]) -> Result<(), Error> {
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
