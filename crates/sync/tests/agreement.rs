//! The scripts and the store in memory execute the same random steps with the same clock, and must
//! return the same results.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use support::{Bench, Store, lock_place};
use tidegate_sync::{
    Acquire, Credit, Ended, Fence, LedgerId, OnceStore, Operation, PermitStore, Place, PlaceKind, Posting, Settlement,
    StockId, Version,
};

/// A deterministic random generator: the same steps in every run.
struct Dice(u64);

impl Dice {
    /// From zero to `sides - 1`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }

    fn seconds(&mut self, most: u64) -> Duration {
        Duration::from_secs(self.roll(most) + 1)
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn replay(seed: u64, steps: usize, step: impl AsyncFn(&dyn Store, &mut Dice) -> String) {
    let (memory, redis) = (Bench::memory(), Bench::redis().await);
    let (mut one, mut two) = (Dice(seed), Dice(seed));
    for nth in 0..steps {
        let in_process = step(&*memory.store, &mut one).await;
        let on_redis = step(&*redis.store, &mut two).await;
        assert_eq!(in_process, on_redis, "step {nth}");
        if one.roll(4) == 0 {
            let by = one.seconds(6);
            memory.advance(by).await;
            redis.advance(by).await;
        }
        two.0 = one.0;
    }
}

#[tokio::test]
async fn on_permits() {
    // The store in memory shares its tokens among all locks. Only their order matters, which the
    // suite checks.
    let without_token = |text: String| text.split("Granted").next().unwrap().to_owned();
    replay(1, 1_500, async |store, dice| {
        let place = match dice.roll(2) {
            0 => lock_place("x"),
            _ => Place { kind: PlaceKind::Semaphore, name: "x".to_owned() },
        };
        let permits = if place.kind == PlaceKind::Lock { 1 } else { 2 };
        let (owner, lease) = (dice.pick(&NAMES), dice.seconds(10));
        match dice.roll(6) {
            0 => format!("{:?}", PermitStore::extend(store, &place, owner, lease).await.unwrap()),
            1 => format!("{:?}", store.release(&place, owner).await.unwrap()),
            more => {
                let queue = (more > 3).then(|| dice.seconds(8));
                let answer = store.acquire(Acquire { place: &place, permits, owner, lease, queue }).await.unwrap();
                without_token(format!("{answer:?}"))
            }
        }
    })
    .await;
}

#[tokio::test]
async fn on_operations() {
    replay(2, 1_000, async |store, dice| {
        let operation = Operation { scope: "s".to_owned(), key: dice.pick(&NAMES).to_owned() };
        // Owners are reused: the same name counts as the same owner, as intended.
        let (owner, lease, keep) = (dice.pick(&NAMES), dice.seconds(10), Duration::from_secs(100_000));
        match dice.roll(5) {
            0 => format!("{:?}", OnceStore::extend(store, &operation, owner, lease, keep).await.unwrap()),
            1 if dice.roll(4) == 0 => {
                let result = Bytes::copy_from_slice(owner.as_bytes());
                format!("{:?}", store.complete(&operation, owner, result, keep).await.unwrap())
            }
            1 | 2 => format!("{:?}", store.fail(&operation, owner).await.unwrap()),
            _ => format!("{:?}", store.begin(&operation, owner, lease, keep).await.unwrap()),
        }
    })
    .await;
}

#[tokio::test]
async fn on_stocks() {
    replay(3, 2_000, async |store, dice| {
        let stock = StockId { name: "x".to_owned(), horizon: Duration::from_secs(20) };
        let id = format!("{}{}", dice.pick(&NAMES), dice.roll(12));
        let quantity = dice.roll(4) + 1;
        let answer = match dice.roll(9) {
            0 => format!("{:?}", store.add(&stock, &id, quantity * 3).await.unwrap()),
            1 => format!("{:?}", store.end(&stock, &id, Ended::Released).await.unwrap()),
            2 | 3 => format!("{:?}", store.end(&stock, &id, Ended::Confirmed).await.unwrap()),
            4 => format!("{:?}", store.sweep(&stock, 2).await.unwrap()),
            _ => format!("{:?}", store.reserve(&stock, &id, quantity, dice.seconds(15)).await.unwrap()),
        };
        format!("{answer} {:?}", store.counts(&stock).await.unwrap())
    })
    .await;
}

#[tokio::test]
async fn on_ledgers() {
    replay(4, 2_000, async |store, dice| {
        let ledger = LedgerId { name: "x".to_owned(), horizon: Duration::from_secs(20), partitions: NonZeroU16::MIN };
        let id = dice.roll(60).to_string();
        let (from, to, amount) = (dice.pick(&NAMES), dice.pick(&NAMES), dice.roll(9) + 1);
        let fence = (dice.roll(3) == 0).then(|| Fence::new(dice.roll(6) * 1_000_000_000_000));
        let posting = match dice.roll(5) {
            0 => Posting { id: &id, from: None, to: Some(to), amount, fence: None, expected: None },
            1 => Posting { id: &id, from: Some(from), to: None, amount, fence: None, expected: None },
            _ if from == to => Posting { id: &id, from: None, to: Some(to), amount: 0, fence, expected: None },
            _ => Posting { id: &id, from: Some(from), to: Some(to), amount, fence, expected: None },
        };
        let answer = store.post(&ledger, posting).await.unwrap();
        format!("{answer:?} {:?}", store.balances(&ledger, &NAMES).await.unwrap())
    })
    .await;
}

/// The steps of transfers between partitions, in an order in which no process would execute them.
#[tokio::test]
async fn on_partitions() {
    let names: Vec<String> = (0..9).map(|nth| nth.to_string()).collect();
    replay(5, 2_000, async |store, dice| {
        let three = NonZeroU16::new(3).unwrap();
        let ledger = LedgerId { name: "x".to_owned(), horizon: Duration::from_secs(20), partitions: three };
        let partition = |dice: &mut Dice| u16::try_from(dice.roll(3)).unwrap();
        let name = |dice: &mut Dice| &*names[usize::try_from(dice.roll(9)).unwrap()];
        let source = partition(dice);
        let page = store.in_transit(&ledger, source, 0, 1_000).await.unwrap();
        let answer = match (dice.roll(6), page.transfers.first()) {
            (0 | 1, Some(first)) => {
                let transfer = &page.transfers[usize::try_from(dice.roll(page.transfers.len() as u64)).unwrap()];
                let (number, to, amount) = (transfer.number, &*transfer.to, transfer.amount);
                let lowest = if dice.roll(2) == 0 { 0 } else { first.number };
                let credits = [Credit { source, number, lowest, to, amount }];
                let credited = store.credit(&ledger, transfer.target, &credits).await.unwrap();
                let settlement = Settlement { number, credited: credited[0] };
                match dice.roll(3) {
                    0 => format!("{credited:?}"),
                    _ => format!("{credited:?} {:?}", store.settle(&ledger, source, &[settlement]).await.unwrap()),
                }
            }
            _ => {
                let mut postings = Vec::new();
                let ids: Vec<String> = (0..=dice.roll(3)).map(|_| dice.roll(80).to_string()).collect();
                for id in &ids {
                    let (from, to, amount) = (name(dice), name(dice), dice.roll(9) + 1);
                    let expected = (dice.roll(5) == 0).then(|| Version::new(1_700_000_000_000_000 + dice.roll(9)));
                    let is_deposit = dice.roll(4) == 0 || from == to;
                    let first = if is_deposit { to } else { from };
                    if postings.is_empty() || ledger.partition_of(first) == source {
                        let from = (!is_deposit).then_some(from);
                        postings.push(Posting { id, from, to: Some(to), amount, fence: None, expected });
                    }
                }
                let first = postings[0].from.or(postings[0].to).unwrap();
                let at = ledger.partition_of(first);
                postings.retain(|one| ledger.partition_of(one.from.or(one.to).unwrap()) == at);
                format!("{:?}", store.post_all(&ledger, at, &postings).await.unwrap())
            }
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let id = dice.roll(80).to_string();
        let read = store.read(&ledger, source, &names, Some(&id)).await.unwrap();
        format!("{page:?} {answer} {read:?}")
    })
    .await;
}
