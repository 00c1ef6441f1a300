use std::sync::Arc;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_queue::{Broker, Job, JobId, JobState, MemoryBroker, Producer, QueueOptions, Worker};
use tidegate_store::Activity;
use tokio_util::sync::CancellationToken;

use super::RollAnalytics;
use super::analytics::RollHandler;
use super::regular::enqueue;
use super::test_ground::Ground;

const PATIENCE: Duration = Duration::from_secs(60);
const ACTS: u64 = 1_200;

#[tokio::test]
async fn a_time_makes_one_job_and_it_rolls_all_there_is() {
    let ground = Ground::new().await;
    let mut change = ground.store.begin().await.unwrap();
    for _ in 0..ACTS {
        change.note(&ground.tenant, Activity::Reminded, 1).await.unwrap();
    }
    change.commit().await.unwrap();
    let broker = Arc::new(MemoryBroker::new());
    let producer = Producer::new(Arc::clone(&broker) as _);
    for _ in 0..3 {
        enqueue::<RollAnalytics>(&producer, 7).await.unwrap();
    }
    assert_eq!(broker.counts(RollAnalytics::QUEUE).await.unwrap().ready, 1);

    let handler = RollHandler { store: ground.store.clone(), keep: Duration::from_secs(24 * 3600) };
    let worker = Worker::builder(Arc::clone(&broker) as _)
        .queue(RollAnalytics::QUEUE, QueueOptions::new())
        .handler::<RollAnalytics, _>(handler)
        .build()
        .unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(worker.run(shutdown.clone()));
    let _ends_with_this = shutdown.drop_guard();
    let id = JobId::new("roll-7").unwrap();
    let ended = async {
        loop {
            let job = broker.job(RollAnalytics::QUEUE, &id).await.unwrap().unwrap();
            if job.state == JobState::Done {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    let job = tokio::time::timeout(PATIENCE, ended).await.expect("it is done");
    assert_eq!(job.result, Some(serde_json::json!({"rolled": ACTS, "removed": 0})), "{job:?}");
    assert_eq!(ground.store.roll_activity(1).await.unwrap(), 0);
    // Around midnight, both days are read.
    let today = clock::now().date_naive();
    let days = ground.store.analytics(&ground.tenant, today.pred_opt().unwrap(), today).await.unwrap();
    assert_eq!(days.values().map(|day| day.reminders_sent).sum::<u64>(), ACTS);
}
