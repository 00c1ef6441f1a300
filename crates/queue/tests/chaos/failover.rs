//! A primary dies and the Sentinels choose another: what it had acknowledged and not yet passed on is lost, counted here, and
//! nothing else.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_testkit::redis::Sentinels;
use tidegate_testkit::{Scratch, poll_until, scale};

use crate::book::{LATE, count, now};
use crate::child::ACKNOWLEDGED;
use crate::crew::{Crew, Pace};
use crate::place::{LONG, Place};
use crate::verdict::{Verdict, assert_settled};

/// Replication is asynchronous. On one machine nothing would show of it, so the last moments don't reach the replicas.
const LAG: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_no_more_than_the_last_moments() {
    let jobs = u32::try_from(scale(10_000, 200_000)).unwrap();
    let failovers = scale(1, 5);
    let scratch = Scratch::new();
    let mut sentinels = Sentinels::start().await;
    let place = Place::redis(&scratch, sentinels.url());
    let broker = place.broker().await;
    // Slower than the producers, so that there is something waiting to be lost.
    let pace = Pace { pause: Duration::from_millis(20), run: Duration::from_millis(50) };
    let mut crew = Crew::start(&place, jobs, jobs.into(), pace);
    let mut lost: Vec<RangeInclusive<i64>> = Vec::new();
    let counts = crew.kill_until_done(&*broker, async || {
        let due = jobs as usize / (failovers + 1) * (lost.len() + 1);
        if lost.len() < failovers && count(&place.directory, ACKNOWLEDGED) >= due {
            let port = sentinels.primary().await.port();
            let cut = now();
            for replica in sentinels.servers().iter().filter(|server| server.port() != port) {
                // Nobody is there.
                replica.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
            }
            tokio::time::sleep(LAG).await;
            let more = count(&place.directory, ACKNOWLEDGED) + 200;
            poll_until(LONG, async || (count(&place.directory, ACKNOWLEDGED) >= more).then_some(())).await.unwrap();
            sentinels.servers().iter_mut().find(|server| server.port() == port).unwrap().kill9();
            lost.push(cut - LATE..=now() + LATE);
            sentinels.wait_for_primary_other_than(port).await;
            let old = sentinels.servers().iter_mut().find(|server| server.port() == port).unwrap();
            old.restart().await;
        }
        lost.len() < failovers
    });
    let counts = counts.await;
    let verdict = Verdict::of(&place.directory);
    let [workers, producers] = crew.kills;
    drop(crew);
    println!(
        "{} failovers, {workers} workers and {producers} producers killed: {}",
        lost.len(),
        verdict.figures(&counts)
    );
    assert_eq!(lost.len(), failovers);
    assert_settled(&counts);
    assert_eq!(verdict.acknowledged, jobs as usize);
    assert_eq!(verdict.ran + verdict.missing.len(), jobs as usize);
    verdict.assert_lost_only_of(&lost, &counts);
    assert!(!verdict.missing.is_empty(), "nothing was under way");
}
