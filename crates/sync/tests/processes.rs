//! Real processes with one Redis, killed with -9 and suspended: no two write past a fencing token,
//! no two hold one lock, no sum changes, nothing is sold twice. The children are this test binary.
//! `cargo xtask prove` runs them at full size.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

#[path = "support/children.rs"]
mod children;
mod support;

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use children::{Children, Refusal, Task, again};
use support::{connect, keyspace};
use tidegate_redis::Command;
use tidegate_sync::{Ended, Ledger, LedgerError, Lock, RedisStore, Reserve, Stock, StockError, Transfer};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{poll_until, scale};
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(60);
const PROOF: Duration = Duration::from_secs(580);

async fn store(server: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(connect(server.url()).await, keyspace()))
}

/// Repeatedly acquires the lock and writes with its token, without ever checking whether it is
/// still held, like a careless program, or one that was suspended after the check.
async fn write_under_a_lock(task: Task) {
    let store = Arc::new(task.store().await);
    let ledger = Ledger::new(store.clone(), "book");
    let lock = Lock::new(store, "book").lease(Duration::from_millis(300));
    task.note("out");
    for round in 0_u64.. {
        let guard = lock.acquire(LONG).await.unwrap();
        task.note("in");
        for step in 0..4 {
            let id = format!("{}-{round}-{step}", std::process::id());
            let transfer = Transfer::new(id, "paper", "ink", 1).fence(guard.fence());
            match again(async || ledger.transfer(transfer.clone()).await).await {
                Ok(balances) => task.note(&format!("wrote {} {}", balances.to, guard.fence())),
                Err(Refusal::Ledger(LedgerError::Fenced { .. })) => task.note("refused"),
                Err(other) => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        task.note("out");
        drop(guard);
    }
}

#[tokio::test]
async fn killed_and_suspended_holders_never_write_past_a_later_one() {
    if let Some(task) = Task::given() {
        return write_under_a_lock(task).await;
    }
    let paper = 1_000_000;
    let server = RedisServer::start().await;
    let ledger = Ledger::new(store(&server).await, "book");
    ledger.deposit("paper", "paper", paper).await.unwrap();
    ledger.deposit("ink", "ink", 0).await.unwrap();
    let this = "killed_and_suspended_holders_never_write_past_a_later_one";
    let mut children = Children::start(this, &server.url(), 4, 0);
    let ink = async || ledger.balances(&["ink"]).await.map_or(0, |balances| balances[0].unwrap());
    let written = async |from: u64, more: u64| {
        poll_until(LONG, async || (ink().await >= from + more).then_some(())).await.unwrap();
    };

    // A killed process may have released the lock before, so this repeats until enough holders were
    // killed.
    let (wanted, mut kills) = (scale(3, 40), 0);
    for round in 0.. {
        written(ink().await, 4).await;
        let is_inside = |child: &usize| children.notes_of(*child).last().is_some_and(|line| line != "out");
        let hit = poll_until(LONG, async || (0..4).find(is_inside)).await.unwrap();
        if round % 2 == 1 {
            children.processes[hit].kill9().unwrap();
            kills += 1;
            written(ink().await, 8).await;
            let before = children.notes_of(hit).len();
            children.processes[hit].restart().unwrap();
            let is_back = async || (children.notes_of(hit).len() > before).then_some(());
            poll_until(LONG, is_back).await.unwrap();
        } else {
            children.processes[hit].pause().await.unwrap();
            written(ink().await, 8).await;
            children.processes[hit].resume().unwrap();
        }
        let refused = children.notes().iter().filter(|line| *line == "refused").count();
        if refused >= wanted && kills >= wanted {
            break;
        }
    }
    let notes = children.kill();

    // The balance after each write numbers the writes in order.
    let mut writes: Vec<(u64, u64)> = notes
        .iter()
        .filter_map(|line| line.strip_prefix("wrote ")?.split_once(' '))
        .map(|(nth, token)| (nth.parse().unwrap(), token.parse().unwrap()))
        .collect();
    writes.sort_unstable();
    assert!(writes.windows(2).all(|two| two[0].0 < two[1].0), "no write was made twice");
    let stale = writes.windows(2).find(|two| two[0].1 > two[1].1);
    assert_eq!(stale, None, "a token came after a greater one");
    let last = ink().await;
    // A process may be killed between its write and its note.
    assert!(last <= writes.len() as u64 + kills as u64 + 4, "{last} writes, {} noted", writes.len());
    let sum: u64 = ledger.balances(&["paper", "ink"]).await.unwrap().into_iter().flatten().sum();
    assert_eq!(sum, paper);
}

/// Reads a number and writes it plus one, in two steps that only the lock makes atomic.
async fn count_under_a_lock(task: Task) {
    let client = connect(&task.url).await;
    let lock = Lock::new(Arc::new(task.store().await), "count");
    for _ in 0..task.size {
        let guard = lock.acquire(LONG).await.unwrap();
        let get = Command::new("GET").key("count").idempotent();
        let now = again(async || client.execute(get.clone()).await.map_err(waiting)).await.unwrap();
        let next = if now.is_nil() { 1 } else { now.as_int().unwrap() + 1 };
        let set = Command::new("SET").key("count").arg(next).idempotent();
        again(async || client.execute(set.clone()).await.map_err(waiting)).await.unwrap();
        assert!(guard.is_held(), "the machine stood still for longer than a lease");
        task.note(&guard.fence().to_string());
        // A failed release is retried in the background.
        let _ = guard.release().await;
    }
}

fn waiting(error: tidegate_redis::Error) -> tidegate_sync::StoreError {
    let is_transient = error.is_transient();
    let error = tidegate_sync::StoreError::new("counting", error);
    if is_transient { error.transient() } else { error }
}

#[tokio::test]
async fn acquisitions_by_four_processes_never_overlap() {
    if let Some(task) = Task::given() {
        return count_under_a_lock(task).await;
    }
    let acquisitions = scale(4_000, 100_000);
    let server = RedisServer::builder().set("appendonly", "no").start().await;
    let this = "acquisitions_by_four_processes_never_overlap";
    let mut children = Children::start(this, &server.url(), 4, acquisitions / 4);
    children.join(PROOF).await;
    assert_eq!(server.cli(&["GET", "count"]).await, acquisitions.to_string());
    let mut tokens = children.notes();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), acquisitions);
}

const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn transfer_until_killed(task: Task, partitions: NonZeroU16) {
    let ledger = Ledger::new(Arc::new(task.store().await), "points").partitions(partitions);
    for nth in 0_usize.. {
        let (from, to) = (ACCOUNTS[(task.number + nth) % 5], ACCOUNTS[(task.number + nth * 3 + 1) % 5]);
        let id = format!("{}-{nth}", std::process::id());
        let transfer = Transfer::new(id, from, to, nth as u64 % 40 + 1);
        match again(async || ledger.transfer(transfer.clone()).await).await {
            Ok(_) => task.note("moved"),
            Err(Refusal::Ledger(LedgerError::Overdrawn { .. } | LedgerError::SameAccount { .. })) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_sum_of_all_accounts_never_changes_also_when_processes_die() {
    if let Some(task) = Task::given() {
        return transfer_until_killed(task, NonZeroU16::MIN).await;
    }
    let server = RedisServer::start().await;
    let ledger = Ledger::new(store(&server).await, "points");
    for name in ACCOUNTS {
        ledger.deposit(&format!("open-{name}"), name, 100).await.unwrap();
    }
    let this = "the_sum_of_all_accounts_never_changes_also_when_processes_die";
    let mut children = Children::start(this, &server.url(), 3, 0);
    let check = async || {
        let balances = again(async || ledger.balances(&ACCOUNTS).await).await.unwrap();
        assert_eq!(balances.into_iter().flatten().sum::<u64>(), 500);
    };
    for round in 0..scale(9, 200) {
        let before = children.notes().len();
        let moved = async || {
            check().await;
            (children.notes().len() >= before + 20).then_some(())
        };
        poll_until(LONG, moved).await.unwrap();
        children.processes[round % 3].kill9().unwrap();
        check().await;
        children.processes[round % 3].restart().unwrap();
    }
    children.kill();
    check().await;
}

/// A killed process leaves its transfers between debit and settlement in transit, until another
/// process completes them.
#[tokio::test]
async fn the_sum_over_partitions_never_changes_also_when_processes_die() {
    let partitions = NonZeroU16::new(4).unwrap();
    if let Some(task) = Task::given() {
        return transfer_until_killed(task, partitions).await;
    }
    let server = RedisServer::start().await;
    let ledger = Ledger::new(store(&server).await, "points").partitions(partitions);
    for name in ACCOUNTS {
        ledger.deposit(&format!("open-{name}"), name, 100).await.unwrap();
    }
    let this = "the_sum_over_partitions_never_changes_also_when_processes_die";
    let mut children = Children::start(this, &server.url(), 3, 0);
    let in_transit = async || {
        let totals = again(async || ledger.totals().await).await.unwrap();
        assert_eq!((totals.deposited, totals.withdrawn), (500, 0));
        assert!(totals.in_transit >= 0);
        totals.in_transit
    };
    let at_rest = async || {
        let sum: u64 = again(async || ledger.balances(&ACCOUNTS).await).await.unwrap().into_iter().flatten().sum();
        assert_eq!(i128::from(sum) + in_transit().await, 500);
    };
    // All are killed at once, so that no amount moves while the sum is computed.
    let (mut left, mut round) = (0, 0);
    while round < scale(6, 150) || left == 0 {
        let before = children.notes().len();
        let moved = async || {
            in_transit().await;
            (children.notes().len() >= before + 30).then_some(())
        };
        poll_until(LONG, moved).await.unwrap();
        for process in &mut children.processes {
            process.kill9().unwrap();
        }
        at_rest().await;
        if round % 2 == 0 {
            let completed = again(async || ledger.complete_transfers(1_000).await).await.unwrap();
            assert_eq!((completed.returned, completed.left), (0, 0));
            left += completed.arrived;
            at_rest().await;
            assert_eq!(in_transit().await, 0);
        }
        for process in &mut children.processes {
            process.restart().unwrap();
        }
        round += 1;
    }
    children.kill();
    again(async || ledger.complete_transfers(1_000).await).await.unwrap();
    at_rest().await;
    assert_eq!(in_transit().await, 0);
}

/// Every tenth order expires, every tenth is released, the others are confirmed.
async fn order(task: &Task, stock: &Stock, nth: usize) {
    let id = format!("order-{nth}");
    let ttl = Duration::from_secs(3);
    match again(async || stock.reserve(&id, 1, ttl).await).await.unwrap() {
        Reserve::Reserved { .. } => {}
        Reserve::SoldOut { .. } => return task.note("none left"),
        Reserve::Ended(_) => return,
    }
    let ended = match nth % 10 {
        0 => return,
        1 => again(async || stock.release(&id).await).await,
        _ => again(async || stock.confirm(&id).await).await,
    };
    match ended {
        Ok(()) if nth % 10 > 1 => task.note(&format!("sold {nth}")),
        Ok(()) | Err(Refusal::Stock(StockError::Expired { .. })) => {}
        Err(other) => panic!("{other:?}"),
    }
}

async fn order_all(task: Task) {
    let stock = Stock::new(Arc::new(task.store().await), "sale");
    let (task, stock) = (Rc::new(task), Rc::new(stock));
    let buyers = LocalSet::new();
    for buyer in 0..16 {
        let (task, stock) = (task.clone(), stock.clone());
        buyers.spawn_local(async move {
            // Three processes with sixteen buyers each share the orders.
            for nth in (task.number * 16 + buyer..task.size).step_by(3 * 16) {
                order(&task, &stock, nth).await;
            }
        });
    }
    buyers.await;
}

/// Sells to three processes, one of which is killed and restarted. Returns the stock when no
/// reservation is open.
async fn sell(test: &str, server: &RedisServer, quantity: usize, orders: usize) -> (Stock, Children) {
    let stock = Stock::new(store(server).await, "sale");
    stock.add("all", quantity as u64).await.unwrap();
    let mut children = Children::start(test, &server.url(), 3, orders);
    let is_under_way = async || (children.notes_of(0).len() >= quantity.min(orders) / 10).then_some(());
    poll_until(LONG, is_under_way).await.unwrap();
    children.processes[0].kill9().unwrap();
    children.processes[0].restart().unwrap();
    children.join(PROOF).await;
    let is_settled = async || {
        again(async || stock.sweep(500).await).await.unwrap();
        let counts = again(async || stock.counts().await).await.unwrap();
        assert_eq!(counts.available + counts.reserved + counts.sold, quantity as u64);
        (counts.reserved == 0).then_some(())
    };
    poll_until(LONG, is_settled).await.unwrap();
    (stock, children)
}

#[tokio::test]
async fn ten_thousand_in_stock_are_each_sold_released_or_expired_once() {
    if let Some(task) = Task::given() {
        return order_all(task).await;
    }
    const ALL: usize = 10_000;
    let server = RedisServer::builder().set("appendonly", "no").start().await;
    let this = "ten_thousand_in_stock_are_each_sold_released_or_expired_once";
    let (stock, children) = sell(this, &server, ALL, ALL).await;
    let counts = stock.counts().await.unwrap();
    assert_eq!(counts.sold + counts.released + counts.expired, ALL as u64, "{counts:?}");
    assert_eq!(counts.available, counts.released + counts.expired);
    assert!(counts.released > 0 && counts.expired > 0);

    // Each order's own record agrees with the counts.
    let mut endings: HashMap<Ended, u64> = HashMap::new();
    for nth in 0..ALL {
        match stock.reserve(&format!("order-{nth}"), 1, LONG).await.unwrap() {
            Reserve::Ended(how) => *endings.entry(how).or_default() += 1,
            other => panic!("order {nth}: {other:?}"),
        }
    }
    assert_eq!(endings[&Ended::Confirmed], counts.sold);
    assert_eq!(endings[&Ended::Released], counts.released);
    assert_eq!(endings[&Ended::Expired], counts.expired);
    let mut sold = children.notes();
    let noted = sold.len();
    sold.sort_unstable();
    sold.dedup();
    assert_eq!(sold.len(), noted, "nobody was told twice that an order was sold");
    assert!(counts.sold - noted as u64 <= 16, "only what the killed process was at is missing in its notes");
}

#[tokio::test]
async fn more_orders_than_stock_sell_no_more_than_there_is() {
    if let Some(task) = Task::given() {
        return order_all(task).await;
    }
    let (quantity, orders) = (scale(300, 10_000), scale(1_500, 50_000));
    let server = RedisServer::builder().set("appendonly", "no").start().await;
    let this = "more_orders_than_stock_sell_no_more_than_there_is";
    let (stock, children) = sell(this, &server, quantity, orders).await;
    let counts = stock.counts().await.unwrap();
    assert_eq!(counts.sold + counts.available, quantity as u64);
    let notes = children.notes();
    assert!(notes.iter().any(|line| line == "none left"));
    let noted = notes.iter().filter(|line| line.starts_with("sold ")).count() as u64;
    assert!(noted <= counts.sold && counts.sold - noted <= 16, "{noted} noted, {counts:?}");
}
