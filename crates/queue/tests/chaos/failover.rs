//! A primary dies and the Sentinels choose another: what it had acknowledged and not yet passed on is lost, counted here, and
//! nothing else.

use std::time::Duration;

use tidegate_testkit::redis::Sentinels;
use tidegate_testkit::{Scratch, scale};

use crate::book::now;
use crate::crew::Crew;
use crate::place::Place;
use crate::verdict::{Verdict, assert_settled};

/// Replication is asynchronous: so much before its end a busy primary may not have passed on.
const NOT_PASSED_ON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_no_more_than_the_last_moments() {
    let jobs = u32::try_from(scale(10_000, 200_000)).unwrap();
    let failovers = scale(1, 5);
    let scratch = Scratch::new();
    let mut sentinels = Sentinels::start().await;
    let place = Place::redis(&scratch, sentinels.url());
    let broker = place.broker().await;
    let mut crew = Crew::start(&place, jobs, Duration::from_secs(2), jobs.into());
    let mut kills = Vec::new();
    let counts = crew.kill_until_done(&*broker, async |crew| {
        let due = jobs as usize / (failovers + 1) * (kills.len() + 1);
        if kills.len() < failovers && crew.acknowledged() >= due {
            let primary = sentinels.primary().await;
            let port = primary.port();
            primary.kill9();
            kills.push(now());
            sentinels.wait_for_primary_other_than(port).await;
            let old = sentinels.servers().iter_mut().find(|server| server.port() == port).unwrap();
            old.restart().await;
        }
    });
    let counts = counts.await;
    let verdict = Verdict::of(&place.directory);
    let [workers, producers] = crew.kills;
    drop(crew);
    println!(
        "{} failovers, {workers} workers and {producers} producers killed: {}",
        kills.len(),
        verdict.figures(&counts)
    );
    assert_eq!(kills.len(), failovers);
    assert_settled(&counts);
    assert_eq!(verdict.acknowledged, jobs as usize);
    assert_eq!(verdict.ran + verdict.missing.len(), jobs as usize);
    verdict.assert_lost_only_within(NOT_PASSED_ON, &kills, &counts);
}
