//! Tokens wake the callers that wait for work.

use std::time::Duration;

use crate::support::redis::{broker, fresh_prefix};
use crate::support::{QUEUE, job, jobs, reclaim};
use crate::{SOON, fetch, fresh, front};
use tidegate_queue::{
    Broker, EnqueueOptions, Nack, NackAction, QueueSettings, Rate, RedisOptions, Settled, Wake, WorkerId,
};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

/// A caller is cancelled while its connection still listens: another caller must get its token.
#[tokio::test]
async fn an_unusable_token_of_a_due_time_is_given_back() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    assert_eq!(fetch(&broker, &WorkerId::generate(), 1).await.len(), 1);
    let wake = format!("{}wake", front(&server).await);
    server.cli(&["DEL", &wake]).await;
    let queues = [QUEUE.to_owned()];
    let listens = async || server.cli(&["INFO", "clients"]).await.contains("blocked_clients:1").then_some(());
    tokio::select! {
        woken = broker.wait(&queues, SOON * 6) => unreachable!("{woken:?}"),
        listens = poll_until(SOON, listens) => listens.unwrap(),
    }
    let later = EnqueueOptions::new().delay(Duration::from_secs(3_600));
    broker.enqueue(QUEUE, vec![job("later", later)]).await.unwrap();
    let given_back = async || (server.cli(&["LRANGE", &wake, "0", "-1"]).await.trim() == "d").then_some(());
    poll_until(SOON, given_back).await.unwrap();
}

/// Idle workers keep the time of the next token: the worker that took the last token is busy.
#[tokio::test]
async fn a_fetch_that_takes_the_last_tokens_and_leaves_jobs_wakes_a_waiter() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    let rate = Rate::new(3, Duration::from_secs(3_600)).ok();
    broker.configure(QUEUE, QueueSettings { rate, ..QueueSettings::default() }).await.unwrap();
    broker.enqueue(QUEUE, jobs(0..9)).await.unwrap();
    let wake = format!("{}wake", front(&server).await);
    let tokens = async || server.cli(&["LRANGE", &wake, "0", "-1"]).await.trim().to_owned();
    // First by the path of plain jobs, then by that of returned jobs.
    let first = fetch(&broker, &worker, 1).await;
    server.cli(&["DEL", &wake]).await;
    assert_eq!(fetch(&broker, &worker, 2).await.len(), 2);
    assert_eq!(tokens().await, "d");
    let rate = Rate::new(9, Duration::from_secs(3_600)).ok();
    broker.configure(QUEUE, QueueSettings::default()).await.unwrap();
    broker.configure(QUEUE, QueueSettings { rate, ..QueueSettings::default() }).await.unwrap();
    let release = Nack { token: first[0].token.clone(), action: NackAction::Release };
    assert_eq!(broker.nack(QUEUE, vec![release]).await.unwrap(), [Settled::Now]);
    broker.enqueue(QUEUE, jobs(10..19)).await.unwrap();
    server.cli(&["DEL", &wake]).await;
    assert_eq!(fetch(&broker, &worker, 9).await.len(), 9);
    assert_eq!(tokens().await, "d");
}

/// Until then a caller listens to the partitions that this process would create.
#[tokio::test]
async fn a_waiter_is_woken_by_each_partition_that_another_process_creates() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let waiting = broker(&server.url(), &prefix, RedisOptions::new()).await;
    let making = broker(&server.url(), &prefix, RedisOptions::new().partitions(4)).await;
    let queues = [QUEUE.to_owned()];
    let make = async {
        let listens = async || server.cli(&["INFO", "clients"]).await.contains("blocked_clients:1").then_some(());
        poll_until(SOON, listens).await.unwrap();
        making.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    };
    let wait = tokio::time::timeout(SOON, waiting.wait(&queues, SOON * 6));
    let (woken, ()) = tokio::join!(wait, make);
    assert_eq!(woken.unwrap().unwrap(), Wake::Ready);
    assert_eq!(server.cli(&["KEYS", "*:{q:work:0}:ready:2"]).await.trim(), "", "it is in another one");
}

/// A process took a token and crashed: the jobs must not wait until the next one is enqueued.
#[tokio::test]
async fn a_lost_token_is_replaced_by_upkeep() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let broker = broker(&server.url(), &prefix, RedisOptions::new()).await;
    let wake = format!("{prefix}:{{q:work:0}}:wake");
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "r");
    broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "r");
    fetch(&broker, &WorkerId::generate(), 1).await;
    let soon = EnqueueOptions::new().delay(Duration::from_millis(50));
    broker.enqueue(QUEUE, vec![job("soon", soon)]).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "d");
    let token = async || {
        broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
        (server.cli(&["LPOP", &wake]).await.trim() == "d").then_some(())
    };
    poll_until(SOON, token).await.unwrap();
}
