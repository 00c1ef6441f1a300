//! Redis killed and restarted many times: workers lease jobs again within two seconds.

use std::time::Duration;

use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Scratch, poll_until, scale};

use crate::child::{How, QUEUE, RUNS, Task, job};
use crate::location::{LONG, StoreLocation, until};
use crate::log_file::{count, now, read};

const AGAIN_WITHIN: i64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_fetch_again_within_two_seconds() {
    let rounds = u32::try_from(scale(5, 200)).unwrap();
    let scratch = Scratch::new();
    let mut server = RedisServer::start().await;
    let location = StoreLocation::redis(&scratch, server.url());
    let broker = location.broker().await;
    let worker = Task::work(&location, Duration::from_secs(30), 10, How::AtOnce);
    let _workers: Vec<_> = (0..2).map(|nth| worker.start(&format!("worker {nth}"))).collect();
    let enqueue = async |number| {
        let stored = async || broker.enqueue(QUEUE, vec![job(number)]).await.ok();
        poll_until(LONG, stored).await.unwrap();
    };
    enqueue(rounds).await;
    until(&*broker, LONG, |counts| counts.done == 1).await;
    poll_until(LONG, async || (broker.workers().await.ok()?.len() == 2).then_some(())).await.unwrap();

    let mut took = Vec::new();
    for round in 0..rounds {
        server.kill9();
        server.restart().await;
        let answers = now();
        enqueue(round).await;
        let ran = async || (count(&location.directory, RUNS) > round as usize + 1).then_some(());
        poll_until(LONG, ran).await.unwrap();
        let runs = read(&location.directory, RUNS);
        took.push(runs.iter().find(|run| run.job == round).unwrap().at - answers);
    }
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("from Redis answering to a new job's run, {rounds} times: median {median} ms, longest {longest} ms");
    assert!(longest < AGAIN_WITHIN, "{took:?}");
    let counts = until(&*broker, LONG, |counts| counts.leased == 0).await;
    assert_eq!((counts.completed_total, counts.reclaimed_total), (u64::from(rounds) + 1, 0));
}
