//! Enqueues jobs with an ordering key or a unique key.

use super::insert::insert;
use super::links::{has_active, join_groups};
use super::transition::{give_up, load};
use super::writer::{QueueRow, Step};
use super::{events, sql};
use crate::broker::standing::Standing;
use crate::broker::{JobEventKind, NewJob, Stored};
use crate::id::JobId;
use crate::state::JobState;
use crate::unique::{OnDuplicate, Unique};

/// Stores a job with a key.
pub(super) async fn enqueue(step: &mut Step<'_>, queue: &QueueRow, job: &NewJob) -> Result<Stored, sqlx::Error> {
    let known = sqlx::query(sql::KNOWN).bind(queue.id).bind(job.id.as_str());
    if known.fetch_optional(&mut *step.conn).await?.is_some() {
        return Ok(Stored::Existing);
    }
    let now = step.now;
    let mut standing = Standing::new(now, job.due_at(now));
    let mut stored = Stored::New;
    if let Some(unique) = &job.unique {
        if let Some(holder) = holder(step, queue.id, unique).await? {
            if unique.on_duplicate == OnDuplicate::Reject {
                return Ok(Stored::Duplicate(holder));
            }
            if let Some(replaced) = make_way(step, queue, &holder, &job.id).await? {
                if unique.on_duplicate == OnDuplicate::Replace {
                    standing = replaced.handed_on(now);
                }
                stored = Stored::Replaced(holder);
            }
        }
        let until = unique.hold.map(|time| now.after(time).unix_ms());
        let hold = sqlx::query(sql::HOLD_KEY).bind(queue.id).bind(&unique.key).bind(job.id.as_str()).bind(until);
        hold.execute(&mut *step.conn).await?;
    }
    if let Some(key) = &job.ordering_key
        && has_active(step, queue.id, key).await?
    {
        standing.wait_behind(now);
    }
    let added = insert(step, queue.id, &[(job, &standing)]).await?;
    step.tally(queue.id).enter(standing.state, added);
    join_groups(step, queue.id, [job].into_iter()).await?;
    events::add(step, queue, [(&job.id, JobEventKind::Enqueued)]).await?;
    Ok(stored)
}

async fn holder(step: &mut Step<'_>, queue: i64, unique: &Unique) -> Result<Option<JobId>, sqlx::Error> {
    let held = sqlx::query_scalar::<_, String>(sql::HOLDER_OF_KEY).bind(queue).bind(&unique.key);
    let holder = held.bind(step.now.unix_ms()).fetch_optional(&mut *step.conn).await?;
    holder.map(|id| JobId::new(id).map_err(super::row::unreadable("job"))).transpose()
}

/// Cancels a job that has not started, for a new job with its unique key. Returns its state before.
async fn make_way(
    step: &mut Step<'_>,
    queue: &QueueRow,
    holder: &JobId,
    for_job: &JobId,
) -> Result<Option<Standing>, sqlx::Error> {
    let Some(job) = load(step, queue.id, holder).await? else { return Ok(None) };
    if !matches!(job.standing.state, JobState::Ready | JobState::Delayed | JobState::Waiting) {
        return Ok(None);
    }
    let standing = job.standing.clone();
    give_up(step, queue, job, format!("replaced by {for_job}")).await?;
    Ok(Some(standing))
}
