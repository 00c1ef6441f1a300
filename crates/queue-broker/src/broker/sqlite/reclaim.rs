//! Maintenance steps: promote due jobs, reclaim expired leases.

use async_trait::async_trait;

use super::row::{StoredJob, limit};
use super::transition::transition;
use super::writer::{Operation, QueueRow, Step};
use super::{events, sql};
use crate::broker::{JobEventKind, Promoted, Reclaim, Reclaimed};
use crate::state::JobState;
use crate::timestamp::Timestamp;

pub(super) struct Promote {
    pub(super) queue: String,
    pub(super) limit: usize,
}

#[async_trait]
impl Operation for Promote {
    type Answer = Promoted;
    const NAME: &'static str = "promote";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Promoted, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(Promoted { moved: 0, next_due: None });
        };
        let moved = sqlx::query(sql::PROMOTE)
            .bind(queue.id)
            .bind(step.now.unix_ms())
            .bind(limit(self.limit))
            .execute(&mut *step.conn)
            .await?
            .rows_affected();
        let moved = usize::try_from(moved).unwrap_or(usize::MAX);
        step.tally(queue.id).shift(JobState::Delayed, JobState::Ready, moved);
        let next: Option<i64> =
            sqlx::query_scalar(sql::NEXT_DUE).bind(queue.id).fetch_optional(&mut *step.conn).await?;
        Ok(Promoted { moved, next_due: next.map(Timestamp::from_unix_ms) })
    }
}

pub(super) struct ReclaimExpired {
    pub(super) queue: String,
    pub(super) request: Reclaim,
}

#[async_trait]
impl Operation for ReclaimExpired {
    type Answer = Reclaimed;
    const NAME: &'static str = "reclaim";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Reclaimed, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(Reclaimed::default());
        };
        let now = step.now;
        if queue.leased == 0 {
            // No live worker could lose a lease.
            maintained(step, queue.id, now).await?;
            return Ok(Reclaimed::default());
        }
        let from = self.guarded_until(step, queue.id).await?;
        let mut answer = Reclaimed { guarded: now < from, ..Default::default() };
        if !answer.guarded {
            self.expire(step, &queue, &mut answer).await?;
        }
        let next: Option<i64> =
            sqlx::query_scalar(sql::NEXT_DEADLINE).bind(queue.id).fetch_optional(&mut *step.conn).await?;
        answer.next_in = next.map(|deadline| Timestamp::from_unix_ms(deadline).max(from).since(now));
        Ok(answer)
    }
}

impl ReclaimExpired {
    async fn expire(&self, step: &mut Step<'_>, queue: &QueueRow, answer: &mut Reclaimed) -> Result<(), sqlx::Error> {
        let now = step.now;
        let mut events_to_add = Vec::new();
        let rows = sqlx::query(sql::EXPIRED)
            .bind(queue.id)
            .bind(now.unix_ms())
            .bind(limit(self.request.limit))
            .fetch_all(&mut *step.conn)
            .await?;
        for row in &rows {
            let job = StoredJob::read(row)?;
            let id = job.id.clone();
            let max_lost = self.request.max_lost;
            let state = transition(step, queue.id, job, |standing, tally| {
                standing.expire(max_lost, now, tally);
                standing.state
            });
            let state = state.await?;
            events_to_add.push((id.clone(), JobEventKind::or_ended(state, JobEventKind::Reclaimed)));
            match state {
                JobState::Dead => answer.dead.push(id),
                JobState::Cancelled => answer.cancelled.push(id),
                _ => answer.ready.push(id),
            }
        }
        events::add(step, queue, events_to_add.iter().map(|(id, what)| (id, *what))).await
    }

    /// Until when live workers may renew their leases first: after a pause of maintenance, or a
    /// jump of the clock, which looks the same.
    async fn guarded_until(&self, step: &mut Step<'_>, queue: i64) -> Result<Timestamp, sqlx::Error> {
        let now = step.now;
        let (last, from): (Option<i64>, i64) =
            sqlx::query_as(sql::MAINTENANCE).bind(queue).fetch_one(&mut *step.conn).await?;
        let last = last.map(Timestamp::from_unix_ms);
        let backward = last.is_some_and(|last| now < last);
        let paused = last.is_none_or(|last| now.since(last) > self.request.pause);
        let longest = now.after(self.request.lease);
        let from = if backward || paused { longest } else { Timestamp::from_unix_ms(from) };
        maintained(step, queue, from).await?;
        if backward {
            sqlx::query(sql::SHORTEN).bind(queue).bind(longest.unix_ms()).execute(&mut *step.conn).await?;
        }
        Ok(from)
    }
}

async fn maintained(step: &mut Step<'_>, queue: i64, from: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(sql::MAINTAINED)
        .bind(queue)
        .bind(step.now.unix_ms())
        .bind(from.unix_ms())
        .execute(&mut *step.conn)
        .await
        .map(drop)
}
