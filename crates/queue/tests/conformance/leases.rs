//! Leases: settling, fencing, heartbeats, reclaim.

use std::time::Duration;

use tidegate_queue::{Change, EnqueueOptions, JobState, NackAction, Progress, Settled, WorkerId};

use crate::support::{Bench, LEASE, QUEUE, ack, ids, jobs, reclaim, retry};

pub async fn a_failure_is_delayed_and_remembered(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let first = bench.fetch_one().await;
    bench.advance(1);
    assert_eq!(bench.nack(&first.token, retry(4)).await, Settled::Now);
    assert_eq!(bench.nack(&first.token, retry(4)).await, Settled::Before);
    assert_eq!(bench.ack(&first.token).await, Settled::Before);
    let record = bench.record(&id).await;
    assert_eq!((record.state, record.failures), (JobState::Delayed, 1));
    assert_eq!(record.run_at, bench.now().after(Duration::from_secs(4)));
    bench.advance(4);
    assert_eq!(bench.broker.promote(QUEUE, 9).await.unwrap().moved, 1);
    let second = bench.fetch_one().await;
    assert_eq!((second.failures, second.token.delivery), (1, 2));
    let dead = NackAction::Dead { error: "for good".to_owned() };
    assert_eq!(bench.nack(&second.token, dead).await, Settled::Now);
    assert_eq!(bench.nack(&first.token, retry(0)).await, Settled::Superseded);
    let record = bench.record(&id).await;
    assert_eq!(record.state, JobState::Dead);
    let errors: Vec<_> = record.attempts.iter().map(|a| a.error.as_deref().unwrap()).collect();
    assert_eq!(errors, ["no luck", "for good"]);
    let first = &record.attempts[0];
    assert_eq!(first.ended_at.unwrap().since(first.started_at), Duration::from_secs(1));
}

pub async fn a_snooze_burns_nothing(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    let snooze = NackAction::Snooze { delay: LEASE, note: Some("unknown kind".to_owned()) };
    bench.nack(&leased.token, snooze).await;
    let record = bench.record(&id).await;
    assert_eq!((record.state, record.failures), (JobState::Delayed, 0));
    assert_eq!(record.note.as_deref(), Some("unknown kind"));
    assert!(record.attempts.is_empty());
    assert_eq!(bench.broker.retry(QUEUE, &id).await.unwrap(), Change::Applied);
    assert_eq!(bench.fetch_one().await.failures, 0);
}

pub async fn a_release_keeps_the_place(bench: Bench) {
    let id = bench.add("first", EnqueueOptions::new()).await;
    bench.advance(1);
    bench.add("second", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    assert_eq!(bench.nack(&leased.token, NackAction::Release).await, Settled::Now);
    let record = bench.record(&id).await;
    assert_eq!((record.state, record.failures, record.attempts.len()), (JobState::Ready, 0, 0));
    let again = bench.fetch(2).await;
    assert_eq!(ids(&again), ["first", "second"]);
    assert_eq!(again[0].token.delivery, 2);
    assert_eq!(bench.ack(&leased.token).await, Settled::Superseded);
}

pub async fn a_crashed_workers_lease_is_reclaimed_and_its_ack_superseded(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let crashed = bench.fetch_one().await;
    assert_eq!(bench.tick_for(25).await.ready, []);
    assert_eq!(bench.tick_for(5).await.ready, std::slice::from_ref(&id));
    assert_eq!(bench.ack(&crashed.token).await, Settled::Superseded);
    let second = bench.fetch_one().await;
    assert_eq!(second.token.delivery, 2);
    assert_eq!(bench.ack(&crashed.token).await, Settled::Superseded);
    assert_eq!(bench.nack(&crashed.token, retry(0)).await, Settled::Superseded);
    assert_eq!(bench.ack(&second.token).await, Settled::Now);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.reclaimed_total, counts.stale_acks_total), (1, 3));
    let record = bench.record(&id).await;
    assert!(record.attempts[0].error.as_deref().unwrap().contains("lease expired"));
    assert_eq!(record.failures, 0);
}

pub async fn a_heartbeat_keeps_the_lease(bench: Bench) {
    bench.add("a", EnqueueOptions::new()).await;
    bench.add("b", EnqueueOptions::new()).await;
    let leased = bench.fetch(2).await;
    let kept = leased[0].token.clone();
    for _ in 0..4 {
        bench.tick_for(20).await;
        bench.broker.heartbeat(QUEUE, vec![kept.clone()], LEASE).await.unwrap();
    }
    let lost = leased[1].token.clone();
    let beat = bench.broker.heartbeat(QUEUE, vec![kept.clone(), lost.clone()], LEASE).await.unwrap();
    assert_eq!((beat.lost, beat.cancelled), (vec![lost], vec![]));
    assert_eq!(bench.ack(&kept).await, Settled::Now);
}

pub async fn a_pause_of_maintenance_is_not_the_death_of_workers(bench: Bench) {
    bench.add("a", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    bench.tick_for(10).await;
    bench.advance(600);
    assert!(bench.reclaim().await.guarded);
    let tokens = vec![leased.token.clone()];
    assert!(bench.broker.heartbeat(QUEUE, tokens, LEASE).await.unwrap().lost.is_empty());
    assert!(bench.tick_for(25).await.ready.is_empty());
    assert_eq!(bench.ack(&leased.token).await, Settled::Now);
}

/// The first lease of a queue that was idle or new is reclaimed as soon as any other.
pub async fn reclaim_does_not_wait_if_no_job_was_leased(bench: Bench) {
    let first = bench.add("a", EnqueueOptions::new()).await;
    bench.fetch_one().await;
    assert_eq!(bench.tick_for(30).await.ready, [first]);
    let again = bench.fetch_one().await;
    bench.ack(&again.token).await;
    bench.advance(3_600);
    assert!(!bench.reclaim().await.guarded);
    let second = bench.add("b", EnqueueOptions::new()).await;
    bench.fetch_one().await;
    assert_eq!(bench.tick_for(30).await.ready, [second]);
}

pub async fn a_clock_that_jumps_back_does_not_strand_a_lease(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    bench.tick_for(30).await;
    bench.fetch_one().await;
    bench.clock.set(bench.now().before(Duration::from_secs(7200)));
    assert!(bench.reclaim().await.guarded);
    assert_eq!(bench.tick_for(30).await.ready, [id]);
}

/// Renewed before maintenance notices the jump, no deadline is more than a lease away.
pub async fn a_lease_renewed_right_after_the_clock_jumped_back_ends_in_its_time(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    bench.tick_for(30).await;
    let leased = bench.fetch_one().await;
    bench.clock.set(bench.now().before(Duration::from_secs(3_600)));
    assert!(bench.broker.heartbeat(QUEUE, vec![leased.token], LEASE).await.unwrap().lost.is_empty());
    assert!(bench.reclaim().await.guarded);
    assert_eq!(bench.tick_for(30).await.ready, [id]);
}

pub async fn a_poison_job_dies_with_its_history(bench: Bench) {
    let id = bench.add("poison", EnqueueOptions::new()).await;
    for _ in 0..2 {
        bench.fetch_one().await;
        assert_eq!(bench.tick_for(30).await.ready, std::slice::from_ref(&id));
    }
    bench.fetch_one().await;
    assert_eq!(bench.tick_for(30).await.dead, std::slice::from_ref(&id));
    let record = bench.record(&id).await;
    assert_eq!((record.state, record.attempts.len()), (JobState::Dead, 3));
    assert_eq!(record.note.as_deref(), Some("lost 3 leases"));
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.failed_total, counts.reclaimed_total, counts.dead), (1, 3, 1));
}

/// Older errors are cut in favour of later ones.
pub async fn a_long_history_keeps_what_was_last(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let lengths = async |error: String| {
        let token = bench.fetch_one().await.token;
        bench.nack(&token, NackAction::Retry { delay: Duration::ZERO, error }).await;
        let record = bench.record(&id).await;
        record.attempts.iter().map(|attempt| attempt.error.as_deref().unwrap().len()).collect::<Vec<_>>()
    };
    let mark = '…'.len_utf8();
    assert_eq!(lengths("first".to_owned()).await, [5]);
    assert_eq!(lengths("é".repeat(3_000)).await, [5, 4_096 + mark]);
    assert_eq!(lengths("€".repeat(3_000)).await, [5, 2_046 + mark, 4_095 + mark]);
    // 1,545 bytes are left, and no character is split.
    assert_eq!(lengths("x".repeat(501)).await, [5, 1_544 + mark, 4_095 + mark, 501]);
    for n in 0..40 {
        lengths(format!("{n} {}", "€".repeat(3_000))).await;
    }
    let record = bench.record(&id).await;
    let errors: Vec<_> = record.attempts.iter().map(|attempt| attempt.error.as_deref().unwrap()).collect();
    assert_eq!(errors.len(), 32);
    assert!(errors.iter().map(|error| error.len()).sum::<usize>() < 8_400);
    assert_eq!(errors[0], format!("8 {}…", "€".repeat(20)));
    assert!(errors[31].starts_with("39 €") && errors[31].len() > 4_000);
}

pub async fn a_job_that_gets_further_each_time_is_no_poison(bench: Bench) {
    let id = bench.add("long", EnqueueOptions::new()).await;
    for percent in [10, 20, 30, 40, 50, 60] {
        let leased = bench.fetch_one().await;
        let progress = Progress { percent, message: String::new() };
        assert!(bench.broker.progress(QUEUE, &leased.token, progress).await.unwrap());
        assert_eq!(bench.tick_for(30).await.ready, std::slice::from_ref(&id));
    }
    // From here on, no run gets further than the ones before.
    for _ in 0..2 {
        let leased = bench.fetch_one().await;
        let progress = Progress { percent: 60, message: String::new() };
        assert!(bench.broker.progress(QUEUE, &leased.token, progress).await.unwrap());
        bench.tick_for(30).await;
    }
    assert_eq!(bench.record(&id).await.state, JobState::Dead);
}

pub async fn a_revived_job_starts_from_nothing(bench: Bench) {
    let id = bench.add("long", EnqueueOptions::new()).await;
    let to = |percent| Progress { percent, message: String::new() };
    let leased = bench.fetch_one().await;
    assert!(bench.broker.progress(QUEUE, &leased.token, to(90)).await.unwrap());
    bench.nack(&leased.token, NackAction::Dead { error: "enough".to_owned() }).await;
    assert_eq!(bench.broker.retry(QUEUE, &id).await.unwrap(), Change::Applied);
    // Less than before, but more each time.
    for percent in [10, 20, 30, 40] {
        let leased = bench.fetch_one().await;
        assert!(bench.broker.progress(QUEUE, &leased.token, to(percent)).await.unwrap());
        assert_eq!(bench.tick_for(30).await.ready, std::slice::from_ref(&id));
    }
}

pub async fn progress_needs_the_lease(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    let progress = Progress { percent: 40, message: "rows\0 and\n quotes \"".to_owned() };
    let store = |token| bench.broker.progress(QUEUE, token, progress.clone());
    assert!(store(&leased.token).await.unwrap());
    let record = bench.record(&id).await;
    assert_eq!(record.progress, Some(progress.clone()));
    assert_eq!(record.attempts[0].ended_at, None);
    bench.nack(&leased.token, NackAction::Release).await;
    assert!(!store(&leased.token).await.unwrap());
    bench.fetch_one().await;
    assert_eq!(bench.record(&id).await.progress, None);
}

pub async fn batches_answer_in_order(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    let leased = bench.fetch(2).await;
    let mut stranger = leased[0].token.clone();
    stranger.nonce = WorkerId::generate();
    let acks = vec![ack(&leased[1].token), ack(&stranger), ack(&leased[0].token), ack(&leased[1].token)];
    let (settled, next) = bench.exchange(acks, 5).await;
    let expected = [Settled::Now, Settled::Superseded, Settled::Now, Settled::Before];
    assert_eq!(settled, expected);
    assert_eq!(ids(&next), ["job-000002"]);
    let many = bench.broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
    assert!(many.ready.is_empty());
}
