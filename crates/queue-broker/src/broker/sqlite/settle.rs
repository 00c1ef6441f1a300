//! Steps on leases: settle, extend, store progress.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::chunk::CHUNK;
use super::row::{id, unreadable};
use super::transition::{load, transition};
use super::writer::{Operation, Step};
use super::{events, sql};
use crate::broker::JobEventKind;
use crate::id::WorkerId;
use crate::lease::{Heartbeat, LeaseToken, Nack, Settled};
use crate::record::Progress;
use crate::state::JobState;

/// Tokens in the form that the statements read: `[[id, delivery, nonce, result], …]`.
pub(super) fn tokens_json<'a>(
    tokens: impl Iterator<Item = (&'a LeaseToken, Option<&'a str>)>,
) -> Result<String, sqlx::Error> {
    let rows: Vec<_> =
        tokens.map(|(token, result)| (token.id.as_str(), token.delivery, token.nonce.as_str(), result)).collect();
    serde_json::to_string(&rows).map_err(unreadable("tokens"))
}

pub(super) fn token(row: &SqliteRow) -> Result<LeaseToken, sqlx::Error> {
    Ok(LeaseToken {
        id: id(row)?,
        delivery: row.try_get("delivery")?,
        nonce: WorkerId::from_stored(row.try_get("nonce")?),
    })
}

/// The answer for a token that settled nothing.
pub(super) async fn unsettled(step: &mut Step<'_>, queue: i64, token: &LeaseToken) -> Result<Settled, sqlx::Error> {
    if holder(step, queue, token).await?.is_some() {
        return Ok(Settled::Before);
    }
    step.tally(queue).stale += 1;
    Ok(Settled::Superseded)
}

/// The job's state, if the token is that of its latest lease.
async fn holder(step: &mut Step<'_>, queue: i64, token: &LeaseToken) -> Result<Option<JobState>, sqlx::Error> {
    let state: Option<i64> = sqlx::query_scalar(sql::HOLDER)
        .bind(queue)
        .bind(token.id.as_str())
        .bind(token.delivery)
        .bind(token.nonce.as_str())
        .fetch_optional(&mut *step.conn)
        .await?;
    state.map(super::row::state).transpose()
}

pub(super) struct NackAll {
    pub(super) queue: String,
    pub(super) nacks: Vec<Nack>,
}

#[async_trait]
impl Operation for NackAll {
    type Answer = Vec<Settled>;
    const NAME: &'static str = "give back";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Vec<Settled>, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(vec![Settled::Superseded; self.nacks.len()]);
        };
        let now = step.now;
        let mut settled = Vec::with_capacity(self.nacks.len());
        let mut events_to_add = Vec::new();
        for nack in &self.nacks {
            let held = holder(step, queue.id, &nack.token).await? == Some(JobState::Leased);
            let job = if held { load(step, queue.id, &nack.token.id).await? } else { None };
            settled.push(match job {
                Some(job) => {
                    let state = transition(step, queue.id, job, |standing, tally| {
                        standing.nack(nack.action.clone(), now, tally);
                        standing.state
                    });
                    events_to_add.push((&nack.token.id, JobEventKind::of_nack(&nack.action, state.await?)));
                    Settled::Now
                }
                None => unsettled(step, queue.id, &nack.token).await?,
            });
        }
        events::add(step, &queue, events_to_add).await?;
        Ok(settled)
    }
}

pub(super) struct Extend {
    pub(super) queue: String,
    pub(super) tokens: Vec<LeaseToken>,
    pub(super) lease: Duration,
}

#[async_trait]
impl Operation for Extend {
    type Answer = Heartbeat;
    const NAME: &'static str = "heartbeat";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Heartbeat, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(Heartbeat { lost: self.tokens.clone(), cancelled: Vec::new() });
        };
        let deadline = step.now.after(self.lease).unix_ms();
        let mut answer = Heartbeat::default();
        for chunk in self.tokens.chunks(CHUNK) {
            let rows = sqlx::query(sql::EXTEND)
                .bind(tokens_json(chunk.iter().map(|token| (token, None)))?)
                .bind(queue.id)
                .bind(deadline)
                .fetch_all(&mut *step.conn)
                .await?;
            let mut held = HashMap::with_capacity(rows.len());
            for row in &rows {
                held.insert(token(row)?, row.try_get::<bool, _>("cancel_requested")?);
            }
            for token in chunk {
                match held.get(token) {
                    Some(true) => answer.cancelled.push(token.clone()),
                    Some(false) => {}
                    None => answer.lost.push(token.clone()),
                }
            }
        }
        Ok(answer)
    }
}

pub(super) struct StoreProgress {
    pub(super) queue: String,
    pub(super) token: LeaseToken,
    pub(super) progress: Progress,
}

#[async_trait]
impl Operation for StoreProgress {
    type Answer = bool;
    const NAME: &'static str = "progress";

    async fn apply(&self, step: &mut Step<'_>) -> Result<bool, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok(false);
        };
        let written = sqlx::query(sql::PROGRESS)
            .bind(queue.id)
            .bind(self.token.id.as_str())
            .bind(self.token.delivery)
            .bind(self.token.nonce.as_str())
            .bind(self.progress.percent)
            .bind(&self.progress.message)
            .execute(&mut *step.conn)
            .await?;
        let held = written.rows_affected() == 1;
        if held {
            let percent = self.progress.percent;
            events::add(step, &queue, [(&self.token.id, JobEventKind::Progress { percent })]).await?;
        }
        Ok(held)
    }
}
