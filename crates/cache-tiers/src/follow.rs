//! Keeps L1 consistent with the changes of other processes and programs in L2.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::class::Class;
use crate::class_id::ClassId;
use crate::event::{Event, Removal, Scope};
use crate::flight::Flight;
use crate::key::Key;
use crate::l2::{self, Attempts, Following, Meaning, Word};
use crate::pattern::Pattern;
use crate::slot::Slot;
use crate::tiers::Tiers;

/// Maximum number of comparisons with L2. If too many notices wait, all of L1 is dropped instead.
const COMPARISONS: usize = 64;
/// Maximum number of concurrent walks over L1. Each lets other tasks run.
const WALKS: usize = 64;
/// Pause between attempts to follow.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows changes until the cache is gone. It uses the notices of the server. If the server
/// refuses, it uses what processes publish.
///
/// While it cannot follow, L1 has its capped lifetime. Afterwards, nothing older is served.
pub(crate) async fn follow(tiers: Weak<Tiers>) {
    let mut attempts = Attempts::default();
    while let Some(now) = tiers.upgrade() {
        let Some(l2) = now.l2.clone() else { return };
        drop(now);
        if let Some(following) = l2.start_following(&mut attempts).await {
            let Some(now) = tiers.upgrade() else { return };
            // There were no notices of earlier changes.
            l2.forget_what_was_said();
            drop_all(&now);
            drop(now);
            l2.is_followed_by(&following);
            drop(l2);
            if hear(following, &tiers).await == End::Gone {
                return;
            }
            if let Some(now) = tiers.upgrade()
                && let Some(l2) = &now.l2
            {
                l2.was_forbidden_to_follow();
            }
        }
        if let Some(now) = tiers.upgrade()
            && let Some(l2) = &now.l2
        {
            l2.is_not_followed();
        }
        // Then the other way is tried, and later both again, since the permissions may change.
        if attempts.are_over() {
            sleep(PAUSE).await;
        }
    }
}

/// Reason why there are no more notices.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The cache was dropped.
    Gone,
    /// The server refuses.
    Refused,
}

async fn hear(mut following: Following, tiers: &Weak<Tiers>) -> End {
    let (mut comparisons, mut walks) = (FuturesUnordered::new(), FuturesUnordered::new());
    // Without a cache, no receiver is left.
    while tiers.strong_count() > 0 {
        tokio::select! {
            word = following.next(), if comparisons.len() < COMPARISONS && walks.len() < WALKS => {
                let Some(now) = tiers.upgrade() else { return End::Gone };
                let Some(word) = word else {
                    // The received notices are processed all the same.
                    while walks.next().await.is_some() {}
                    return End::Refused;
                };
                match act(&now, &word) {
                    Left::Nothing => {}
                    Left::Doubt(doubt) => comparisons.push(resolve(Weak::clone(tiers), doubt)),
                    Left::Walk(pattern, class) => {
                        walks.push(async move {
                            now.remove_in_pieces(&pattern, class).await;
                        });
                    }
                }
            }
            Some(()) = comparisons.next() => {}
            Some(()) = walks.next() => {}
            () = sleep(PAUSE) => {}
        }
    }
    End::Gone
}

fn drop_all(tiers: &Tiers) {
    tiers.drop_scope(Scope::All);
    tiers.notify(&Event::Invalidated { scope: Scope::All, removed: None });
}

/// Remaining work of a notice, done while others are processed.
enum Left {
    Nothing,
    Doubt(Doubt),
    /// Entries that match, perhaps of one class, are still to be removed from L1.
    Walk(Pattern, Option<ClassId>),
}

/// An entry that must be compared with L2, because its key was changed there.
struct Doubt {
    key: Key,
    slot: Option<Slot>,
    /// Stale values that loads would fall back on.
    stale: Vec<(Arc<Flight>, Slot)>,
}

/// Processes a notice of a change, and returns the work that takes longer.
fn act(tiers: &Tiers, word: &Word) -> Left {
    let Some(meaning) = tiers.l2.as_ref().and_then(|l2| l2.take_in(word)) else { return Left::Nothing };
    match meaning {
        Meaning::Unknown => drop_all(tiers),
        Meaning::Value(key) => {
            // Fills are made under the same lock: a fill either sees the notice or is seen here.
            let (slot, stale) = tiers.flights.notice(&key, || tiers.memory.peek(&key));
            // A notice may come late or twice, and L1 may hold the current value of L2.
            if slot.is_some() || !stale.is_empty() {
                return Left::Doubt(Doubt { key, slot, stale });
            }
        }
        Meaning::Tag(tag) => {
            tiers.drop_scope(Scope::Tag(&tag));
        }
        Meaning::Class(class) => {
            if let Some(class) = class_named(tiers, &class) {
                tiers.drop_scope(Scope::Class(class.ttl.name()));
            }
        }
        Meaning::Pattern(pattern, class) => {
            let class = match class {
                Some(class) => match class_named(tiers, &class) {
                    Some(class) => Some(class.id),
                    None => return Left::Nothing,
                },
                None => None,
            };
            // At once: no load in progress may fill, however long the walk takes.
            tiers.flights.fence_matching(&pattern);
            return Left::Walk(pattern, class);
        }
        Meaning::All => {
            tiers.drop_scope(Scope::All);
        }
    }
    Left::Nothing
}

/// Returns the class of this process that a mark names.
fn class_named(tiers: &Tiers, mark: &str) -> Option<Arc<Class>> {
    tiers.classes.all().into_iter().find(|class| l2::is_named(class.ttl.name(), mark))
}

/// Drops the value of L1 soon, unless L2 holds the same.
pub fn recheck(tiers: &Arc<Tiers>, key: &Key, slot: &Slot) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(compare(Arc::downgrade(tiers), key.clone(), slot.clone()))),
        // L2 cannot be queried.
        Err(_) => drop(tiers.memory.discard(key, slot)),
    }
}

async fn resolve(tiers: Weak<Tiers>, doubt: Doubt) {
    let Doubt { key, slot, stale } = doubt;
    let entry = async {
        if let Some(slot) = slot {
            compare(Weak::clone(&tiers), key.clone(), slot).await;
        }
    };
    let fallbacks = join_all(stale.into_iter().map(|(flight, slot)| {
        let (tiers, key) = (Weak::clone(&tiers), &key);
        async move {
            let Some(tiers) = tiers.upgrade() else { return };
            if !is_held(&tiers, key, &slot).await {
                flight.forget_fallback();
            }
        }
    }));
    join(entry, fallbacks).await;
}

async fn compare(tiers: Weak<Tiers>, key: Key, mut slot: Slot) {
    let Some(tiers) = tiers.upgrade() else { return };
    while !is_held(&tiers, &key, &slot).await {
        // If it expired here meanwhile, its id in L2 differs too. That happens to a slot once.
        match tiers.memory.peek(&key) {
            Some(now) if now.has_terms_like(slot.terms()) && now.shared != slot.shared => slot = now,
            _ => {
                if tiers.memory.discard(&key, &slot) {
                    tiers.report_removed(&key, &slot, Removal::Invalidated);
                }
                return;
            }
        }
    }
}

/// Whether L2 holds the same.
async fn is_held(tiers: &Tiers, key: &Key, slot: &Slot) -> bool {
    match (&tiers.l2, slot.shared) {
        (Some(l2), Some(id)) => {
            // It was expired here first. L2 has it unexpired, until it processes the expiry.
            let before = id.fresh().filter(|_| slot.times.is_expired());
            l2.holds(key, id, before).await
        }
        _ => false,
    }
}
