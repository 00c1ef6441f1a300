//! Reporting the progress of a run. Each percentage is written once.

use super::context::Context;
use super::error::LeaseLost;
use super::extract::FromContext;
use std::convert::Infallible;

/// Extracts a reporter of the run's progress. Cheap to clone. All reporters of a run share its
/// state.
///
/// ```
/// use tidegate_queue::{LeaseLost, ProgressReporter};
/// # struct Import { rows: Vec<String> }
/// async fn import(job: Import, progress: ProgressReporter) -> Result<(), LeaseLost> {
///     let total = job.rows.len() as u64;
///     for (done, row) in (1..).zip(&job.rows) {
///         // store(row).await
///         progress.advance(done, total).await?; // writes at most 101 times, however many rows
///     }
///     progress.report(100, "all rows are in").await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ProgressReporter(Context);

impl ProgressReporter {
    /// Creates a reporter for a run.
    pub fn new(context: &Context) -> Self {
        Self(context.clone())
    }

    /// Stores a percentage and a message, like [`Context::progress`].
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn report(&self, percent: u8, message: impl Into<String> + Send) -> Result<(), LeaseLost> {
        self.0.progress(percent, message).await
    }

    /// Reports that `done` of `total` steps are done. Writes only if the whole percentage has
    /// changed, so it may be called for each row of a table. A `total` of zero counts as all done.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop. Detected only when it writes.
    pub async fn advance(&self, done: u64, total: u64) -> Result<(), LeaseLost> {
        let percent = percentage(done, total);
        if self.0.last_percent() == Some(percent) {
            return Ok(());
        }
        self.0.progress(percent, format!("{done} of {total}")).await
    }
}

fn percentage(done: u64, total: u64) -> u8 {
    if done >= total {
        return 100;
    }
    let percent = u128::from(done) * 100 / u128::from(total);
    u8::try_from(percent).unwrap_or(100)
}

impl FromContext for ProgressReporter {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(Self::new(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_whole_and_bounded() {
        let cases = [(0, 0, 100), (0, 3, 0), (1, 3, 33), (3, 3, 100), (9, 3, 100)];
        for (done, total, percent) in cases {
            assert_eq!(percentage(done, total), percent, "{done} of {total}");
        }
        assert_eq!(percentage(u64::MAX - 1, u64::MAX), 99);
    }
}
