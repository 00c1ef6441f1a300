//! A removal is torn after the record of a job, and another job gets the same id before the audit.

use std::time::Duration;

use tidegate_queue::{CleanableState, EnqueueOptions, JobState, Priority, Retention, Stored};
use tidegate_testkit::redis::RedisServer;

use crate::fixture::Fixture;
use crate::step::Step;
use crate::support::{Bench, QUEUE, ack, job, jobs};

const NAMES: [&str; 3] = ["done", "dead", "gone"];

#[tokio::test]
async fn a_job_that_has_the_id_of_one_whose_removal_was_torn_is_kept_and_runs() {
    let fixture = Fixture::new().await;
    let bench = &fixture.bench;
    let prior = fixture.effects.clone();
    let mut reused = 0;
    for step in [Step::Prune, Step::Clean, Step::Remove] {
        fixture.restore(&[&prior]).await;
        let script = fixture.effects_of(fixture.step(step)).await;
        for effects in 0..=script.len() {
            let part = &script[..effects];
            let case = format!("{step:?} torn after {effects} of {script:?}");
            fixture.restore(&[&prior, part]).await;
            bench.advance(1);
            let again = NAMES.map(|name| job(name, EnqueueOptions::new().priority(Priority::LOWEST)));
            let stored = bench.broker.enqueue(QUEUE, again.into()).await.unwrap();
            let new: Vec<_> = NAMES.into_iter().zip(stored).filter(|(_, stored)| *stored == Stored::New).collect();
            reused += new.len();
            let all_ready = async |when: &str| {
                for (name, _) in &new {
                    let record = bench.broker.job(QUEUE, &fixture.id(name)).await.unwrap();
                    let state = record.map(|record| record.state);
                    assert_eq!(state, Some(JobState::Ready), "{name} {when}: {case}");
                }
            };
            all_ready("before the prune").await;
            let ids: Vec<_> = new.iter().map(|(name, _)| fixture.id(name)).collect();
            bench.broker.remove(QUEUE, &ids).await.unwrap();
            all_ready("after a removal by id").await;
            let retention = Retention { done_max: 0, dead_max: 0, ..Retention::default() };
            bench.broker.prune(QUEUE, retention, 10).await.unwrap();
            for state in [CleanableState::Done, CleanableState::Dead, CleanableState::Cancelled] {
                bench.broker.clean(QUEUE, state, Duration::ZERO, 10).await.unwrap();
            }
            all_ready("after the prune").await;
            let runs = fixture.run_all(&case).await;
            assert!(new.iter().all(|(name, _)| runs.get(*name) == Some(&1)), "{runs:?}: {case}");
        }
    }
    assert!(reused > 9, "{reused} ids were used again");
}

#[tokio::test]
async fn acknowledgements_that_trim_keep_a_job_whose_predecessor_was_removed_in_part() {
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    let id = bench.add("again", EnqueueOptions::new()).await;
    let first = bench.fetch_one().await;
    bench.ack(&first.token).await;
    let front = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await.strip_suffix("meta").unwrap().to_owned();
    server.cli(&["HDEL", &format!("{front}job"), "again"]).await;
    server.cli(&["HSET", &format!("{front}meta"), "keep", "0"]).await;

    bench.advance(1);
    bench.broker.enqueue(QUEUE, jobs(0..1_001)).await.unwrap();
    bench.add("again", EnqueueOptions::new()).await;
    let others = bench.fetch(1_001).await;
    bench.exchange(others.iter().map(|job| ack(&job.token)).collect(), 0).await;
    let done = bench.broker.counts(QUEUE).await.unwrap().done;
    assert!(done <= 1_000, "{done} are kept");
    assert_eq!(bench.state(&id).await, JobState::Ready);
    assert_eq!(bench.fetch_one().await.token.id, id);
}
