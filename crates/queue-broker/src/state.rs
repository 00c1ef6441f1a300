//! The state and the priority of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// State of a job. `docs/concepts/job-states.md` of the project has a diagram of the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobState {
    /// May start now.
    Ready,
    /// Will be ready at its due time: scheduled, retried or snoozed.
    Delayed,
    /// Waits for an earlier job of the same ordering key.
    Waiting,
    /// Leased to a worker.
    Leased,
    /// Finished with a result.
    Done,
    /// Failed for good; kept with its history as a dead letter.
    Dead,
    /// Cancelled by an operator, or discarded by its handler.
    Cancelled,
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 7] =
        [Self::Ready, Self::Delayed, Self::Waiting, Self::Leased, Self::Done, Self::Dead, Self::Cancelled];

    /// Lower-case name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended, so that its state only changes by a request.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown state; one of ready, delayed, waiting, leased, done, dead, cancelled")]
pub struct JobStateError;

impl FromStr for JobState {
    type Err = JobStateError;

    fn from_str(text: &str) -> Result<Self, JobStateError> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(JobStateError)
    }
}

/// Urgency of a job: 0 starts first, 4 last. Strict: jobs of a lower number always start first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// The number is above 4.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority {0} is not one of 0 (first) to 4 (last)")]
pub struct PriorityError(pub u8);

impl Priority {
    /// 0.
    pub const HIGHEST: Self = Self(0);
    /// 1.
    pub const HIGH: Self = Self(1);
    /// 2, the default.
    pub const NORMAL: Self = Self(2);
    /// 3.
    pub const LOW: Self = Self(3);
    /// 4.
    pub const LOWEST: Self = Self(4);

    /// Takes a number from 0 to 4.
    ///
    /// # Errors
    /// [`PriorityError`] above 4.
    pub const fn try_new(level: u8) -> Result<Self, PriorityError> {
        if level > 4 { Err(PriorityError(level)) } else { Ok(Self(level)) }
    }

    /// The number.
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl TryFrom<u8> for Priority {
    type Error = PriorityError;

    fn try_from(level: u8) -> Result<Self, PriorityError> {
        Self::try_new(level)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}
