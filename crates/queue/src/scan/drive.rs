//! The loop over the pages: read, process, store a checkpoint, pause.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::mark::{Mark, Tally};
use super::options::ScanOptions;
use super::settings::Pause;
use super::{Scan, ScanPage};
use crate::handler::{Checkpoint, Context, Failure, FromContext, IntoFailure, Outcome, ProgressReporter};

/// Shortest pause for which the job releases its slot.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// Time between two reads of the setting during a pause.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Delay after a failure of a scan that made progress in this run.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Processes the rows.
pub(super) trait Sink<S: Scan>: Sync {
    /// Result of the job.
    type Report: Serialize;

    /// Called before each page. `Err` ends the run.
    fn prepare(&mut self, job: &S::Job, tally: &Tally) -> impl Future<Output = Result<(), Outcome>> + Send;

    /// Processes the rows of a page.
    fn take(
        &mut self,
        job: &S::Job,
        rows: Vec<S::Row>,
        tally: &mut Tally,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Called after the last page.
    fn finish(&mut self, job: &S::Job, tally: Tally) -> impl Future<Output = Result<Self::Report, Failure>> + Send;
}

/// Runs the scan from its checkpoint to its end, or until it has to stop.
pub(super) async fn drive<S: Scan, K: Sink<S> + Send>(
    scan: &S,
    sink: &mut K,
    options: &ScanOptions,
    job: &S::Job,
    context: &Context,
) -> Outcome {
    let began = Instant::now();
    let mut has_come_further = false;
    match steps(scan, sink, options, job, context, began, &mut has_come_further).await {
        Ok(report) => Outcome::done(report),
        // Occasional failures must not add up until a scan that takes hours becomes dead.
        Err(Outcome::Retry { error, after }) if has_come_further => {
            Outcome::Snooze { delay: after.unwrap_or(AFTER_FAILURE), note: Some(error) }
        }
        Err(outcome) => outcome,
    }
}

async fn steps<S: Scan, K: Sink<S> + Send>(
    scan: &S,
    sink: &mut K,
    options: &ScanOptions,
    job: &S::Job,
    context: &Context,
    began: Instant,
    has_come_further: &mut bool,
) -> Result<K::Report, Outcome> {
    let mut checkpoint = Checkpoint::<Mark<S::Position>>::from_context(context).await.map_err(failed)?;
    let progress = ProgressReporter::new(context);
    let mut pause = Pause::new(&*context.resources().broker, context.kind(), options.pause);
    let mut mark = match checkpoint.take() {
        Some(mark) => mark,
        None => Mark { total: scan.count(job).await.map_err(failed)?, ..Mark::default() },
    };
    while !mark.is_at_end {
        sink.prepare(job, &mark.tally).await?;
        if context.cancelled().is_cancelled() {
            return Err(continued(Duration::ZERO, "stopped between two pages"));
        }
        let ScanPage { rows, next } =
            scan.page(job, mark.position.as_ref(), options.page_rows).await.map_err(failed)?;
        if rows.is_empty() && next.is_some() && same(next.as_ref(), mark.position.as_ref()) {
            return Err(Outcome::bury("the scan would never end: a page without rows leads back to itself"));
        }
        mark.tally.pages += 1;
        mark.tally.rows += rows.len() as u64;
        sink.take(job, rows, &mut mark.tally).await.map_err(failed)?;
        mark.is_at_end = next.is_none();
        mark.position = next;
        // Fenced by the lease: if it is lost, another worker continues from the previous
        // checkpoint.
        checkpoint.save(&mark).await.map_err(failed)?;
        *has_come_further = true;
        if let Some(total) = mark.total {
            progress.advance(mark.tally.rows, total).await.map_err(failed)?;
        }
        if !mark.is_at_end {
            if began.elapsed() >= options.slice {
                return Err(continued(Duration::ZERO, "others have their turn"));
            }
            rest(&mut pause, context).await?;
        }
    }
    sink.finish(job, mark.tally).await.map_err(failed)
}

/// Pauses between two pages. The setting is read repeatedly during the pause.
async fn rest(pause: &mut Pause<'_>, context: &Context) -> Result<(), Outcome> {
    let since = Instant::now();
    loop {
        let left = pause.get().await.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        if left >= LONG_PAUSE {
            return Err(continued(left, "pause between two pages"));
        }
        tokio::select! {
            () = context.cancelled().cancelled() => return Ok(()),
            () = sleep(left.min(LOOK_AGAIN)) => {}
        }
    }
}

/// Puts the job back to continue later from its checkpoint, without using up an attempt.
pub(super) fn continued(delay: Duration, note: impl Into<String>) -> Outcome {
    Outcome::Snooze { delay, note: Some(note.into()) }
}

pub(super) fn failed(error: impl IntoFailure) -> Outcome {
    error.into_failure().into()
}

fn same<P: Serialize>(one: Option<&P>, other: Option<&P>) -> bool {
    match (serde_json::to_string(&one), serde_json::to_string(&other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
