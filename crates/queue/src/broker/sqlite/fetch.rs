//! The frequent steps: enqueue, and settle and fetch. One statement for many rows.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::Row;

use super::row::{Links, id, limit, maybe_time, milliseconds, priority, time};
use super::settle::tokens_json;
use super::writer::{Operation, QueueRow, Step};
use super::{events, links, sql};
use crate::broker::standing::Standing;
use crate::broker::{Fetch, JobEventKind, NewJob, Stored};
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::lease::{Ack, LeaseToken, LeasedJob, Settled};
use crate::state::State;

/// Most rows in one statement.
pub(super) const CHUNK: usize = 500;
/// Most bytes of payloads or results in one statement, except for its first row: SQLite refuses
/// JSON above 1 GB.
const CHUNK_BYTES: usize = 8 << 20;

/// Splits rows into the chunks that one statement takes.
fn chunks<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut total = 0;
        let fits = rows.iter().take(CHUNK).take_while(|row| {
            total += bytes(row);
            total <= CHUNK_BYTES
        });
        let count = fits.count().max(1).min(rows.len());
        let (chunk, rest) = rows.split_at(count);
        rows = rest;
        (count > 0).then_some(chunk)
    })
}

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
                        stored.push(links::enqueue(step, &queue, job).await?);
                    }
                } else {
                    add_plain(step, &queue, run, &mut stored).await?;
                }
            }
        }
        Ok(stored)
    }
}

fn has_key(job: &NewJob) -> bool {
    job.ordering_key.is_some() || job.unique.is_some()
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
    stored.extend(is_new.iter().map(|is_new| if *is_new { Stored::New } else { Stored::Known }));
    Ok(())
}

/// Inserts jobs, numbered in this order in any state. Returns how many were new.
pub(super) async fn insert(
    step: &mut Step<'_>,
    queue: i64,
    jobs: &[(&NewJob, &Standing)],
) -> Result<usize, sqlx::Error> {
    let now = step.now;
    let rows: Vec<_> = jobs.iter().map(|(job, standing)| row(job, standing, now)).collect();
    let rows = serde_json::to_string(&rows).map_err(super::row::unreadable("jobs"))?;
    let done = sqlx::query(sql::ENQUEUE).bind(rows).bind(queue).bind(now.unix_ms()).execute(&mut *step.conn).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// A row in the form that the statement reads.
type NewRow<'a> = (i64, &'a str, u8, i64, i64, &'a str, u32, &'a str, Option<u32>, Option<i64>, Option<Extras<'a>>);
type Extras<'a> = (Option<i64>, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>, u8);

fn row<'a>(job: &'a NewJob, standing: &Standing, now: Timestamp) -> NewRow<'a> {
    (
        super::row::number(standing.state),
        job.id.as_str(),
        job.priority.level(),
        standing.at.unix_ms(),
        standing.run_at.unix_ms(),
        &job.kind,
        job.version,
        &job.payload,
        job.max_attempts,
        job.timeout.map(milliseconds),
        extras(job, now),
    )
}

fn extras(job: &NewJob, now: Timestamp) -> Option<Extras<'_>> {
    let is_plain = job.expiry.is_none() && job.group.is_none() && job.trace_parent.is_none() && !has_key(job);
    (!is_plain).then(|| {
        (
            job.expires_at(now).map(Timestamp::unix_ms),
            job.group.as_ref().map(GroupId::as_str),
            job.trace_parent.as_deref(),
            job.ordering_key.as_deref(),
            job.unique.as_ref().map(|unique| unique.key.as_str()),
            u8::from(job.unique.as_ref().is_some_and(|unique| unique.hold.is_none())),
        )
    })
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
    tally.shift(State::Leased, State::Done, done.len());
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
        links::has_ended(step, queue.id, &id, &links, State::Done).await?;
    }
    let told = acks.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Now);
    events::add(step, queue, told.map(|(ack, _)| (&ack.token.id, JobEventKind::Done))).await?;
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
    step.tally(queue.id).shift(State::Ready, State::Leased, jobs.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_takes_so_many_rows_and_bytes_but_always_one() {
        let cut = |rows: &[usize]| chunks(rows, |bytes| *bytes).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(cut(&[]), [0; 0]);
        assert_eq!(cut(&[1; 1_001]), [500, 500, 1]);
        assert_eq!(cut(&[1 << 20; 20]), [8, 8, 4]);
        assert_eq!(cut(&[CHUNK_BYTES + 1, 1, CHUNK_BYTES, usize::MAX >> 1]), [1, 1, 1, 1]);
    }
}
