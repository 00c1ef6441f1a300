//! Settings of a queue: concurrency limit and rate.

use std::time::Duration;

use tidegate_queue::{BrokerError, EnqueueOptions, NackAction, QueueSettings, Rate, Wake};

use crate::support::{Bench, LEASE, QUEUE, ack, jobs, retry};

async fn configure(bench: &Bench, max_running: Option<u32>, rate: Option<(u32, u64)>) {
    let rate = rate.map(|(jobs, seconds)| Rate::new(jobs, Duration::from_secs(seconds)).unwrap());
    let settings = QueueSettings { max_running, rate, events: false };
    bench.broker.configure(QUEUE, settings.clone()).await.unwrap();
    assert_eq!(bench.broker.settings(QUEUE).await.unwrap(), settings);
}

async fn wait(bench: &Bench) -> Wake {
    bench.broker.wait(&[QUEUE.to_owned()], Duration::from_millis(20)).await.unwrap()
}

pub async fn a_queue_has_settings_from_the_first(bench: Bench) {
    assert_eq!(bench.broker.settings(QUEUE).await.unwrap(), QueueSettings::default());
    configure(&bench, Some(3), Some((7, 9))).await;
    assert_eq!(bench.broker.queues().await.unwrap(), [QUEUE]);
    configure(&bench, None, None).await;
    let refused = bench.broker.configure("a b", QueueSettings::default()).await;
    assert!(matches!(refused, Err(BrokerError::QueueName(_))));
}

pub async fn no_more_run_than_allowed(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..20)).await.unwrap();
    configure(&bench, Some(3), None).await;
    let running = bench.fetch(2).await;
    assert_eq!(running.len(), 2);
    assert_eq!(wait(&bench).await, Wake::Ready);
    let third = bench.fetch(9).await;
    assert_eq!((third.len(), bench.fetch(9).await.len()), (1, 0));
    assert_eq!(wait(&bench).await, Wake::Timeout, "a full queue is not ready");
    // A slot that a settlement frees is used in the same step.
    let (_, next) = bench.exchange(vec![ack(&running[0].token)], 9).await;
    assert_eq!(next.len(), 1);
    for action in [retry(LEASE.as_secs()), NackAction::Release, NackAction::Dead { error: "x".to_owned() }] {
        assert_eq!(wait(&bench).await, Wake::Timeout);
        let leased = bench.broker.list(QUEUE, tidegate_queue::JobState::Leased, None, 9).await.unwrap();
        assert_eq!(leased.items.len(), 3);
        let token = if matches!(action, NackAction::Release) { &next[0].token } else { &running[1].token };
        let token = if matches!(action, NackAction::Dead { .. }) { &third[0].token } else { token };
        bench.nack(token, action).await;
        assert_eq!(wait(&bench).await, Wake::Ready);
        assert_eq!(bench.fetch(9).await.len(), 1);
    }
    // Changed while the queue is full.
    configure(&bench, Some(1), None).await;
    assert_eq!(bench.fetch(9).await.len(), 0);
    configure(&bench, Some(0), None).await;
    assert_eq!(bench.fetch(9).await.len(), 0);
    configure(&bench, Some(5), None).await;
    assert_eq!(bench.fetch(9).await.len(), 2);
    // Reclaimed leases free slots.
    bench.tick_for(60).await;
    assert_eq!(bench.broker.counts(QUEUE).await.unwrap().leased, 0);
    assert_eq!(bench.fetch(9).await.len(), 5);
    configure(&bench, None, None).await;
    assert!(bench.fetch(99).await.len() > 5);
}

pub async fn the_end_of_a_run_wakes_a_waiter_of_a_full_queue(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    configure(&bench, Some(1), None).await;
    let leased = bench.fetch_one().await;
    let queues = [QUEUE.to_owned()];
    let waiting = bench.broker.wait(&queues, Duration::from_secs(60));
    let (woken, _) = tokio::join!(waiting, bench.ack(&leased.token));
    assert_eq!(woken.unwrap(), Wake::Ready);
    let leased = bench.fetch_one().await;
    let waiting = bench.broker.wait(&queues, Duration::from_secs(60));
    let (woken, _) = tokio::join!(waiting, bench.nack(&leased.token, retry(500)));
    assert_eq!(woken.unwrap(), Wake::Ready);
    bench.fetch_one().await;
    let waiting = bench.broker.wait(&queues, Duration::from_secs(60));
    bench.add("more", EnqueueOptions::new()).await;
    let (woken, ()) = tokio::join!(waiting, configure(&bench, None, None));
    assert_eq!(woken.unwrap(), Wake::Ready);
}

pub async fn no_more_begin_in_a_time_than_allowed(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..100)).await.unwrap();
    configure(&bench, None, Some((10, 10))).await;
    assert_eq!(bench.fetch(4).await.len(), 4);
    let rest = bench.fetch(99).await;
    assert_eq!((rest.len(), bench.fetch(99).await.len()), (6, 0));
    assert_eq!(wait(&bench).await, Wake::Timeout, "a queue out of tokens is not ready");
    // A job that goes back to the queue does not return its token.
    bench.nack(&rest[0].token, NackAction::Release).await;
    bench.ack(&rest[1].token).await;
    assert_eq!(bench.fetch(99).await.len(), 0);
    bench.advance(1);
    assert_eq!(wait(&bench).await, Wake::Ready);
    assert_eq!((bench.fetch(99).await.len(), bench.fetch(99).await.len()), (1, 0));
    bench.advance(3);
    assert_eq!(bench.fetch(99).await.len(), 3);
    // At most a full bucket after a pause.
    bench.advance(1_000);
    assert_eq!((bench.fetch(99).await.len(), bench.fetch(99).await.len()), (10, 0));
}

pub async fn a_future_token_wakes_a_waiter(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..9)).await.unwrap();
    configure(&bench, None, Some((1, 60))).await;
    assert_eq!(bench.fetch(9).await.len(), 1);
    let queues = [QUEUE.to_owned()];
    assert_eq!(wait(&bench).await, Wake::Timeout);
    bench.advance(60);
    let woken = bench.broker.wait(&queues, Duration::from_secs(60)).await.unwrap();
    assert_eq!(woken, Wake::Ready);
    assert_eq!(bench.fetch(9).await.len(), 1);
    // Without ready jobs, no caller waits for a token.
    bench.broker.drain(QUEUE, 99).await.unwrap();
    bench.advance(60);
    assert_eq!(wait(&bench).await, Wake::Timeout);
}

pub async fn a_change_of_the_rate_keeps_the_tokens_that_fit(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..100)).await.unwrap();
    configure(&bench, None, Some((10, 10))).await;
    assert_eq!(bench.fetch(7).await.len(), 7);
    configure(&bench, Some(50), Some((10, 10))).await;
    configure(&bench, None, Some((2, 10))).await;
    assert_eq!((bench.fetch(99).await.len(), bench.fetch(99).await.len()), (2, 0));
    configure(&bench, None, Some((50, 10))).await;
    assert_eq!(bench.fetch(99).await.len(), 0, "an empty bucket stays empty");
    bench.advance(1);
    assert_eq!(bench.fetch(99).await.len(), 5);
    configure(&bench, None, None).await;
    configure(&bench, None, Some((3, 10))).await;
    assert_eq!(bench.fetch(99).await.len(), 3, "a new one is full");
}

pub async fn a_rate_outlives_jumps_of_the_clock(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..100)).await.unwrap();
    bench.advance(100_000);
    configure(&bench, None, Some((5, 10))).await;
    assert_eq!(bench.fetch(99).await.len(), 5);
    let now = bench.now();
    bench.clock.set(now.before(Duration::from_secs(50_000)));
    assert_eq!(bench.fetch(99).await.len(), 0);
    bench.advance(2);
    // The level stays between empty and full: within the rate's time it gives jobs again, at most
    // that many.
    let mut given = 0;
    for _ in 0..10 {
        given += bench.fetch(99).await.len();
        bench.advance(1);
    }
    assert!((0..=5).contains(&given), "{given}");
    bench.advance(100_000);
    assert_eq!(bench.fetch(99).await.len(), 5);
}
