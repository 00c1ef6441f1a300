//! Operators' actions and retention: change a job, pause, remove.

use std::time::Duration;

use async_trait::async_trait;

use super::row::{StoredJob, limit, milliseconds, number};
use super::transition::{give_up, load, transition};
use super::writer::{Operation, Step};
use super::{events, sql};
use crate::broker::{Change, JobEventKind, QueueSettings, Rate, Retention};
use crate::id::{GroupId, JobId};
use crate::state::JobState;
use crate::timestamp::Timestamp;

#[derive(Clone, Copy)]
pub(super) enum JobChange {
    Cancel,
    Revive,
}

pub(super) struct ChangeOne {
    pub(super) queue: String,
    pub(super) id: JobId,
    pub(super) change: JobChange,
}

#[async_trait]
impl Operation for ChangeOne {
    type Answer = Change;
    const NAME: &'static str = "change a job";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Change, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(Change::NotFound);
        };
        let Some(job) = load(step, queue.id, &self.id).await? else {
            return Ok(Change::NotFound);
        };
        let now = step.now;
        let change = transition(step, queue.id, job, |standing, _| match self.change {
            JobChange::Cancel => standing.cancel(now),
            JobChange::Revive => standing.revive(now),
        })
        .await?;
        if change == Change::Applied {
            let what = match self.change {
                JobChange::Cancel => JobEventKind::Cancelled,
                JobChange::Revive => JobEventKind::Revived,
            };
            events::add(step, &queue, [(&self.id, what)]).await?;
        }
        Ok(change)
    }
}

pub(super) struct SetPaused {
    pub(super) queue: String,
    pub(super) paused: bool,
}

#[async_trait]
impl Operation for SetPaused {
    type Answer = ();
    const NAME: &'static str = "pause or resume";

    async fn apply(&self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let queue = step.queue_or_make(&self.queue).await?;
        sqlx::query(sql::PAUSE).bind(queue.id).bind(self.paused).execute(&mut *step.conn).await?;
        Ok(())
    }
}

pub(super) struct Configure {
    pub(super) queue: String,
    pub(super) settings: QueueSettings,
}

#[async_trait]
impl Operation for Configure {
    type Answer = ();
    const NAME: &'static str = "configure";

    async fn apply(&self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let queue = step.queue_or_make(&self.queue).await?;
        let mut throttle = queue.throttle;
        if queue.settings.rate != self.settings.rate {
            throttle.change(queue.settings.rate, self.settings.rate, step.now);
        }
        sqlx::query(sql::CONFIGURE)
            .bind(queue.id)
            .bind(self.settings.max_running)
            .bind(self.settings.rate.map(Rate::jobs))
            .bind(self.settings.rate.map(|rate| milliseconds(rate.per())))
            .bind(throttle.full_at)
            .bind(self.settings.events)
            .execute(&mut *step.conn)
            .await
            .map(drop)
    }
}

pub(super) struct ForgetGroup {
    pub(super) queue: String,
    pub(super) group: GroupId,
}

#[async_trait]
impl Operation for ForgetGroup {
    type Answer = ();
    const NAME: &'static str = "forget a group";

    async fn apply(&self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else { return Ok(()) };
        let forget = sqlx::query(sql::FORGET_GROUP).bind(queue.id).bind(self.group.as_str());
        forget.execute(&mut *step.conn).await.map(drop)
    }
}

pub(super) struct Drain {
    pub(super) queue: String,
    pub(super) limit: usize,
}

#[async_trait]
impl Operation for Drain {
    type Answer = usize;
    const NAME: &'static str = "drain";

    async fn apply(&self, step: &mut Step<'_>) -> Result<usize, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else { return Ok(0) };
        let mut drained = 0;
        let states = [JobState::Ready, JobState::Delayed, JobState::Waiting];
        let mut at = 0;
        while drained < self.limit && at < states.len() {
            let jobs = of_state(step, queue.id, states[at], self.limit - drained).await?;
            // Cancelling a job may have released a waiting one.
            at = if jobs.is_empty() { at + 1 } else { 0 };
            for job in jobs {
                give_up(step, &queue, job, "drained".to_owned()).await?;
                drained += 1;
            }
        }
        Ok(drained)
    }
}

pub(super) struct RetryDead {
    pub(super) queue: String,
    pub(super) limit: usize,
}

#[async_trait]
impl Operation for RetryDead {
    type Answer = usize;
    const NAME: &'static str = "retry dead jobs";

    async fn apply(&self, step: &mut Step<'_>) -> Result<usize, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else { return Ok(0) };
        let jobs = of_state(step, queue.id, JobState::Dead, self.limit).await?;
        let (count, now) = (jobs.len(), step.now);
        for job in jobs {
            let id = job.id.clone();
            transition(step, queue.id, job, |standing, _| standing.revive(now)).await?;
            events::add(step, &queue, [(&id, JobEventKind::Revived)]).await?;
        }
        Ok(count)
    }
}

async fn of_state(
    step: &mut Step<'_>,
    queue: i64,
    state: JobState,
    most: usize,
) -> Result<Vec<StoredJob>, sqlx::Error> {
    let rows = sqlx::query(sql::OF_STATE).bind(queue).bind(number(state)).bind(limit(most));
    rows.fetch_all(&mut *step.conn).await?.iter().map(StoredJob::read).collect()
}

pub(super) struct Clean {
    pub(super) queue: String,
    pub(super) state: JobState,
    pub(super) older_than: Duration,
    pub(super) limit: usize,
}

#[async_trait]
impl Operation for Clean {
    type Answer = usize;
    const NAME: &'static str = "clean";

    async fn apply(&self, step: &mut Step<'_>) -> Result<usize, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(0);
        };
        let until = step.now.before(self.older_than);
        remove_oldest(step, queue.id, self.state, until, self.limit).await
    }
}

pub(super) struct Remove {
    pub(super) queue: String,
    pub(super) ids: Vec<JobId>,
}

#[async_trait]
impl Operation for Remove {
    type Answer = Vec<Change>;
    const NAME: &'static str = "remove jobs";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Vec<Change>, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(vec![Change::NotFound; self.ids.len()]);
        };
        let mut changes = Vec::with_capacity(self.ids.len());
        for id in &self.ids {
            changes.push(match load(step, queue.id, id).await? {
                None => Change::NotFound,
                Some(job) if !job.standing.state.is_finished() => Change::Refused(job.standing.state),
                Some(job) => {
                    sqlx::query(sql::REMOVE_ONE).bind(job.seq).execute(&mut *step.conn).await?;
                    step.tally(queue.id).leave(job.standing.state, 1);
                    Change::Applied
                }
            });
        }
        Ok(changes)
    }
}

pub(super) struct Prune {
    pub(super) queue: String,
    pub(super) retention: Retention,
    pub(super) limit: usize,
}

#[async_trait]
impl Operation for Prune {
    type Answer = usize;
    const NAME: &'static str = "prune";

    async fn apply(&self, step: &mut Step<'_>) -> Result<usize, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(0);
        };
        let (done, dead, cancelled): (i64, i64, i64) =
            sqlx::query_as(sql::KEPT).bind(queue.id).fetch_one(&mut *step.conn).await?;
        let forget = sqlx::query(sql::FORGET_KEYS).bind(queue.id).bind(step.now.unix_ms()).bind(limit(self.limit));
        let forgotten = forget.execute(&mut *step.conn).await?.rows_affected();
        // If there may be more keys, the caller repeats the call.
        let mut removed = usize::try_from(forgotten).ok().filter(|forgotten| *forgotten >= self.limit).unwrap_or(0);
        for (state, age, max) in self.retention.limits() {
            let until = step.now.before(age);
            let aged = remove_oldest(step, queue.id, state, until, self.limit).await?;
            let stored = match state {
                JobState::Done => done,
                JobState::Dead => dead,
                _ => cancelled,
            };
            // The stored counts don't include the changes of this transaction.
            let pending = step.tally(queue.id).change(state);
            let kept = u64::try_from(stored + pending).unwrap_or(0);
            let excess = usize::try_from(kept.saturating_sub(max)).unwrap_or(usize::MAX);
            let rest = excess.min(self.limit - aged);
            removed += aged + remove_oldest(step, queue.id, state, step.now, rest).await?;
        }
        Ok(removed)
    }
}

async fn remove_oldest(
    step: &mut Step<'_>,
    queue: i64,
    state: JobState,
    until: Timestamp,
    most: usize,
) -> Result<usize, sqlx::Error> {
    if most == 0 {
        return Ok(0);
    }
    let removed = sqlx::query(sql::REMOVE)
        .bind(queue)
        .bind(number(state))
        .bind(until.unix_ms())
        .bind(limit(most))
        .execute(&mut *step.conn)
        .await?
        .rows_affected();
    let removed = usize::try_from(removed).unwrap_or(usize::MAX);
    step.tally(queue).leave(state, removed);
    Ok(removed)
}
