//! Workers, producers and Redis killed with `kill -9` at random: no acknowledged job is lost, and
//! no job is stuck.

use std::time::Duration;

use tidegate_testkit::{Scratch, scale};

use crate::fleet::{Fleet, Pace};
use crate::location::StoreLocation;
use crate::verdict::{Verdict, assert_settled, leases_beyond_the_first};

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let jobs = u32::try_from(scale(2_000, 20_000)).unwrap();
    let scratch = Scratch::new();
    let location = StoreLocation::sqlite(&scratch);
    let broker = location.broker().await;
    let pace = Pace { pause: Duration::from_millis(scale(200, 50) as u64), run: Duration::from_millis(100) };
    let mut fleet = Fleet::start(&location, jobs, jobs.into(), pace);
    let counts = fleet.kill_until_done(&*broker, async |_| false).await;
    let (verdict, [workers, producers]) = (Verdict::of(&location.directory), fleet.kills);
    drop(fleet);

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
    use crate::child::ACKNOWLEDGED;
    use crate::log_file::{LATE, count, now};
    use crate::torn::{Ghost, is_audited};

    /// With `everysec`, Redis answers before it writes while an fsync of the last second's writes
    /// is in progress: for up to two seconds, according to its documentation. A kill loses those
    /// writes. The kernel keeps what Redis has written.
    const POSTPONED: i64 = 2_000;

    /// Most milliseconds after the last kill until the audit is over. If a worker is killed during
    /// its audit, another worker continues after ten seconds.
    const AUDITED_WITHIN: i64 = 120_000;

    struct Outcome {
        /// Number of jobs, including the ghost's.
        jobs: u32,
        verdict: Verdict,
        counts: QueueCounts,
        kills: Vec<i64>,
        beyond_the_first: u64,
    }

    async fn survive(appendfsync: &str, jobs: u32, kills_of_redis: usize, kept: u64, tears: usize) -> Outcome {
        let scratch = Scratch::new();
        let mut server = RedisServer::builder().set("appendfsync", appendfsync).start().await;
        let location = StoreLocation::redis(&scratch, server.url());
        let broker = location.broker().await;
        // If a fetch is torn, the workers are slower than the producers, so that there are jobs to
        // lose after it.
        let run = Duration::from_millis(if tears > 0 { 50 } else { 5 });
        let mut fleet = Fleet::start(&location, jobs, kept, Pace { pause: Duration::ZERO, run });
        let mut kills = Vec::new();
        let mut ghost = Ghost::new(&location, broker.clone(), jobs);
        let mut torn = 0;
        let counts = fleet.kill_until_done(&*broker, async |fleet| {
            let due = jobs as usize / (kills_of_redis + 1) * (kills.len() + 1);
            if kills.len() < kills_of_redis && count(&location.directory, ACKNOWLEDGED) >= due {
                if kills.len() < tears && ghost.kill_and_tear(&mut server, fleet).await {
                    torn += 1;
                } else {
                    server.kill9();
                }
                kills.push(now());
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..500))).await;
                server.restart().await;
            }
            if kills.len() < kills_of_redis || tears == 0 {
                return kills.len() < kills_of_redis;
            }
            assert!(kills.last().is_none_or(|last| now() - last < AUDITED_WITHIN), "no audit came");
            !is_audited(&server).await
        });
        let counts = counts.await;
        let (verdict, [workers, producers]) = (Verdict::of(&location.directory), fleet.kills);
        drop(fleet);
        println!(
            "appendfsync {appendfsync}; {workers} workers, {producers} producers, and Redis {} times killed, its file {torn} \
             times torn: {}",
            kills.len(),
            verdict.figures(&counts)
        );
        assert_eq!(kills.len(), kills_of_redis);
        assert_eq!(torn, tears, "a step of the ghost was never the last one");
        assert_settled(&counts);
        let beyond_the_first = if counts.done == counts.completed_total {
            leases_beyond_the_first(&*broker).await
        } else {
            counts.reclaimed_total + counts.recovered_total
        };
        Outcome { jobs: ghost.next(), verdict, counts, kills, beyond_the_first }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_redis_that_writes_before_it_answers() {
        let jobs = u32::try_from(scale(10_000, 100_000)).unwrap();
        let survived = survive("always", jobs, scale(2, 10), jobs.into(), 0).await;
        survived.verdict.assert_nothing_lost(jobs, &survived.counts);
        let taken_back = survived.counts.reclaimed_total + survived.counts.recovered_total;
        assert_eq!(survived.beyond_the_first, taken_back);
    }

    /// The file is torn at each restart but the last, so that each torn part runs at the next
    /// restart.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_redis_whose_file_is_torn_at_each_restart() {
        let jobs = u32::try_from(scale(3_000, 100_000)).unwrap();
        let kills = scale(4, 21);
        // The ghost's jobs are kept too.
        let kept = u64::from(jobs) * 2;
        let survived = survive("always", jobs, kills, kept, kills - 1).await;
        survived.verdict.assert_nothing_lost(survived.jobs, &survived.counts);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_redis_that_writes_each_second() {
        let jobs = u32::try_from(scale(20_000, 1_000_000)).unwrap();
        let survived = survive("everysec", jobs, scale(3, 5), u64::from(jobs / 5), 0).await;
        let Outcome { verdict, counts, kills, .. } = survived;
        assert_eq!(verdict.acknowledged, jobs as usize);
        assert_eq!(verdict.ran + verdict.missing.len(), jobs as usize);
        let moments: Vec<_> = kills.iter().map(|kill| kill - POSTPONED - LATE..=kill + LATE).collect();
        verdict.assert_lost_only_of(&moments, &counts);
        // Jobs that ran and were forgotten completely are missing here too.
        assert!(counts.completed_total <= (jobs as usize - verdict.missing.len()) as u64);
    }
}
