//! Handlers as users write them: functions, extractors, error classes, layers, policies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

/// A queue that one handler serves.
macro_rules! served {
    ($handler:expr) => {
        TestQueue::new(|broker| worker(broker).handler($handler))
    };
}

#[path = "handlers/arguments.rs"]
mod arguments;
#[path = "handlers/errors.rs"]
mod errors;
#[path = "handlers/handlers.rs"]
mod handlers;
#[path = "handlers/helpers.rs"]
mod helpers;
#[path = "handlers/layers.rs"]
mod layers;
#[path = "handlers/policies.rs"]
mod policies;
#[path = "handlers/state.rs"]
mod state;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_queue::testing::TestQueue;
use tidegate_queue::{
    AttemptNumber, Backoff, BoxError, Broker, BuildError, Checkpoint, CheckpointError, Classify, Context, Data, Ending,
    EnqueueOptions, ErrorClass, Event, Failure, FailureCause, FromContext, Handler, HandlerOptions, Job, JobError,
    JobId, JobState, MissingData, Observer, Outcome, ProgressReporter, Provided, QueueOptions, RetryPolicy, Worker,
    WorkerBuilder,
};
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "work";

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Step(u32);

impl Job for Step {
    const KIND: &'static str = "step";
    const QUEUE: &'static str = QUEUE;
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Other;

impl Job for Other {
    const KIND: &'static str = "other";
    const QUEUE: &'static str = QUEUE;
}

fn worker(broker: Arc<dyn Broker>) -> WorkerBuilder {
    Worker::builder(broker).queue(QUEUE, QueueOptions::new().retry(fixed(3, 1)))
}

fn fixed(attempts: u32, seconds: u64) -> RetryPolicy {
    RetryPolicy::new(attempts, Backoff::Fixed(Duration::from_secs(seconds))).unwrap()
}
