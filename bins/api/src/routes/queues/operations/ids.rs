//! The forms of the names that the paths of queues hold, with examples.

use serde_json::Value;
use tidegate_node::jobs::QUEUES;

use crate::openapi::Operation;
use crate::openapi::schema::{one_of, pattern};

/// Examples of names that the client chooses.
pub(super) const SOME_JOB: &str = "job-7";
pub(super) const SOME_CRON: &str = "nightly";
pub(super) const SOME_GROUP: &str = "group-7";

pub(super) fn job_id() -> Value {
    pattern("^[A-Za-z0-9_.:~-]{1,128}$")
}

pub(super) fn group_id() -> Value {
    pattern("^[A-Za-z0-9_.:-]{1,64}$")
}

/// An operation whose path names a queue.
pub(super) fn of_queue(operation: Operation) -> Operation {
    operation.part("queue", one_of(QUEUES), QUEUES.first().copied().unwrap_or_default())
}
