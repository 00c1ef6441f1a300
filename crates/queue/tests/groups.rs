//! Groups: each completes once, with its job, however its members end and whatever process crashes.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use support::{Bench, QUEUE, ack, job};
use tidegate_queue::testing::TestQueue;
use tidegate_queue::{
    Broker, CleanableState, Completion, CompletionPolicy, EnqueueError, EnqueueOptions, Failure, GroupError, GroupId,
    Groups, Job, JobId, JobState, MemoryBroker, NackAction, NewGroup, Producer, QueueOptions, WaitError, Worker,
    WorkerBuilder,
};
use tokio_util::sync::CancellationToken;

/// A member that ends as its text says.
#[derive(Clone, Serialize, Deserialize)]
struct Part(String);

impl Job for Part {
    const KIND: &'static str = "part";
    const QUEUE: &'static str = "parts";
}

#[derive(Serialize, Deserialize)]
struct Whole {
    group: GroupId,
}

impl Job for Whole {
    const KIND: &'static str = "whole";
    const QUEUE: &'static str = "wholes";
    const VERSION: u32 = 3;
}

async fn part(job: Part) -> Result<String, Failure> {
    match job.0.as_str() {
        "bury" => Err(Failure::bury("no luck")),
        "discard" => Err(Failure::discard("not wanted")),
        text => Ok(text.to_owned()),
    }
}

async fn whole(job: Whole) -> Result<String, Failure> {
    Ok(job.group.to_string())
}

fn described(broker: Arc<dyn Broker>) -> WorkerBuilder {
    Worker::builder(broker)
        .queue("parts", QueueOptions::new())
        .queue("wholes", QueueOptions::new())
        .handler(part)
        .handler(whole)
}

fn named(id: &str) -> GroupId {
    GroupId::new(id).unwrap()
}

fn group(id: &str, policy: CompletionPolicy) -> NewGroup {
    let completion = Completion::job(&Whole { group: named(id) }).unwrap();
    NewGroup::new("parts").id(named(id)).completion(completion.on(policy))
}

fn parts(ends: &[&str]) -> Vec<Part> {
    ends.iter().map(|end| Part((*end).to_owned())).collect()
}

#[tokio::test]
async fn completes_when_the_last_member_has_ended() {
    let queue = TestQueue::new(described);
    let groups = Groups::new(queue.broker());
    let id = groups.create(group("g", CompletionPolicy::Finished)).await.unwrap();
    groups.add_all(&id, &parts(&["a", "b"])).await.unwrap();
    queue.drain().await;
    let progress = groups.progress(&id).await.unwrap();
    assert_eq!((progress.total, progress.done, progress.pending, progress.sealed), (2, 2, 0, false));
    assert_eq!((progress.completed_at, progress.completion_job), (None, None), "more may come");

    groups.add_all(&id, &parts(&["bury", "discard"])).await.unwrap();
    groups.seal(&id).await.unwrap();
    assert_eq!(groups.progress(&id).await.unwrap().percent(), 50);
    assert!(matches!(groups.add_all(&id, &parts(&["late"])).await, Err(GroupError::Sealed(_))));
    let ran = queue.drain().await;
    assert_eq!(ran.len(), 3, "two members, and the job that the group ends with");

    let progress = groups.progress(&id).await.unwrap();
    assert_eq!((progress.done, progress.dead, progress.cancelled, progress.pending), (2, 1, 1, 0));
    assert!(progress.completed_at.is_some() && progress.percent() == 100);
    let last = progress.completion_job.unwrap();
    let record = queue.broker().job(&last.queue, &last.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.result), (JobState::Done, Some(json!("g"))), "of version 3, as its type has it");
    groups.seal(&id).await.unwrap();
    assert!(queue.drain().await.is_empty(), "completed once");
}

#[tokio::test]
async fn a_group_may_require_success() {
    let queue = TestQueue::new(described);
    let groups = Groups::new(queue.broker());
    for (id, ends, completes) in
        [("good", ["a", "b"], true), ("bad", ["a", "bury"], false), ("c", ["a", "discard"], false)]
    {
        let id = groups.create(group(id, CompletionPolicy::Succeeded)).await.unwrap();
        groups.add_all(&id, &parts(&ends)).await.unwrap();
        groups.seal(&id).await.unwrap();
        let ran = queue.drain().await.len();
        assert_eq!(ran, if completes { 3 } else { 2 });
        let progress = groups.progress(&id).await.unwrap();
        assert!(progress.completed_at.is_some());
        assert_eq!(progress.completion_job.is_some(), completes);
    }
}

#[tokio::test]
async fn an_empty_group_completes_when_it_is_sealed() {
    let queue = TestQueue::new(described);
    let groups = Groups::new(queue.broker());
    let id = groups.create(group("none", CompletionPolicy::Succeeded)).await.unwrap();
    assert_eq!(groups.progress(&id).await.unwrap().percent(), 0);
    groups.seal(&id).await.unwrap();
    assert_eq!(groups.progress(&id).await.unwrap().percent(), 100);
    assert_eq!(queue.drain().await.len(), 1);
}

#[tokio::test]
async fn concurrent_completions_enqueue_one_job() {
    let bench = Bench::memory();
    let groups = Groups::new(bench.broker.clone());
    let completion = Completion::raw("after", "after", json!(1));
    let id = groups.create(NewGroup::new(QUEUE).completion(completion)).await.unwrap();
    bench.broker.enqueue(QUEUE, vec![job("m", EnqueueOptions::new().group(id.clone()))]).await.unwrap();
    let leased = bench.fetch_one().await;
    bench.ack(&leased.token).await;
    let seals = futures_util::future::join_all((0..20).map(|_| groups.seal(&id))).await;
    assert!(seals.iter().all(Result::is_ok));
    assert_eq!(bench.broker.counts("after").await.unwrap().ready, 1);
}

#[tokio::test]
async fn refusals_name_the_fault() {
    let groups = Groups::new(Arc::new(MemoryBroker::new()));
    let id = groups.create(NewGroup::new("parts").id(named("g"))).await.unwrap();
    assert!(matches!(groups.create(NewGroup::new("other").id(id.clone())).await, Err(GroupError::Exists(_))));
    let elsewhere = groups.create(NewGroup::new("elsewhere")).await.unwrap();
    assert!(matches!(groups.add_all(&elsewhere, &parts(&["a"])).await, Err(GroupError::OtherQueue { .. })));
    for error in [
        groups.add_all(&named("x"), &parts(&["a"])).await.unwrap_err(),
        groups.seal(&named("x")).await.unwrap_err(),
        groups.progress(&named("x")).await.unwrap_err(),
    ] {
        assert!(matches!(error, GroupError::Unknown(_)), "{error}");
    }
    let bad = |completion| NewGroup::new("parts").completion(completion);
    let long = Completion::raw("q", "k", json!("x".repeat(40 << 10)));
    let too_large = groups.create(bad(long)).await.unwrap_err();
    assert!(matches!(too_large, GroupError::Enqueue(EnqueueError::PayloadTooLarge { .. })), "{too_large}");
    let queue = groups.create(bad(Completion::raw("a b", "k", json!(1)))).await.unwrap_err();
    assert!(matches!(queue, GroupError::Enqueue(EnqueueError::QueueName(_))), "{queue}");
    let kind = groups.create(bad(Completion::raw("q", "", json!(1)))).await.unwrap_err();
    assert!(matches!(kind, GroupError::Enqueue(EnqueueError::Kind(_))), "{kind}");
}

#[tokio::test]
async fn a_forgotten_group_makes_room_for_another() {
    let queue = TestQueue::new(described);
    let groups = Groups::new(queue.broker());
    for _ in 0..2 {
        let id = groups.create(group("g", CompletionPolicy::Finished)).await.unwrap();
        groups.add_all(&id, &parts(&["a"])).await.unwrap();
        groups.seal(&id).await.unwrap();
        assert_eq!(queue.drain().await.len(), 2, "its own completion job each time");
        assert_eq!(groups.progress(&id).await.unwrap().total, 1);
        assert!(groups.forget(&id).await.unwrap());
        assert!(!groups.forget(&id).await.unwrap());
    }
}

/// No worker settles the last member: an operator cancels it. Then a worker that starts finds the
/// group.
#[tokio::test(start_paused = true)]
async fn the_sweep_completes_groups_whose_end_was_missed() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let groups = Groups::new(broker.clone());
    let id = groups.create(group("g", CompletionPolicy::Finished)).await.unwrap();
    let members = groups.add_all(&id, &parts(&["a", "b"])).await.unwrap();
    groups.seal(&id).await.unwrap();
    for member in &members {
        broker.cancel("parts", member).await.unwrap();
    }
    assert_eq!(groups.progress(&id).await.unwrap().completed_at, None);
    run_until_whole(&broker, &groups, &id).await;
}

/// A real worker settles the members, and checks the group itself.
#[tokio::test]
async fn a_worker_completes_the_group_of_what_it_settled() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let groups = Groups::new(broker.clone());
    let id = groups.create(group("g", CompletionPolicy::Finished)).await.unwrap();
    groups.add_all(&id, &vec![Part("a".to_owned()); 200]).await.unwrap();
    groups.add_all(&id, &parts(&["bury"])).await.unwrap();
    groups.seal(&id).await.unwrap();
    run_until_whole(&broker, &groups, &id).await;
}

async fn run_until_whole(broker: &Arc<dyn Broker>, groups: &Groups, id: &GroupId) {
    let stop = CancellationToken::new();
    let worker = tokio::spawn(described(broker.clone()).build().unwrap().run(stop.clone()));
    let job = loop {
        if let Some(job) = groups.progress(id).await.unwrap().completion_job {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let text: String =
        Producer::new(broker.clone()).wait_for(&job.queue, &job.id, Duration::from_secs(20)).await.unwrap();
    assert_eq!(text, id.as_str());
    stop.cancel();
    worker.await.unwrap().unwrap();
    assert_eq!(broker.counts("wholes").await.unwrap().completed_total, 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_returns_how_a_job_ended() {
    let bench = Bench::memory();
    let producer = Producer::new(bench.broker.clone());
    let soon = Duration::from_secs(5);
    let wait = |id: JobId| {
        let producer = producer.clone();
        async move { producer.wait_for::<serde_json::Value>(QUEUE, &id, soon).await }
    };
    assert!(matches!(wait(JobId::generate()).await, Err(WaitError::NotFound)));
    let done = bench.add("done", EnqueueOptions::new()).await;
    let waiting = tokio::spawn(wait(done.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let leased = bench.fetch_one().await;
    bench.exchange(vec![ack(&leased.token)], 0).await;
    assert_eq!(waiting.await.unwrap().unwrap(), json!({ "ok": true }));
    let typed = producer.wait_for::<u32>(QUEUE, &done, soon).await;
    assert!(matches!(typed, Err(WaitError::Decode(_))));

    let dead = bench.add("dead", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    bench.nack(&leased.token, NackAction::Dead { error: "broken".to_owned() }).await;
    assert!(matches!(wait(dead).await, Err(WaitError::Dead { error }) if error == "broken"));

    let discarded = bench.add("discarded", EnqueueOptions::new()).await;
    let leased = bench.fetch_one().await;
    bench.nack(&leased.token, NackAction::Discard { reason: "old".to_owned() }).await;
    assert!(matches!(wait(discarded).await, Err(WaitError::Cancelled { reason }) if reason == "old"));

    let later = bench.add("later", EnqueueOptions::new().delay(Duration::from_secs(60))).await;
    let before = tokio::time::Instant::now();
    assert!(matches!(wait(later).await, Err(WaitError::TimedOut { state: JobState::Delayed })));
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_group_that_cannot_be_read_can_be_forgotten() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let (groups, id) = (Groups::new(broker.clone()), named("newer"));
    broker.enqueue(QUEUE, vec![job("member", EnqueueOptions::new().group(id.clone()))]).await.unwrap();
    let body = format!(r#"{{"queue":"{QUEUE}","shape":2}}"#);
    assert!(broker.put_document("groups.open", id.as_str(), None, Some(body)).await.unwrap());
    assert!(matches!(groups.progress(&id).await, Err(GroupError::Broken { .. })));
    assert!(groups.forget(&id).await.unwrap());
    assert!(matches!(groups.progress(&id).await, Err(GroupError::Unknown(_))));
    assert_eq!(broker.group(QUEUE, &id).await.unwrap(), None);
}

#[tokio::test]
async fn a_job_whose_record_went_while_it_was_waited_for_has_ended() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let producer = Producer::new(broker.clone());
    let id = producer.enqueue(&Part("fine".to_owned())).await.unwrap();
    let waiting = async || producer.wait_for::<String>("parts", &id, Duration::from_secs(30)).await;
    let mut waiting = Box::pin(waiting());
    // The first read finds it.
    assert!(futures_util::poll!(&mut waiting).is_pending());
    broker.cancel("parts", &id).await.unwrap();
    let cancelled = CleanableState::try_from(JobState::Cancelled).unwrap();
    assert_eq!(broker.clean("parts", cancelled, Duration::ZERO, 9).await.unwrap(), 1);
    assert!(matches!(waiting.await, Err(WaitError::Removed)));
}
