//! A worker is checked before it starts.

use std::time::Duration;

use crate::harness::{Harness, QUEUE, Task, options};
use tidegate_queue::{BuildError, HandlerOptions, Worker, WorkerBuilder};

#[test]
fn a_worker_is_checked_before_it_starts() {
    let harness = Harness::memory();
    let build = |worker: WorkerBuilder| worker.build().err();
    let bare = || Worker::builder(harness.broker.clone());
    assert_eq!(build(bare()), Some(BuildError::NoQueue));
    assert_eq!(build(bare().queue(QUEUE, options())), Some(BuildError::NoHandler));
    assert!(matches!(build(bare().queue("a b", options())), Some(BuildError::QueueName { .. })));
    let twice = harness.worker().queue(QUEUE, options());
    assert_eq!(build(twice), Some(BuildError::DuplicateQueue(QUEUE.to_owned())));
    let twice = harness.worker().handler::<Task, _>(harness.runner.clone());
    assert_eq!(build(twice), Some(BuildError::DuplicateKind("task")));
    let short = harness.worker().lease(Duration::from_millis(99));
    assert_eq!(build(short), Some(BuildError::LeaseTooShort));
}

#[test]
fn a_handler_whose_queue_is_not_served_is_refused() {
    let harness = Harness::memory();
    let other = || Worker::builder(harness.broker.clone()).queue("other", options());
    let refused = other().handler::<Task, _>(harness.runner.clone()).build().err().unwrap();
    assert_eq!(refused, BuildError::QueueNotServed { kind: "task", queue: QUEUE });
    assert!(refused.to_string().contains("\"task\" takes jobs of queue \"work\""), "{refused}");
    let any_queue = HandlerOptions::new().any_queue();
    assert!(other().handler_with::<Task, _>(harness.runner.clone(), any_queue).build().is_ok());
    assert!(other().queue(QUEUE, options()).handler::<Task, _>(harness.runner.clone()).build().is_ok());
}
