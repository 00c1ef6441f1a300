//! Jobs that arrive while a step is in progress, and wait to be sent together in the next step.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::broker::{NewJob, Stored};

/// Most jobs sent together. A larger batch of one caller is sent alone.
pub(super) const MOST: usize = 500;
/// Most bytes of payload sent together: a job may have 1 MiB, and other clients wait for a step.
const MOST_BYTES: usize = 4 << 20;
/// Steps in progress at once: one that the server executes, and one in transit.
const FLIGHTS: usize = 2;

/// The result of each job.
pub(super) type Answer = Result<Vec<Stored>, Failure>;

/// Jobs that wait for the next step of a partition.
#[derive(Default)]
pub(super) struct Gather(Mutex<Gathered>);

#[derive(Default)]
pub(super) struct Gathered {
    pub(super) under_way: usize,
    pub(super) waiting: VecDeque<Group>,
}

/// The jobs of one caller.
pub(super) struct Group {
    pub(super) jobs: Vec<NewJob>,
    bytes: usize,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// When a caller's jobs are sent.
pub(super) enum Turn {
    Now(Vec<NewJob>),
    Later(oneshot::Receiver<Answer>),
}

impl Gather {
    pub(super) fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, jobs: Vec<NewJob>) -> Turn {
        let mut gathered = self.lock();
        if gathered.under_way < FLIGHTS {
            gathered.under_way += 1;
            return Turn::Now(jobs);
        }
        let (answer, answered) = oneshot::channel();
        let bytes = jobs.iter().map(|job| job.payload.len()).sum();
        gathered.waiting.push_back(Group { jobs, bytes, answer });
        Turn::Later(answered)
    }

    /// The groups of the next step: as many as fit, at least one. Empty if no jobs wait.
    pub(super) fn next(&self) -> Vec<Group> {
        let mut gathered = self.lock();
        let mut groups = Vec::new();
        let (mut jobs, mut bytes) = (0, 0);
        while let Some(group) = gathered.waiting.front()
            && (groups.is_empty() || jobs + group.jobs.len() <= MOST && bytes + group.bytes <= MOST_BYTES)
        {
            jobs += group.jobs.len();
            bytes += group.bytes;
            groups.extend(gathered.waiting.pop_front());
        }
        if groups.is_empty() {
            gathered.under_way -= 1;
        }
        groups
    }
}
