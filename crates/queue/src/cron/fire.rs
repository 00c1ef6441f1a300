//! One step of a schedule: enqueue due jobs, then move the schedule past them.
//!
//! If a scheduler crashes between the two, the schedule is still due. The next scheduler enqueues
//! the same ids again, which has no effect, and moves the schedule. Any number of schedulers may do
//! so concurrently.

use super::entry::{COLLECTION, LastRun, ScheduleEntry};
use super::error::ScheduleError;
use tidegate_queue_broker::{Broker, Stored, Timestamp};

/// Result of one step.
#[derive(Debug, Default)]
pub(super) struct Fired {
    /// Number of new jobs.
    pub(super) enqueued: usize,
    /// Times that had their job already.
    pub(super) known: usize,
    /// Times that made no job because an earlier one was not finished.
    pub(super) skipped: usize,
    /// The schedule after the step. `None` if it was removed.
    pub(super) after: Option<ScheduleEntry>,
}

/// Updates a schedule that is due, or whose clock was set back far.
pub(super) async fn fire(broker: &dyn Broker, entry: &ScheduleEntry, now: Timestamp) -> Result<Fired, ScheduleError> {
    // Read again directly before the step: a scheduler that paused since it read the schedule must
    // not use an outdated state. The time between this read and the enqueue remains.
    let name = &entry.schedule().name;
    match reread(broker, name).await? {
        Some(current) if current.revision == entry.revision => {}
        after => return Ok(Fired { after, ..Fired::default() }),
    }
    let mut fired = Fired::default();
    let moved = if entry.was_clock_ahead(now) {
        // The clock may be right, if this process has paused for hours since it read the time.
        let now = broker.now().await?;
        if !entry.was_clock_ahead(now) {
            return Ok(Fired { after: Some(entry.clone()), ..fired });
        }
        tracing::warn!(schedule = name, "the clock was set back by hours: the schedule begins anew from now");
        entry.clone().begun_anew(now)?
    } else {
        let plan = entry.plan(now)?;
        let last = enqueue(broker, entry, &plan.runs, now, &mut fired).await?;
        entry.clone().moved(plan.next, last, now)
    };
    let text = moved.text()?;
    let done = broker.put_document(COLLECTION, name, Some(entry.revision), Some(text)).await?;
    // If another scheduler was faster, it has moved the schedule. The revision after our own write
    // is not known, and not needed.
    fired.after = if done { Some(moved) } else { reread(broker, name).await? };
    Ok(fired)
}

async fn enqueue(
    broker: &dyn Broker,
    entry: &ScheduleEntry,
    runs: &[Timestamp],
    now: Timestamp,
    fired: &mut Fired,
) -> Result<Option<LastRun>, ScheduleError> {
    if runs.is_empty() {
        return Ok(None);
    }
    let jobs = runs.iter().map(|due| entry.job(*due)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<_> = jobs.iter().map(|job| job.id().clone()).collect();
    let stored = broker.enqueue(&entry.schedule().queue, jobs).await?;
    let mut last = None;
    for ((due, id), stored) in runs.iter().zip(ids).zip(stored) {
        let (job, skipped) = match stored {
            Stored::New | Stored::Replaced(_) => {
                fired.enqueued += 1;
                (id, false)
            }
            Stored::Duplicate(other) if other != id => {
                fired.skipped += 1;
                (other, true)
            }
            Stored::Existing | Stored::Duplicate(_) => {
                fired.known += 1;
                (id, false)
            }
        };
        last = Some(LastRun { due: *due, at: now, job, skipped });
    }
    Ok(last)
}

async fn reread(broker: &dyn Broker, name: &str) -> Result<Option<ScheduleEntry>, ScheduleError> {
    match broker.document(COLLECTION, name).await? {
        Some(document) => ScheduleEntry::read(name, &document).map(Some),
        None => Ok(None),
    }
}
