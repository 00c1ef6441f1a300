//! A primary crashes and the Sentinels promote another server. The writes that it had acknowledged
//! but not replicated are lost and counted here, and nothing else is lost.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_queue::QueueCounts;
use tidegate_testkit::redis::{Sentinels, redis_cli};
use tidegate_testkit::{Scratch, poll_until, scale};

use crate::child::ACKNOWLEDGED;
use crate::fleet::{Fleet, Pace};
use crate::location::{LONG, StoreLocation};
use crate::log_file::{LATE, count, now};
use crate::verdict::{Verdict, assert_settled};

/// Replication is asynchronous. On one machine the delay would be too short to notice, so the last
/// writes are kept from the replicas.
const LAG: Duration = Duration::from_millis(200);

/// Time without an answer before a primary is replaced. On a busy machine a server easily does not
/// answer for half a second.
const DOWN_AFTER: &str = "3000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_no_more_than_the_last_moments() {
    for _ in 0..3 {
        if let Some((verdict, lost, counts)) = fail_over().await {
            verdict.assert_lost_only_of(&lost, &counts);
            assert!(!verdict.missing.is_empty(), "nothing was under way");
            return;
        }
        println!("a primary was replaced though it lived: once more");
    }
    panic!("primaries were replaced though they lived");
}

async fn patient_sentinels() -> Sentinels {
    let sentinels = Sentinels::start().await;
    let url = sentinels.url();
    let (hosts, name) = url.trim_start_matches("redis-sentinel://").split_once('/').unwrap();
    for host in hosts.split(',') {
        let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
        let set = ["SENTINEL", "SET", name, "down-after-milliseconds", DOWN_AFTER];
        assert_eq!(redis_cli(port, &set).await, "OK");
    }
    sentinels
}

/// Returns the times at which lost writes were acknowledged. `None` if servers were replaced that
/// the test had not killed.
async fn fail_over() -> Option<(Verdict, Vec<RangeInclusive<i64>>, QueueCounts)> {
    let jobs = u32::try_from(scale(10_000, 200_000)).unwrap();
    let failovers = scale(1, 5);
    let scratch = Scratch::new();
    let mut sentinels = patient_sentinels().await;
    let location = StoreLocation::redis(&scratch, sentinels.url());
    let broker = location.broker().await;
    // Slower than the producers, so that there are waiting jobs to lose.
    let pace = Pace { pause: Duration::from_millis(20), run: Duration::from_millis(50) };
    let mut fleet = Fleet::start(&location, jobs, jobs.into(), pace);
    let mut lost: Vec<RangeInclusive<i64>> = Vec::new();
    let mut primary = sentinels.primary().await.port();
    let mut is_clean = true;
    let counts = fleet.kill_until_done(&*broker, async |_| {
        let acknowledged = || count(&location.directory, ACKNOWLEDGED);
        if lost.len() < failovers && acknowledged() >= jobs as usize / (failovers + 1) * (lost.len() + 1) {
            let port = sentinels.primary().await.port();
            is_clean &= port == primary;
            let cut = now();
            for replica in sentinels.servers().iter().filter(|server| server.port() != port) {
                // No server is at that address.
                replica.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
            }
            tokio::time::sleep(LAG).await;
            let more = acknowledged() + 200;
            poll_until(LONG, async || (acknowledged() >= more).then_some(())).await.unwrap();
            sentinels.servers().iter_mut().find(|server| server.port() == port).unwrap().kill9();
            lost.push(cut - LATE..=now() + LATE);
            sentinels.wait_for_primary_other_than(port).await;
            primary = sentinels.primary().await.port();
            let old = sentinels.servers().iter_mut().find(|server| server.port() == port).unwrap();
            old.restart().await;
        }
        lost.len() < failovers
    });
    let counts = counts.await;
    let verdict = Verdict::of(&location.directory);
    let [workers, producers] = fleet.kills;
    drop(fleet);
    println!("{failovers} failovers, {workers} workers and {producers} producers killed: {}", verdict.figures(&counts));
    assert_settled(&counts);
    assert_eq!(verdict.acknowledged, jobs as usize);
    assert_eq!(verdict.ran + verdict.missing.len(), jobs as usize);
    is_clean &= sentinels.primary().await.port() == primary;
    is_clean.then_some((verdict, lost, counts))
}
