//! Enqueueing, order, due times, waiting.

use std::time::Duration;

use serde_json::json;
use tidegate_queue::{BrokerError, Change, EnqueueOptions, JobId, JobState, Priority, Settled, Stored, Wake};

use crate::support::{Bench, LEASE, QUEUE, ack, ids, job, jobs, new_jobs};

pub async fn an_unknown_queue_is_empty(bench: Bench) {
    let broker = &bench.broker;
    let id = JobId::new("nobody").unwrap();
    assert_eq!(bench.fetch(5).await.len(), 0);
    assert_eq!(broker.counts(QUEUE).await.unwrap(), Default::default());
    assert!(broker.job(QUEUE, &id).await.unwrap().is_none());
    assert_eq!(broker.cancel(QUEUE, &id).await.unwrap(), Change::NotFound);
    assert!(broker.list(QUEUE, JobState::Ready, None, 10).await.unwrap().items.is_empty());
    assert_eq!(broker.promote(QUEUE, 10).await.unwrap().moved, 0);
    assert_eq!(bench.reclaim().await, Default::default());
    assert!(broker.queues().await.unwrap().is_empty());
}

pub async fn a_job_is_done_once(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new().max_attempts(7)).await;
    bench.advance(2);
    let leased = bench.fetch_one().await;
    assert_eq!((leased.kind.as_str(), leased.token.delivery), ("test", 1));
    assert_eq!(leased.payload, r#"{"id":"a"}"#);
    assert_eq!(leased.max_attempts, Some(7));
    assert_eq!(leased.leased_at.since(leased.ready_at), Duration::from_secs(2));
    assert_eq!(bench.ack(&leased.token).await, Settled::Now);
    assert_eq!(bench.ack(&leased.token).await, Settled::Before);
    let record = bench.record(&id).await;
    assert_eq!(record.state, JobState::Done);
    assert_eq!(record.result, Some(json!({ "ok": true })));
    assert_eq!(record.attempts.len(), 1);
    assert_eq!(record.attempts[0].error, None);
    assert_eq!(record.finished_at, Some(bench.now()));
    let json = serde_json::to_value(&record).unwrap();
    assert_eq!(json["state"], "done");
    assert_eq!(json["created_at"], "2023-11-14T22:13:20.000Z");
    assert!(json.get("payload").is_none() && json["progress"].is_null());
}

pub async fn priority_goes_before_age(bench: Bench) {
    for (id, priority) in [("low", 4), ("b", 2), ("c", 2), ("top", 0)] {
        let priority = Priority::try_new(priority).unwrap();
        bench.add(id, EnqueueOptions::new().priority(priority)).await;
    }
    bench.advance(1);
    bench.add("late", EnqueueOptions::new()).await;
    assert_eq!(ids(&bench.fetch(2).await), ["top", "b"]);
    assert_eq!(ids(&bench.fetch(9).await), ["c", "late", "low"]);
}

pub async fn the_same_id_is_one_job(bench: Bench) {
    let twice = || vec![job("a", EnqueueOptions::new()), job("a", EnqueueOptions::new())];
    assert_eq!(new_jobs(&bench.broker.enqueue(QUEUE, twice()).await.unwrap()), 1);
    let leased = bench.fetch_one().await;
    assert_eq!(new_jobs(&bench.broker.enqueue(QUEUE, twice()).await.unwrap()), 0);
    bench.ack(&leased.token).await;
    assert_eq!(new_jobs(&bench.broker.enqueue(QUEUE, twice()).await.unwrap()), 0);
    assert_eq!(bench.fetch(9).await.len(), 0);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.done), (0, 1));
}

pub async fn eight_thousand_due_at_once_are_promoted(bench: Bench) {
    let delayed = |n| job(&format!("d{n}"), EnqueueOptions::new().delay(Duration::from_secs(9)));
    bench.broker.enqueue(QUEUE, (0..8_001).map(delayed).collect()).await.unwrap();
    assert_eq!(bench.broker.promote(QUEUE, 500).await.unwrap().moved, 0);
    bench.advance(9);
    let mut rounds = 0;
    while bench.broker.promote(QUEUE, 500).await.unwrap().moved > 0 {
        rounds += 1;
    }
    assert_eq!(rounds, 17);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.delayed), (8_001, 0));
    let leased = bench.fetch(8_001).await;
    assert_eq!(leased.len(), 8_001);
    let (settled, _) = bench.exchange(leased.iter().map(|job| ack(&job.token)).collect(), 0).await;
    assert!(settled.iter().all(|answer| *answer == Settled::Now));
}

pub async fn a_bulk_keeps_its_order_whatever_its_delays(bench: Bench) {
    let delay = Duration::from_secs(9);
    let bulk = vec![
        job("first", EnqueueOptions::new().delay(delay)),
        job("second", EnqueueOptions::new()),
        job("third", EnqueueOptions::new().delay(delay)),
        job("second", EnqueueOptions::new().delay(delay)),
    ];
    let stored = bench.broker.enqueue(QUEUE, bulk).await.unwrap();
    assert_eq!(stored, [Stored::New, Stored::New, Stored::New, Stored::Existing]);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.delayed), (1, 2));
    // All three are now due in the same millisecond.
    for id in ["first", "third"] {
        assert_eq!(bench.broker.retry(QUEUE, &JobId::new(id).unwrap()).await.unwrap(), Change::Applied);
    }
    assert_eq!(ids(&bench.fetch(9).await), ["first", "second", "third"]);
}

pub async fn due_delays_wake_a_waiter(bench: Bench) {
    bench.add("later", EnqueueOptions::new().delay(Duration::from_secs(10))).await;
    let at = bench.now().after(Duration::from_secs(5));
    bench.add("sooner", EnqueueOptions::new().run_at(at)).await;
    bench.add("past", EnqueueOptions::new().run_at(bench.now().before(LEASE))).await;
    assert_eq!(ids(&bench.fetch(9).await), ["past"]);
    let queues = [QUEUE.to_owned()];
    let wait = || bench.broker.wait(&queues, Duration::from_millis(20));
    assert_eq!(wait().await.unwrap(), Wake::Timeout);
    bench.advance(5);
    assert_eq!(wait().await.unwrap(), Wake::Due);
    let promoted = bench.broker.promote(QUEUE, 500).await.unwrap();
    assert_eq!(promoted.moved, 1);
    assert_eq!(promoted.next_due, Some(at.after(Duration::from_secs(5))));
    assert_eq!(wait().await.unwrap(), Wake::Ready);
    assert_eq!(ids(&bench.fetch(9).await), ["sooner"]);
}

pub async fn a_waiter_is_woken_by_an_enqueue(bench: Bench) {
    let broker = bench.broker.clone();
    let waiter = tokio::spawn(async move { broker.wait(&["other".to_owned(), QUEUE.to_owned()], Duration::MAX).await });
    bench.add("a", EnqueueOptions::new()).await;
    assert_eq!(waiter.await.unwrap().unwrap(), Wake::Ready);
}

pub async fn bad_queue_names_are_refused(bench: Bench) {
    for name in ["", "a b", "{tag}", &"q".repeat(10_240)] {
        let refused = bench.broker.enqueue(name, jobs(0..1)).await;
        assert!(matches!(refused, Err(BrokerError::QueueName(_))), "{name}");
        assert!(bench.broker.pause(name).await.is_err());
        assert_eq!(bench.broker.counts(name).await.unwrap(), Default::default());
    }
}
