//! The frequent steps: enqueue, and settle and fetch. One statement for many rows.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::Row;

use super::chunk::chunks;
use super::insert::{has_key, insert};
use super::row::{Links, id, limit, maybe_time, priority, time};
use super::settle::tokens_json;
use super::writer::{Operation, QueueRow, Step};
use super::{events, keyed, links, sql};
use crate::broker::standing::Standing;
use crate::broker::{Fetch, JobEventKind, NewJob, Stored};
use crate::id::GroupId;
use crate::lease::{Ack, LeaseToken, LeasedJob, Settled};
use crate::state::JobState;

pub(super) struct Enqueue {
    pub(super) queue: String,
    pub(super) jobs: Vec<NewJob>,
}

#[async_trait]
impl Operation for Enqueue {
    type Answer = Vec<Stored>;
    const NAME: &'static str = "enqueue";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Vec<Stored>, sqlx::Error> {
        let queue = step.queue_or_make(&self.queue).await?;
        let mut stored = Vec::with_capacity(self.jobs.len());
        for chunk in chunks(&self.jobs, |job| job.payload.len()) {
            // Jobs with keys depend on the jobs before them.
            for run in chunk.chunk_by(|a, b| has_key(a) == has_key(b)) {
                if has_key(&run[0]) {
                    for job in run {
                        stored.push(keyed::enqueue(step, &queue, job).await?);
                    }
                } else {
                    add_plain(step, &queue, run, &mut stored).await?;
                }
            }
        }
        Ok(stored)
    }
}

async fn add_plain(
    step: &mut Step<'_>,
    queue: &QueueRow,
    jobs: &[NewJob],
    stored: &mut Vec<Stored>,
) -> Result<(), sqlx::Error> {
    let now = step.now;
    let last: i64 = sqlx::query_scalar(sql::LAST_SEQ).fetch_one(&mut *step.conn).await?;
    let standings: Vec<_> = jobs.iter().map(|job| Standing::new(now, job.due_at(now))).collect();
    let rows: Vec<_> = jobs.iter().zip(&standings).collect();
    let is_new = if insert(step, queue.id, &rows).await? == jobs.len() {
        vec![true; jobs.len()]
    } else {
        let ids = sqlx::query_scalar::<_, String>(sql::ADDED).bind(last).bind(queue.id).fetch_all(&mut *step.conn);
        let mut ids: HashSet<String> = ids.await?.into_iter().collect();
        jobs.iter().map(|job| ids.remove(job.id.as_str())).collect()
    };
    let tally = step.tally(queue.id);
    for (standing, _) in standings.iter().zip(&is_new).filter(|(_, is_new)| **is_new) {
        tally.enter(standing.state, 1);
    }
    let new = || jobs.iter().zip(&is_new).filter(|(_, is_new)| **is_new).map(|(job, _)| job);
    links::join_groups(step, queue.id, new()).await?;
    events::add(step, queue, new().map(|job| (&job.id, JobEventKind::Enqueued))).await?;
    stored.extend(is_new.iter().map(|is_new| if *is_new { Stored::New } else { Stored::Existing }));
    Ok(())
}

pub(super) struct AckAndFetch {
    pub(super) queue: String,
    pub(super) acks: Vec<Ack>,
    pub(super) fetch: Fetch,
}

#[async_trait]
impl Operation for AckAndFetch {
    type Answer = (Vec<Settled>, Vec<LeasedJob>);
    const NAME: &'static str = "acknowledge and fetch";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Self::Answer, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok((vec![Settled::Superseded; self.acks.len()], Vec::new()));
        };
        let mut settled = Vec::with_capacity(self.acks.len());
        for chunk in chunks(&self.acks, |ack| ack.result.len()) {
            settled.extend(acknowledge(step, &queue, chunk).await?);
        }
        // Jobs that the settlements released are included.
        let leased = match step.queue(&self.queue).await? {
            Some(queue) if self.fetch.max > 0 && queue.has_ready && !queue.paused => {
                lease(step, &queue, &self.fetch).await?
            }
            _ => Vec::new(),
        };
        Ok((settled, leased))
    }
}

async fn acknowledge(step: &mut Step<'_>, queue: &QueueRow, acks: &[Ack]) -> Result<Vec<Settled>, sqlx::Error> {
    let tokens = tokens_json(acks.iter().map(|ack| (&ack.token, Some(ack.result.as_str()))))?;
    let rows =
        sqlx::query(sql::ACK).bind(tokens).bind(queue.id).bind(step.now.unix_ms()).fetch_all(&mut *step.conn).await?;
    let mut done: HashSet<LeaseToken> = HashSet::with_capacity(rows.len());
    let mut linked = Vec::new();
    for row in rows {
        let token = super::settle::token(&row)?;
        let links = Links::read(&row)?;
        if !links.is_empty() {
            linked.push((row.try_get::<i64, _>("seq")?, token.id.clone(), links));
        }
        done.insert(token);
    }
    let tally = step.tally(queue.id);
    tally.shift(JobState::Leased, JobState::Done, done.len());
    tally.completed += i64::try_from(done.len()).unwrap_or(i64::MAX);
    let mut settled = Vec::with_capacity(acks.len());
    for ack in acks {
        // A token that occurs twice in a batch was settled by its first occurrence.
        settled.push(if done.remove(&ack.token) {
            Settled::Now
        } else {
            super::settle::unsettled(step, queue.id, &ack.token).await?
        });
    }
    linked.sort_unstable_by_key(|(seq, ..)| *seq);
    for (_, id, links) in linked {
        links::has_ended(step, queue.id, &id, &links, JobState::Done).await?;
    }
    let done = acks.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Now);
    events::add(step, queue, done.map(|(ack, _)| (&ack.token.id, JobEventKind::Done))).await?;
    Ok(settled)
}

async fn lease(step: &mut Step<'_>, queue: &QueueRow, fetch: &Fetch) -> Result<Vec<LeasedJob>, sqlx::Error> {
    let now = step.now;
    let most = fetch.max.min(queue.settings.admitted(queue.leased, queue.throttle, now));
    if most == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql::FETCH)
        .bind(queue.id)
        .bind(now.after(fetch.lease).unix_ms())
        .bind(fetch.worker.as_str())
        .bind(now.unix_ms())
        .bind(limit(most))
        .fetch_all(&mut *step.conn)
        .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in &rows {
        let token = LeaseToken { id: id(row)?, delivery: row.try_get("delivery")?, nonce: fetch.worker.clone() };
        let timeout: Option<i64> = row.try_get("timeout_ms")?;
        let job = LeasedJob {
            token,
            kind: row.try_get("kind")?,
            version: row.try_get("version")?,
            payload: row.try_get("payload")?,
            priority: priority(row)?,
            max_attempts: row.try_get("max_attempts")?,
            timeout: timeout.map(|ms| std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(1))),
            failures: row.try_get("failures")?,
            created_at: time(row, "created_at")?,
            ready_at: time(row, "ready_at")?,
            leased_at: now,
            expires_at: maybe_time(row, "expires_at")?,
            trace_parent: row.try_get("trace_parent")?,
            group: row.try_get::<Option<String>, _>("job_group")?.and_then(|group| GroupId::new(group).ok()),
            checkpoint: row.try_get("checkpoint")?,
        };
        jobs.push((row.try_get::<i64, _>("seq")?, job));
    }
    step.tally(queue.id).shift(JobState::Ready, JobState::Leased, jobs.len());
    if let Some(rate) = queue.settings.rate {
        let mut throttle = queue.throttle;
        throttle.take(jobs.len(), rate, now);
        sqlx::query(sql::TOKENS_TAKEN).bind(queue.id).bind(throttle.full_at).execute(&mut *step.conn).await?;
    }
    // An UPDATE returns its rows in an unspecified order.
    jobs.sort_unstable_by_key(|(seq, job)| (job.priority, job.ready_at, *seq));
    let jobs: Vec<_> = jobs.into_iter().map(|(_, job)| job).collect();
    events::add(step, queue, jobs.iter().map(|job| (&job.token.id, JobEventKind::Started))).await?;
    Ok(jobs)
}
