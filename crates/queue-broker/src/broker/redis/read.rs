//! Reads of one job, a page of jobs, and the counts.

use futures_util::future::try_join_all;
use tidegate_redis::{Arg, Value};

use super::broker::RedisBroker;
use super::keys::Part;
use super::queue::Partition;
use super::reply::{Fields, ListedJob, Unreadable, failed, shown, unreadable};
use crate::broker::{Cursor, Page, QueueCounts};
use crate::error::BrokerError;
use crate::id::JobId;
use crate::record::JobRecord;
use crate::state::JobState;

/// Most jobs in one page: a page is one script's reply, including payloads.
const LONGEST_PAGE: usize = 500;
/// Bits of the partition, below the age, in a cursor of ready jobs.
const PARTITION_BITS: u32 = 16;

const JOB: &str = "read a job";
const LIST: &str = "list jobs";
const COUNT: &str = "count jobs";

impl RedisBroker {
    pub(super) async fn read(&self, name: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        let queue = self.queue(name).await?;
        let reply = self.scripts.job.run(&self.client, queue.keys_of(id), vec![id.as_str().into()]).await;
        match reply.map_err(failed(JOB))? {
            Value::Nil => Ok(None),
            found => shown(found, name).map(|job| Some(job.record)).map_err(unreadable(JOB)),
        }
    }

    /// Reads from each partition the jobs after the cursor, and merges them.
    pub(super) async fn page(
        &self,
        name: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        let queue = self.queue(name).await?;
        let limit = limit.min(LONGEST_PAGE);
        let pages = queue.partitions.iter().zip(0_i64..).map(|(partition, nth)| async move {
            let jobs = match state {
                JobState::Ready => self.ready_behind(partition, nth, cursor, limit + 1).await?,
                _ => self.sorted_behind(partition, nth, state, cursor, limit + 1).await?,
            };
            let jobs = jobs.into_array().map_err(failed(LIST))?;
            let readable =
                |job| shown(job, name).inspect_err(|error| tracing::warn!(%error, "a job's record can't be read"));
            let jobs: Vec<_> = jobs.into_iter().filter_map(|job| readable(job).ok()).collect();
            let places = places(&jobs, nth, state, cursor);
            Ok::<_, BrokerError>(places.into_iter().zip(jobs).collect::<Vec<_>>())
        });
        let mut jobs: Vec<(Cursor, ListedJob)> = try_join_all(pages).await?.into_iter().flatten().collect();
        // Finished jobs are sorted with the latest first. Jobs of the same time are sorted by
        // partition, ascending in both cases.
        jobs.sort_by_key(|(at, _)| match state {
            JobState::Ready => (at.rank, at.at, at.seq),
            _ if state.is_finished() => (-at.at, at.rank, at.seq),
            _ => (at.at, at.rank, at.seq),
        });
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().map(|(at, _)| *at).filter(|_| more);
        Ok(Page { items: jobs.into_iter().map(|(_, job)| job.record).collect(), next })
    }

    async fn ready_behind(
        &self,
        partition: &Partition,
        nth: i64,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Value, BrokerError> {
        let from = cursor.unwrap_or(Cursor { rank: 0, at: -1, seq: -1 });
        // After a job of one age, jobs of the same age in later partitions follow.
        let (seq, last) = (from.seq >> PARTITION_BITS, from.seq & ((1 << PARTITION_BITS) - 1));
        let seq = if cursor.is_none() || nth <= last { seq } else { seq - 1 };
        let args = vec![from.rank.clamp(0, 5).into(), from.at.into(), seq.into(), limit.into()];
        self.scripts.list_ready.run(&self.client, &partition.keys, args).await.map_err(failed(LIST))
    }

    async fn sorted_behind(
        &self,
        partition: &Partition,
        nth: i64,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Value, BrokerError> {
        let (from, skip) = match cursor {
            None => (String::new(), 0),
            Some(cursor) if nth < cursor.rank => (format!("({}", cursor.at), 0),
            Some(cursor) if nth == cursor.rank => (cursor.at.to_string(), cursor.seq),
            Some(cursor) => (cursor.at.to_string(), 0),
        };
        let place: [Arg; 3] = [from.into(), skip.max(0).into(), limit.into()];
        let list_of = async |set| {
            let direction = if state.is_finished() { "down" } else { "up" };
            let args = [state.as_str().into(), direction.into()].into_iter().chain(place.clone()).collect();
            self.scripts.list.run_on(&self.client, &partition.keys, set, args).await
        };
        let reply = match state {
            JobState::Done => self.scripts.list_done.run(&self.client, &partition.keys, place.to_vec()).await,
            JobState::Leased => self.scripts.list_leased.run(&self.client, &partition.keys, place.to_vec()).await,
            JobState::Delayed => list_of(Part::Delayed).await,
            JobState::Waiting => list_of(Part::Waiting).await,
            JobState::Dead => list_of(Part::Dead).await,
            _ => list_of(Part::Cancelled).await,
        };
        reply.map_err(failed(LIST))
    }

    pub(super) async fn numbers(&self, name: &str) -> Result<QueueCounts, BrokerError> {
        let queue = self.queue(name).await?;
        let parts = queue.partitions.iter().map(|partition| async {
            let reply = self.scripts.counts.run(&self.client, &partition.keys, Vec::new()).await;
            match reply.map_err(failed(COUNT))? {
                Value::Nil => Ok(None),
                counts => counts_of(counts).map(Some).map_err(unreadable(COUNT)),
            }
        });
        let mut all = QueueCounts::default();
        for part in try_join_all(parts).await?.into_iter().flatten() {
            all.ready += part.ready;
            all.delayed += part.delayed;
            all.waiting += part.waiting;
            all.leased += part.leased;
            all.done += part.done;
            all.dead += part.dead;
            all.cancelled += part.cancelled;
            all.oldest_ready_age = all.oldest_ready_age.max(part.oldest_ready_age);
            all.paused |= part.paused;
            all.completed_total += part.completed_total;
            all.failed_total += part.failed_total;
            all.retried_total += part.retried_total;
            all.reclaimed_total += part.reclaimed_total;
            all.stale_acks_total += part.stale_acks_total;
            all.recovered_total += part.recovered_total;
            all.dropped_total += part.dropped_total;
        }
        Ok(all)
    }
}

/// The position of each job of a partition's page, as a cursor. Ready jobs: priority, time and age.
/// Other jobs: time, partition, and the number of earlier jobs with the same time in the partition.
fn places(jobs: &[ListedJob], partition: i64, state: JobState, cursor: Option<Cursor>) -> Vec<Cursor> {
    let mut seen = cursor.filter(|cursor| cursor.rank == partition).map_or((-1, 0), |cursor| (cursor.at, cursor.seq));
    let place = |job: &ListedJob| {
        if state == JobState::Ready {
            let rank = i64::from(job.record.priority.level());
            return Cursor { rank, at: job.at, seq: (job.seq << PARTITION_BITS) | partition };
        }
        seen = if seen.0 == job.at { (job.at, seen.1 + 1) } else { (job.at, 1) };
        Cursor { rank: partition, at: job.at, seq: seen.1 }
    };
    jobs.iter().map(place).collect()
}

pub(super) fn counts_of(reply: Value) -> Result<QueueCounts, Unreadable> {
    let mut reply = Fields::of(reply)?;
    let mut counts = QueueCounts {
        ready: reply.count()?,
        delayed: reply.count()?,
        waiting: 0,
        leased: reply.count()?,
        done: reply.count()?,
        dead: reply.count()?,
        cancelled: reply.count()?,
        oldest_ready_age: reply.milliseconds_if_any()?,
        paused: reply.int()? == 1,
        completed_total: reply.count()?,
        failed_total: reply.count()?,
        retried_total: reply.count()?,
        reclaimed_total: reply.count()?,
        stale_acks_total: reply.count()?,
        recovered_total: 0,
        dropped_total: 0,
    };
    counts.waiting = reply.count()?;
    counts.recovered_total = reply.count()?;
    counts.dropped_total = reply.count()?;
    Ok(counts)
}
