//! A crash tears the effects of a script in the append-only file of Redis. No job is lost, and no
//! job that was acknowledged as done runs again.
//!
//! After two restarts, the first part of the script's effects has run, although the live server had
//! never seen it. So each first part of each script is replayed here in three ways: alone, followed
//! by the same complete script, and followed by all operations of workers without the script.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "torn/audit.rs"]
mod audit;
#[path = "torn/damage.rs"]
mod damage;
#[path = "torn/fixture.rs"]
mod fixture;
#[path = "torn/reuse.rs"]
mod reuse;
#[path = "torn/step.rs"]
mod step;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use fixture::{Fixture, IDS};
use step::{STEPS, Step};
use support::{Bench, LEASE, QUEUE, ack, jobs};
use tidegate_queue::{JobId, WorkerId};
use tidegate_testkit::redis::RedisServer;

/// Runs a step, and tears its effects at each position.
async fn torn(fixture: &Fixture, step: Step) -> u64 {
    let mut prior = fixture.effects.clone();
    fixture.restore(&[&prior]).await;
    prior.extend(fixture.effects_of(fixture.prepare(step)).await);
    let script = fixture.effects_of(fixture.step(step)).await;

    let over: BTreeSet<String> = step.over().iter().map(|name| fixture.id(name).to_string()).collect();
    let mut finished_ids = over.clone();
    fixture.restore(&[&prior]).await;
    let finished = fixture.effects_of(async { finished_ids.extend(fixture.go_on_without(step).await) }).await;
    let others = ["dead", "gone"].map(str::to_owned);
    let ended = finished_ids.iter().chain(&others).collect::<BTreeSet<_>>().len();
    assert_eq!(ended, IDS.len() - 1, "all but the cancelled one: {finished_ids:?}");

    let mut recovered = 0;
    for effects in 0..=script.len() {
        let part = &script[..effects];
        let case = |how: &str| format!("{step:?} torn after {effects} of {script:?}, {how}");
        fixture.restore(&[&prior, part]).await;
        recovered += fixture.check(step, &over, step.removed(), &case("alone")).await;
        fixture.restore(&[&prior, part, &script]).await;
        recovered += fixture.check(step, &over, step.removed(), &case("and repeated")).await;
        fixture.restore(&[&prior, part, &finished]).await;
        let gone = step.removed_for_good();
        recovered += fixture.check(step, &finished_ids, gone, &case("and all jobs done without it")).await;
    }
    recovered
}

async fn tear_all(steps: &[Step]) -> u64 {
    let fixture = Fixture::new().await;
    let mut recovered = 0;
    for step in steps {
        recovered += torn(&fixture, *step).await;
    }
    recovered
}

macro_rules! part {
    ($($name:ident: $range:expr),* $(,)?) => { $(
        #[tokio::test]
        async fn $name() {
            let recovered = tear_all(&STEPS[$range]).await;
            // If popping a list fails, jobs lose their entry, and the audit finds them.
            assert!(recovered > 0 || !STEPS[$range].contains(&Step::Fetch), "the audit had nothing to do");
        }
    )* };
}

part! {
    no_part_of_an_enqueue_loses_a_job: 0..4,
    no_part_of_a_fetch_or_an_ack_loses_a_job: 4..8,
    no_part_of_a_nack_loses_a_job: 8..15,
    no_part_of_a_renewal_loses_a_job: 15..19,
    no_part_of_a_promotion_or_reclaim_loses_a_job: 19..22,
    no_part_of_a_removal_loses_a_job: 22..25,
    no_part_of_an_audit_loses_a_job: 25..27,
    no_part_of_an_operation_loses_a_job: 27..38,
}

/// The server's own restart tears the file, twice in a row.
#[tokio::test]
async fn a_file_torn_twice_in_a_row_loses_no_job() {
    for (first, second) in [(1, 1), (2, 2), (1, 3), (3, 1), (4, 4)] {
        let mut server = RedisServer::start().await;
        let bench = Bench::on_redis(&server.url()).await;
        bench.broker.enqueue(QUEUE, jobs(0..20)).await.unwrap();
        let done = bench.fetch(5).await;
        bench.exchange(done.iter().map(|job| ack(&job.token)).collect(), 0).await;
        for effects in [first, second] {
            // Its reply is ignored.
            bench.fetch(5).await;
            server.kill9();
            let file = server.append_only_file();
            let effects = effects.min(file.last().effects.len());
            file.tear_after(effects);
            server.restart().await;
            let other = WorkerId::generate();
            let fetch = tidegate_queue::Fetch { worker: other, max: 3, lease: LEASE };
            let answers = async || bench.broker.ack_and_fetch(QUEUE, Vec::new(), fetch.clone()).await.ok();
            tidegate_testkit::poll_until(Duration::from_secs(10), answers).await.unwrap();
        }
        server.kill9();
        server.restart().await;
        let answers = async || bench.broker.counts(QUEUE).await.ok();
        tidegate_testkit::poll_until(Duration::from_secs(10), answers).await.unwrap();
        let meta = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await;
        for _ in 0..4 {
            bench.tick_for(40).await;
            audit::audited(&server, &meta).await;
            let fetched = bench.fetch(50).await;
            let is_done = |id: &JobId| done.iter().any(|job| job.token.id == *id);
            assert!(fetched.iter().all(|job| !is_done(&job.token.id)), "a job that was done runs again");
            bench.exchange(fetched.iter().map(|job| ack(&job.token)).collect(), 0).await;
        }
        let counts = bench.broker.counts(QUEUE).await.unwrap();
        assert_eq!((counts.completed_total, counts.ready, counts.leased), (20, 0, 0), "{first} {second}: {counts:?}");
    }
}
