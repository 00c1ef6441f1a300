//! Operators' views and actions.

use std::time::Duration;

use tidegate_queue::{
    Change, CleanableState, EnqueueOptions, Fetch, GroupId, JobId, JobState, NackAction, QueueSettings, Retention,
    Settled, Wake, WorkerId, WorkerInfo,
};

use crate::support::{Bench, LEASE, QUEUE, ack, jobs, retry};

pub async fn a_dead_job_can_be_retried(bench: Bench) {
    let id = bench.add("a", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    assert_eq!(bench.broker.retry(QUEUE, &id).await.unwrap(), Change::Refused(JobState::Leased));
    bench.nack(&leased.token, NackAction::Dead { error: "x".to_owned() }).await;
    assert_eq!(bench.broker.retry(QUEUE, &id).await.unwrap(), Change::Applied);
    assert_eq!(bench.ack(&leased.token).await, Settled::Superseded);
    let again = bench.fetch_one().await;
    assert_eq!((again.failures, again.token.delivery), (0, 2));
    bench.ack(&again.token).await;
    assert_eq!(bench.record(&id).await.attempts.len(), 2);
    assert_eq!(bench.broker.retry(QUEUE, &id).await.unwrap(), Change::Refused(JobState::Done));
}

pub async fn cancelling_reaches_waiting_and_running_jobs(bench: Bench) {
    let waiting = bench.add("waiting", EnqueueOptions::new().delay(LEASE)).await;
    let running = bench.add("running", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    assert_eq!(bench.broker.cancel(QUEUE, &waiting).await.unwrap(), Change::Applied);
    assert_eq!(bench.broker.cancel(QUEUE, &running).await.unwrap(), Change::Requested);
    let refused = Change::Refused(JobState::Cancelled);
    assert_eq!(bench.broker.cancel(QUEUE, &waiting).await.unwrap(), refused);
    assert_eq!(bench.state(&waiting).await, JobState::Cancelled);
    let beat = bench.broker.heartbeat(QUEUE, vec![leased.token.clone()], LEASE).await.unwrap();
    assert_eq!((beat.lost, beat.cancelled), (vec![], vec![leased.token.clone()]));
    let discard = NackAction::Discard { reason: "cancelled by a user".to_owned() };
    assert_eq!(bench.nack(&leased.token, discard).await, Settled::Now);
    let record = bench.record(&running).await;
    assert_eq!((record.state, record.note.as_deref()), (JobState::Cancelled, Some("cancelled by a user")));
}

pub async fn a_cancelled_run_does_not_come_back(bench: Bench) {
    for (id, action) in [
        ("retry", Some(retry(0))),
        ("release", Some(NackAction::Release)),
        ("snooze", Some(NackAction::Snooze { delay: LEASE, note: None })),
        ("crash", None),
    ] {
        let id = bench.add(id, EnqueueOptions::new()).await;
        let leased = bench.fetch_one().await;
        bench.broker.cancel(QUEUE, &id).await.unwrap();
        match action {
            Some(action) => assert_eq!(bench.nack(&leased.token, action).await, Settled::Now),
            None => assert_eq!(bench.tick_for(60).await.cancelled, std::slice::from_ref(&id)),
        }
        assert_eq!(bench.state(&id).await, JobState::Cancelled);
    }
    let finished = bench.add("finished", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    bench.broker.cancel(QUEUE, &finished).await.unwrap();
    assert_eq!(bench.ack(&leased.token).await, Settled::Now);
    assert_eq!(bench.state(&finished).await, JobState::Done);
}

pub async fn finished_jobs_are_removed_by_id(bench: Bench) {
    let group = GroupId::new("g").unwrap();
    let ids: Vec<JobId> =
        ["done", "dead", "cancelled", "ready", "delayed", "leased"].map(|id| JobId::new(id).unwrap()).into();
    for id in &ids[..3] {
        bench.add(id.as_str(), EnqueueOptions::new().group(group.clone())).await;
    }
    let leased = bench.fetch(3).await;
    assert!(bench.broker.log(QUEUE, &leased[0].token, vec!["one".to_owned(), "two".to_owned()]).await.unwrap());
    assert!(bench.broker.checkpoint(QUEUE, &leased[0].token, "half".to_owned()).await.unwrap());
    bench.ack(&leased[0].token).await;
    bench.nack(&leased[1].token, NackAction::Dead { error: "x".to_owned() }).await;
    bench.nack(&leased[2].token, NackAction::Discard { reason: "x".to_owned() }).await;
    bench.add("leased", EnqueueOptions::new()).await;
    bench.fetch_one().await;
    bench.add("ready", EnqueueOptions::new()).await;
    bench.add("delayed", EnqueueOptions::new().delay(LEASE)).await;

    let removed = bench.broker.remove(QUEUE, &ids).await.unwrap();
    let refused = [JobState::Ready, JobState::Delayed, JobState::Leased].map(Change::Refused);
    assert_eq!(removed, [&[Change::Applied; 3][..], &refused].concat());
    for id in &ids[..3] {
        assert_eq!(bench.broker.job(QUEUE, id).await.unwrap(), None);
        assert!(bench.broker.logs(QUEUE, id).await.unwrap().is_empty());
    }
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.done, counts.dead, counts.cancelled), (0, 0, 0));
    assert_eq!((counts.ready, counts.delayed, counts.leased), (1, 1, 1));
    assert_eq!((counts.completed_total, counts.failed_total), (1, 1), "totals stay");
    let counts = bench.broker.group(QUEUE, &group).await.unwrap().unwrap();
    assert_eq!((counts.done, counts.dead, counts.cancelled), (1, 1, 1), "and so do those of the group");
    assert_eq!(bench.broker.remove(QUEUE, &ids[..1]).await.unwrap(), [Change::NotFound]);
    assert_eq!(bench.broker.remove("nowhere", &ids[..1]).await.unwrap(), [Change::NotFound]);
    // The id can be used again.
    bench.add("done", EnqueueOptions::new()).await;
    assert_eq!(bench.state(&ids[0]).await, JobState::Ready);
}

pub async fn a_paused_queue_leases_nothing(bench: Bench) {
    bench.broker.pause(QUEUE).await.unwrap();
    bench.add("a", EnqueueOptions::new()).await;
    assert!(bench.broker.counts(QUEUE).await.unwrap().paused);
    assert_eq!(bench.fetch(1).await.len(), 0);
    let queues = [QUEUE.to_owned()];
    let woken = bench.broker.wait(&queues, Duration::from_millis(20)).await.unwrap();
    assert_eq!(woken, Wake::Timeout);
    let (woken, resumed) =
        tokio::join!(bench.broker.wait(&queues, Duration::from_secs(60)), bench.broker.resume(QUEUE));
    resumed.unwrap();
    assert_eq!(woken.unwrap(), Wake::Ready);
    assert_eq!(bench.fetch(1).await.len(), 1);
}

pub async fn pages_hold_each_job_once(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = bench.broker.list(QUEUE, JobState::Ready, cursor, 4).await.unwrap();
        seen.extend(page.items.into_iter().map(|record| record.id.to_string()));
        match page.next {
            Some(next) => cursor = Some(next.to_string().parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen, (0..10).map(|n| format!("job-{n:06}")).collect::<Vec<_>>());
    let all = bench.broker.list(QUEUE, JobState::Ready, None, usize::MAX).await.unwrap();
    assert_eq!((all.items.len(), all.next), (10, None));
    for leased in bench.fetch(3).await {
        bench.advance(1);
        bench.ack(&leased.token).await;
    }
    let page = bench.broker.list(QUEUE, JobState::Done, None, 2).await.unwrap();
    let latest: Vec<_> = page.items.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(latest, ["job-000002", "job-000001"]);
    let rest = bench.broker.list(QUEUE, JobState::Done, page.next, 2).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

pub async fn finished_jobs_are_trimmed(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..20)).await.unwrap();
    let leased = bench.fetch(20).await;
    let acks = |range: std::ops::Range<usize>| leased[range].iter().map(|j| ack(&j.token)).collect();
    bench.exchange(acks(0..5), 0).await;
    bench.advance(100);
    bench.exchange(acks(5..15), 0).await;
    for job in &leased[15..20] {
        bench.nack(&job.token, NackAction::Dead { error: "x".to_owned() }).await;
    }
    let retention = Retention { done_for: Duration::from_secs(50), done_max: 7, dead_for: LEASE * 100, dead_max: 4 };
    assert_eq!(bench.broker.prune(QUEUE, retention, 100).await.unwrap(), 5 + 3 + 1);
    assert_eq!(bench.broker.prune(QUEUE, retention, 100).await.unwrap(), 0);
    assert!(bench.broker.job(QUEUE, &leased[0].token.id).await.unwrap().is_none());
    bench.advance(10);
    let clean = |older| bench.broker.clean(QUEUE, CleanableState::Dead, Duration::from_secs(older), 3);
    assert_eq!(clean(11).await.unwrap(), 0);
    assert_eq!(clean(10).await.unwrap(), 3);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.done, counts.dead, counts.completed_total), (7, 1, 15));
}

pub async fn counts_and_totals_add_up(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..6)).await.unwrap();
    bench.add("later", EnqueueOptions::new().delay(LEASE)).await;
    let leased = bench.fetch(4).await;
    bench.ack(&leased[0].token).await;
    bench.nack(&leased[1].token, retry(9)).await;
    bench.nack(&leased[2].token, NackAction::Dead { error: "x".to_owned() }).await;
    bench.advance(3);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.delayed, counts.leased), (2, 2, 1));
    assert_eq!((counts.done, counts.dead, counts.cancelled), (1, 1, 0));
    assert_eq!((counts.completed_total, counts.failed_total, counts.retried_total), (1, 1, 1));
    assert_eq!(counts.oldest_ready_age, Some(Duration::from_secs(3)));
    assert_eq!(bench.broker.queues().await.unwrap(), [QUEUE]);
}

pub async fn workers_are_known_while_seen(bench: Bench) {
    let id = WorkerId::generate();
    let info = WorkerInfo::of_this_process(id.clone(), vec![QUEUE.to_owned()], bench.now());
    bench.broker.announce(info.clone()).await.unwrap();
    bench.advance(7);
    bench.broker.announce(info).await.unwrap();
    let workers = bench.broker.workers().await.unwrap();
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].last_seen, bench.now());
    assert_eq!(workers[0].queues, [QUEUE]);
    bench.advance(3600);
    assert!(bench.broker.workers().await.unwrap().is_empty());
    bench.broker.withdraw(&id).await.unwrap();
}

pub async fn workers_are_lost_after_two_leases(bench: Bench) {
    let is_lost = async || {
        let (workers, now) = (bench.broker.workers().await.unwrap(), bench.broker.now().await.unwrap());
        workers.iter().map(|worker| worker.is_lost(now)).collect::<Vec<_>>()
    };
    let info = WorkerInfo::of_this_process(WorkerId::generate(), vec![QUEUE.to_owned()], bench.now())
        .with_lease(Duration::from_secs(15));
    bench.broker.announce(info.clone()).await.unwrap();
    bench.advance(29);
    assert_eq!(is_lost().await, [false], "within two leases");
    bench.advance(2);
    assert_eq!(is_lost().await, [true], "shown, but lost");
    bench.broker.announce(info).await.unwrap();
    assert_eq!(is_lost().await, [false], "back again");
}

pub async fn a_queue_is_drained_in_bounded_steps(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..5)).await.unwrap();
    let later = bench.add("later", EnqueueOptions::new().delay(LEASE)).await;
    let mut line = Vec::new();
    for id in ["x", "y", "z"] {
        line.push(bench.add(id, EnqueueOptions::new().ordering_key("o")).await);
    }
    let running = bench.fetch_one().await;
    assert_eq!(bench.broker.drain("nowhere", 9).await.unwrap(), 0);
    assert_eq!(bench.broker.drain(QUEUE, 0).await.unwrap(), 0);
    // The next jobs to run first.
    assert_eq!(bench.broker.drain(QUEUE, 3).await.unwrap(), 3);
    assert_eq!(bench.fetch(1).await[0].token.id.as_str(), "job-000004");
    assert_eq!(bench.state(&later).await, JobState::Delayed);
    assert_eq!(bench.broker.drain(QUEUE, 100).await.unwrap(), 4);
    assert_eq!(bench.broker.drain(QUEUE, 100).await.unwrap(), 0);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    let left = (counts.ready, counts.delayed, counts.waiting, counts.leased, counts.cancelled);
    assert_eq!(left, (0, 0, 0, 2, 7));
    for id in line.iter().chain([&later]) {
        let record = bench.record(id).await;
        assert_eq!((record.state, record.note.as_deref()), (JobState::Cancelled, Some("drained")));
        assert_eq!(record.finished_at, Some(bench.now()));
    }
    assert_eq!(bench.ack(&running.token).await, Settled::Now);
    // Cancelled jobs do not block the ordering key.
    let next = bench.add("next", EnqueueOptions::new().ordering_key("o")).await;
    assert_eq!(bench.state(&next).await, JobState::Ready);
    // A job that becomes active behind a cancelled one is cancelled by the same step.
    bench.add("head", EnqueueOptions::new().ordering_key("p").delay(LEASE)).await;
    bench.add("tail", EnqueueOptions::new().ordering_key("p")).await;
    assert_eq!(bench.broker.drain(QUEUE, 100).await.unwrap(), 3);
}

pub async fn all_dead_jobs_are_retried_in_bounded_steps(bench: Bench) {
    bench.broker.enqueue(QUEUE, jobs(0..7)).await.unwrap();
    let leased = bench.fetch(7).await;
    for job in leased.iter().rev() {
        bench.advance(1);
        bench.nack(&job.token, NackAction::Dead { error: "x".to_owned() }).await;
    }
    assert_eq!(bench.broker.retry_dead("nowhere", 9).await.unwrap(), 0);
    assert_eq!(bench.broker.retry_dead(QUEUE, 0).await.unwrap(), 0);
    assert_eq!(bench.broker.retry_dead(QUEUE, 3).await.unwrap(), 3);
    let mut again: Vec<_> = bench.fetch(9).await;
    again.sort_by(|a, b| a.token.id.cmp(&b.token.id));
    assert_eq!(crate::support::ids(&again), ["job-000004", "job-000005", "job-000006"], "the oldest dead first");
    assert!(again.iter().all(|job| job.failures == 0 && job.token.delivery == 2));
    assert_eq!(bench.broker.retry_dead(QUEUE, 9).await.unwrap(), 4);
    assert_eq!(bench.broker.retry_dead(QUEUE, 9).await.unwrap(), 0);
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.dead, counts.leased, counts.failed_total), (4, 0, 3, 7));
}

pub async fn several_queues_are_read_at_once(bench: Bench) {
    const NAMES: [&str; 4] = ["zeta", "alpha", "never-used", "mid"];
    let broker = &bench.broker;
    for (queue, count) in [("zeta", 5), ("alpha", 3), ("mid", 2)] {
        broker.enqueue(queue, jobs(0..count)).await.unwrap();
        bench.advance(1);
    }
    let settings = QueueSettings { max_running: Some(7), ..QueueSettings::default() };
    broker.configure("alpha", settings).await.unwrap();
    broker.pause("mid").await.unwrap();
    let mut leased = Vec::new();
    for (queue, max) in [("zeta", 4), ("alpha", 1)] {
        let fetch = Fetch { worker: bench.worker.clone(), max, lease: LEASE };
        let (_, jobs) = broker.ack_and_fetch(queue, Vec::new(), fetch).await.unwrap();
        leased.extend(jobs.into_iter().map(|job| (queue.to_owned(), job.token.id.clone())));
        bench.advance(1);
    }

    let overviews = broker.overviews(&NAMES).await.unwrap();
    assert_eq!(overviews.len(), NAMES.len());
    for (queue, overview) in NAMES.iter().zip(&overviews) {
        assert_eq!(overview.counts, broker.counts(queue).await.unwrap(), "{queue}");
        assert_eq!(overview.settings, broker.settings(queue).await.unwrap(), "{queue}");
    }
    assert_eq!(overviews.iter().map(|queue| queue.counts.ready).collect::<Vec<_>>(), [1, 2, 0, 2]);
    assert!(broker.overviews(&[]).await.unwrap().is_empty());

    let running = broker.running(&NAMES, 10).await.unwrap();
    let running: Vec<_> = running.into_iter().map(|job| (job.queue, job.id)).collect();
    assert_eq!(running, leased);
    let running = broker.running(&NAMES, 2).await.unwrap();
    assert_eq!(running.iter().map(|job| job.queue.as_str()).collect::<Vec<_>>(), ["zeta", "zeta", "alpha"]);
}
