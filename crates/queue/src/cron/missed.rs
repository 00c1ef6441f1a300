//! What becomes of times that were missed, and of times whose last run has not finished.

use serde::{Deserialize, Serialize};

/// How to treat times that passed while no scheduler ran (or the queue's store was unreachable).
///
/// A time is *missed* if it is older than the schedule's grace. A younger one is late, and runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CatchUp {
    /// Missed times don't run.
    #[default]
    Skip,
    /// The latest missed time runs, for all of them. No missed time runs if a late one does.
    Once,
    /// Each missed time runs; if there are more than `at_most`, the latest ones.
    All {
        /// Most runs, 1 to 500.
        at_most: u32,
    },
}

/// Whether a run may start while an earlier one of the schedule is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// Each time makes a job.
    #[default]
    Allow,
    /// A time makes no job while one of this schedule waits, runs or is to be retried. A dead job
    /// that an operator retries does not count.
    Skip,
}
