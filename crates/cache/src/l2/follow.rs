//! Keeps L1 true to what other processes, and other programs, do in L2.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use tidegate_redis::{Notice, Tracking};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::debts::Debt;
use super::names::{self, Meaning};
use super::way::Way;
use crate::class::Class;
use crate::class_id::ClassId;
use crate::event::{Event, Removal, Scope};
use crate::flight::Flight;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::slot::Slot;
use crate::tiers::Tiers;

/// Comparisons with L2 under way at once. While so many are, further notices wait, and if too many wait, the whole of L1
/// is dropped instead.
const COMPARISONS: usize = 64;
/// Walks over L1 under way at once, of which each lets others run.
const WALKS: usize = 64;
/// Between attempts to follow.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows until the cache is gone: what the server tells, or where it refuses to, what processes publish.
///
/// While it can't, L1 is bounded by its capped lifetime; from the moment when it can again, nothing older is served.
pub(crate) async fn follow(tiers: Weak<Tiers>) {
    let mut refused = None;
    while let Some(now) = tiers.upgrade() {
        let Some(l2) = now.l2.clone() else { return };
        drop(now);
        let tier = &l2.tier;
        tier.replicas.iter().for_each(|replicas| replicas.start(&tier.client));
        let way = tier.ways.next(refused);
        let started = tier.ways.start(way, &tier.client, &tier.names.followed()).await;
        match started {
            Ok(tracking) => {
                tier.ways.take(way);
                if way == Way::Published
                    && let Err(error) = tier.ways.make_up_for_silence(&tier.names.all_mark()).await
                {
                    l2.failed("follow", &error);
                    l2.owe([Debt::All]);
                }
                let Some(now) = tiers.upgrade() else { return };
                // What changed before was not heard.
                tier.recall.drop_all();
                drop_all(&now);
                drop(now);
                l2.follows(Some(tracking.watch_complete()));
                drop(l2);
                if hear(tracking, &tiers).await == End::Gone {
                    return;
                }
                if let Some(now) = tiers.upgrade()
                    && let Some(l2) = &now.l2
                {
                    l2.failed("follow", &Forbidden);
                }
            }
            Err(error) => l2.failed("follow", &error),
        }
        if let Some(now) = tiers.upgrade()
            && let Some(l2) = &now.l2
        {
            l2.follows(None);
            l2.tier.recall.drop_all();
            // Where publishing was chosen, it stays.
            l2.tier.ways.doubt();
        }
        // The other way at once; then both of them again, since what is allowed may change.
        if refused.replace(way).is_some() {
            refused = None;
            sleep(PAUSE).await;
        }
    }
}

/// What was allowed until now.
#[derive(Debug, thiserror::Error)]
#[error("Redis does not let this process hear of changes any more")]
struct Forbidden;

/// Why nothing is heard any more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The cache is gone.
    Gone,
    /// The server refuses.
    Refused,
}

async fn hear(mut tracking: Tracking, tiers: &Weak<Tiers>) -> End {
    let (mut comparisons, mut walks) = (FuturesUnordered::new(), FuturesUnordered::new());
    // Without a cache nobody is left to hear.
    while tiers.strong_count() > 0 {
        tokio::select! {
            notice = tracking.recv(), if comparisons.len() < COMPARISONS && walks.len() < WALKS => {
                let Some(now) = tiers.upgrade() else { return End::Gone };
                // None where whoever listened has ended.
                let Some(notice) = notice.filter(|notice| *notice != Notice::Refused) else {
                    // What was heard is done all the same.
                    while walks.next().await.is_some() {}
                    return End::Refused;
                };
                match act(&now, &notice) {
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

/// What a notice leaves to be done while others are acted on.
enum Left {
    Nothing,
    Doubt(Doubt),
    /// What matches, of one class perhaps, is still to be taken out of L1.
    Walk(Pattern, Option<ClassId>),
}

/// What must be compared with L2, since its key was changed there.
struct Doubt {
    key: Key,
    slot: Option<Slot>,
    /// Stale values that loads would fall back on.
    stale: Vec<(Arc<Flight>, Slot)>,
}

/// Acts on a notice, and returns what takes longer.
fn act(tiers: &Tiers, notice: &Notice) -> Left {
    let Some(l2) = &tiers.l2 else { return Left::Nothing };
    let key = match notice {
        Notice::Key(key) => key,
        // Something may have been missed.
        _ => {
            l2.tier.changes_everything();
            l2.tier.recall.drop_all();
            drop_all(tiers);
            return Left::Nothing;
        }
    };
    let Some(meaning) = l2.tier.names.meaning(key) else { return Left::Nothing };
    match &meaning {
        // What the others touch is seen by comparison.
        Meaning::Pattern(pattern, _) => l2.tier.changes_matching(pattern),
        Meaning::All => l2.tier.changes_everything(),
        Meaning::Value(key) => l2.tier.changes([key]),
        Meaning::Tag(_) | Meaning::Class(_) => {}
    }
    // Before L1 drops what it covers: what is read by the memory of before, and lands after that, began before it.
    match &meaning {
        Meaning::Tag(tag) => l2.tier.recall.drop_tag(tag),
        Meaning::Class(_) | Meaning::All => l2.tier.recall.drop_epoch(),
        Meaning::Value(_) | Meaning::Pattern(..) => {}
    }
    match meaning {
        Meaning::Value(key) => {
            // Under the lock under which fills are made: a fill either sees the notice or is seen here.
            let (slot, stale) = tiers.flights.notice(&key, || tiers.memory.peek(&key));
            // A notice may come late, or twice, and what L1 holds may be what L2 holds now.
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
            // At once: no load that is under way fills, however long the walk takes.
            tiers.flights.fence_matching(&pattern);
            return Left::Walk(pattern, class);
        }
        Meaning::All => {
            tiers.drop_scope(Scope::All);
        }
    }
    Left::Nothing
}

/// The class of this process whose name is written so in a mark.
fn class_named(tiers: &Tiers, escaped: &str) -> Option<Arc<Class>> {
    tiers.classes.all().into_iter().find(|class| names::escaped(class.ttl.name()) == escaped)
}

/// Drops what L1 holds unless L2 holds the same, soon.
pub(crate) fn recheck(tiers: &Arc<Tiers>, key: &Key, slot: &Slot) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(compare(Arc::downgrade(tiers), key.clone(), slot.clone()))),
        // Nobody can ask.
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
        // Expired here meanwhile, it is called otherwise in L2 too. That happens to a slot once.
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
            // Expired here first, it is there as it was until L2 is told.
            let before = id.fresh().filter(|_| slot.times.is_expired());
            matches!(l2.tier.holds(key, id, before).await, Ok(true))
        }
        _ => false,
    }
}
