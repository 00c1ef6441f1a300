//! Workers, producers and Redis killed with -9 at random: no acknowledged job is lost, and nothing is stuck.

use std::time::Duration;

use tidegate_testkit::{Scratch, scale};

use crate::crew::{Crew, Pace};
use crate::place::Place;
use crate::verdict::{Verdict, assert_settled, leases_beyond_the_first};

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let jobs = u32::try_from(scale(2_000, 20_000)).unwrap();
    let scratch = Scratch::new();
    let place = Place::sqlite(&scratch);
    let broker = place.broker().await;
    let pace = Pace { pause: Duration::from_millis(scale(200, 50) as u64), run: Duration::from_millis(100) };
    let mut crew = Crew::start(&place, jobs, jobs.into(), pace);
    let counts = crew.kill_until_done(&*broker, async || false).await;
    let (verdict, [workers, producers]) = (Verdict::of(&place.directory), crew.kills);
    drop(crew);

    println!("{workers} workers and {producers} producers killed: {}", verdict.figures(&counts));
    assert_settled(&counts);
    verdict.assert_nothing_lost(jobs, &counts);
    assert_eq!(leases_beyond_the_first(&*broker).await, counts.reclaimed_total);
}

#[cfg(feature = "redis")]
mod redis {
    use tidegate_queue::QueueCounts;
    use tidegate_testkit::redis::RedisServer;

    use super::*;
    use crate::book::{LATE, count, now};
    use crate::child::ACKNOWLEDGED;

    /// With `everysec` Redis answers before it writes while the last second's writes are on their way to the disk: up to two
    /// seconds, says its documentation. Those a kill takes; what it has written, the kernel keeps.
    const POSTPONED: i64 = 2_000;

    struct Outcome {
        verdict: Verdict,
        counts: QueueCounts,
        kills: Vec<i64>,
        beyond_the_first: u64,
    }

    async fn survive(appendfsync: &str, jobs: u32, kills_of_redis: usize, kept: u64) -> Outcome {
        let scratch = Scratch::new();
        let mut server = RedisServer::builder().set("appendfsync", appendfsync).start().await;
        let place = Place::redis(&scratch, server.url());
        let broker = place.broker().await;
        let pace = Pace { pause: Duration::ZERO, run: Duration::from_millis(5) };
        let mut crew = Crew::start(&place, jobs, kept, pace);
        let mut kills = Vec::new();
        let counts = crew.kill_until_done(&*broker, async || {
            let due = jobs as usize / (kills_of_redis + 1) * (kills.len() + 1);
            if kills.len() < kills_of_redis && count(&place.directory, ACKNOWLEDGED) >= due {
                server.kill9();
                kills.push(now());
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..500))).await;
                server.restart().await;
            }
            kills.len() < kills_of_redis
        });
        let counts = counts.await;
        let (verdict, [workers, producers]) = (Verdict::of(&place.directory), crew.kills);
        drop(crew);
        println!(
            "appendfsync {appendfsync}; {workers} workers, {producers} producers, and Redis {} times killed: {}",
            kills.len(),
            verdict.figures(&counts)
        );
        assert_eq!(kills.len(), kills_of_redis);
        assert_settled(&counts);
        let beyond_the_first = if counts.done == counts.completed_total {
            leases_beyond_the_first(&*broker).await
        } else {
            counts.reclaimed_total
        };
        Outcome { verdict, counts, kills, beyond_the_first }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_redis_that_writes_before_it_answers() {
        let jobs = u32::try_from(scale(10_000, 100_000)).unwrap();
        let survived = survive("always", jobs, scale(2, 10), jobs.into()).await;
        survived.verdict.assert_nothing_lost(jobs, &survived.counts);
        assert_eq!(survived.beyond_the_first, survived.counts.reclaimed_total);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_redis_that_writes_each_second() {
        let jobs = u32::try_from(scale(20_000, 1_000_000)).unwrap();
        let survived = survive("everysec", jobs, scale(3, 5), u64::from(jobs / 5)).await;
        let Outcome { verdict, counts, kills, .. } = survived;
        assert_eq!(verdict.acknowledged, jobs as usize);
        assert_eq!(verdict.ran + verdict.missing.len(), jobs as usize);
        let moments: Vec<_> = kills.iter().map(|kill| kill - POSTPONED - LATE..=kill + LATE).collect();
        verdict.assert_lost_only_of(&moments, &counts);
        // What ran and was forgotten altogether is missing here too.
        assert!(counts.completed_total <= (jobs as usize - verdict.missing.len()) as u64);
    }
}
