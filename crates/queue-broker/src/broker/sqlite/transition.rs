//! One job that changes its state: read, changed and written.

use super::row::{StoredJob, number, unreadable};
use super::writer::{QueueRow, Step};
use super::{events, links, sql};
use crate::broker::JobEventKind;
use crate::broker::counts::Tally;
use crate::broker::standing::Standing;
use crate::id::{JobId, WorkerId};

pub(super) async fn load(step: &mut Step<'_>, queue: i64, id: &JobId) -> Result<Option<StoredJob>, sqlx::Error> {
    let row = sqlx::query(sql::LOAD).bind(queue).bind(id.as_str()).fetch_optional(&mut *step.conn).await?;
    row.map(|row| StoredJob::read(&row)).transpose()
}

/// Applies a transition to a job and writes it, with the counts it changes.
pub(super) async fn transition<T: Send>(
    step: &mut Step<'_>,
    queue: i64,
    mut job: StoredJob,
    apply: impl FnOnce(&mut Standing, &mut Tally) -> T + Send,
) -> Result<T, sqlx::Error> {
    let from = job.standing.state;
    let answer = apply(&mut job.standing, step.tally(queue));
    if from.is_finished() && !job.standing.state.is_finished() {
        links::has_come_back(step, queue, &mut job, from).await?;
    }
    let to = job.standing.state;
    step.tally(queue).shift(from, to, 1);
    let rank = job.standing.rank(job.priority);
    let standing = job.standing;
    let history = match standing.history.is_empty() {
        true => None,
        false => Some(serde_json::to_string(&standing.history).map_err(unreadable("history"))?),
    };
    let (percent, message) = standing.progress.map(|progress| (progress.percent, progress.message)).unzip();
    sqlx::query(sql::SAVE)
        .bind(job.seq)
        .bind(number(standing.state))
        .bind(rank)
        .bind(standing.at.unix_ms())
        .bind(standing.ready_at.unix_ms())
        .bind(standing.run_at.unix_ms())
        .bind(standing.nonce.as_ref().map(WorkerId::as_str))
        .bind(standing.failures)
        .bind(standing.lost)
        .bind(standing.cancel_requested)
        .bind(standing.finished_at.map(crate::timestamp::Timestamp::unix_ms))
        .bind(percent)
        .bind(message)
        .bind(history)
        .bind(standing.note)
        .bind(standing.furthest)
        .execute(&mut *step.conn)
        .await?;
    if to.is_finished() && !from.is_finished() {
        links::has_ended(step, queue, &job.id, &job.links, to).await?;
    }
    Ok(answer)
}

pub(super) async fn give_up(
    step: &mut Step<'_>,
    queue: &QueueRow,
    job: StoredJob,
    why: String,
) -> Result<(), sqlx::Error> {
    let (id, now) = (job.id.clone(), step.now);
    transition(step, queue.id, job, |standing, _| standing.give_up(why, now)).await?;
    events::add(step, queue, [(&id, JobEventKind::Cancelled)]).await
}
