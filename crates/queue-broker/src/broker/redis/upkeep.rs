//! Maintenance and operators' actions. Each partition is a separate step.

use std::time::Duration;

use tidegate_redis::{Arg, Error};

use super::broker::RedisBroker;
use super::envelope::milliseconds;
use super::queue::Partition;
use super::reply::{Fields, Unreadable, failed, unreadable};
use crate::broker::{Change, CleanableState, Promoted, Reclaim, Reclaimed, Retention};
use crate::error::BrokerError;
use crate::id::JobId;
use crate::state::JobState;
use crate::timestamp::Timestamp;

/// Most jobs moved or removed by one script, whatever the caller's limit. Other clients wait while
/// it runs.
const MOST: usize = 10_000;
/// Most jobs cancelled or retried by one script, which checks each of them.
const MOST_DRAINED: usize = 1_000;
/// Most jobs removed by id in one script. Each may cost a search of the list of done jobs.
const MOST_BY_ID: usize = 20;

const PROMOTE: &str = "promote";
const RECLAIM: &str = "reclaim";
const REMOVE: &str = "remove finished jobs";
const REMOVE_SOME: &str = "remove jobs";
const PAUSE: &str = "pause or resume";
const DRAIN: &str = "drain";
const RETRY_DEAD: &str = "retry dead jobs";
const CHANGE: &str = "change a job";

/// An operator's request for one job.
#[derive(Clone, Copy)]
pub(super) enum JobChange {
    Cancel,
    Retry,
}

impl RedisBroker {
    pub(super) async fn make_ready(&self, name: &str, limit: usize) -> Result<Promoted, BrokerError> {
        let queue = self.queue(name).await?;
        let mut promoted = Promoted { moved: 0, next_due: None };
        // An unreachable shard does not stop the others.
        let mut failure = None;
        for partition in &queue.partitions {
            let args = vec![(limit - promoted.moved.min(limit)).min(MOST).into()];
            let reply = match self.scripts.promote.run(&self.client, &partition.keys, args).await {
                Ok(reply) => reply,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let (moved, due) = moved_and_due(reply).map_err(unreadable(PROMOTE))?;
            promoted.moved += moved;
            promoted.next_due = [promoted.next_due, due].into_iter().flatten().min();
        }
        failure.map_or(Ok(promoted), |error| Err(failed(PROMOTE)(error)))
    }

    pub(super) async fn take_back(&self, name: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        let queue = self.queue(name).await?;
        let mut all = Reclaimed::default();
        let mut failure = None;
        for partition in &queue.partitions {
            let taken = all.ready.len() + all.dead.len() + all.cancelled.len();
            let args = vec![
                milliseconds(request.lease).into(),
                milliseconds(request.pause).into(),
                request.max_lost.into(),
                request.limit.saturating_sub(taken).min(MOST).into(),
            ];
            let reply = match self.scripts.reclaim.run(&self.client, &partition.keys, args).await {
                Ok(reply) => reply,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let mut reply = Fields::of(reply).map_err(unreadable(RECLAIM))?;
            all.guarded |= reply.int().map_err(unreadable(RECLAIM))? == 1;
            for into in [&mut all.ready, &mut all.dead, &mut all.cancelled] {
                into.extend(reply.ids().map_err(unreadable(RECLAIM))?);
            }
            let next_in = reply.milliseconds_if_any().map_err(unreadable(RECLAIM))?;
            all.next_in = [all.next_in, next_in].into_iter().flatten().min();
            if let Some(server) = reply.text_if_any().map_err(unreadable(RECLAIM))? {
                self.audits.begin(&self.client, &self.scripts, name, &partition.keys, server);
            }
        }
        failure.map_or(Ok(all), |error| Err(failed(RECLAIM)(error)))
    }

    pub(super) async fn trim(&self, name: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        let queue = self.queue(name).await?;
        let share = queue.partitions.len() as u64;
        let (mut removed, mut failure) = (0, None);
        for partition in &queue.partitions {
            let mut args: Vec<Arg> = vec![1_u32.into()];
            for (state, age, max) in retention.limits() {
                // A limit above the size of any set has no effect, and is not sent.
                let kept = u32::try_from(max.div_ceil(share)).map_or_else(|_| Arg::from(""), Arg::from);
                args.extend([state.as_str().into(), milliseconds(age).into(), kept]);
            }
            removed += self.remove(partition, limit.min(MOST), args, &mut failure).await?;
        }
        failure.map_or(Ok(removed), |error| Err(failed(REMOVE)(error)))
    }

    /// Removes at most `limit` jobs of each state. Jobs with logs may need several steps.
    async fn remove(
        &self,
        partition: &Partition,
        limit: usize,
        args: Vec<Arg>,
        failure: &mut Option<Error>,
    ) -> Result<usize, BrokerError> {
        let mut removed = 0;
        loop {
            let most = [limit.saturating_sub(removed).into()];
            let args = most.into_iter().chain(args.iter().cloned()).collect();
            match self.scripts.remove.run(&self.client, &partition.keys, args).await {
                Ok(reply) => {
                    let mut reply = Fields::of(reply).map_err(unreadable(REMOVE))?;
                    removed += reply.number::<usize>().map_err(unreadable(REMOVE))?;
                    if reply.int().map_err(unreadable(REMOVE))? == 0 || removed >= limit {
                        return Ok(removed);
                    }
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    return Ok(removed);
                }
            }
        }
    }

    pub(super) async fn remove_old(
        &self,
        name: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        let queue = self.queue(name).await?;
        let state = JobState::from(state).as_str();
        let (mut removed, mut failure) = (0, None);
        for partition in &queue.partitions {
            let most = limit.saturating_sub(removed).min(MOST);
            let args = vec![0_u32.into(), state.into(), milliseconds(older_than).into(), "".into()];
            removed += self.remove(partition, most, args, &mut failure).await?;
        }
        failure.map_or(Ok(removed), |error| Err(failed(REMOVE)(error)))
    }

    pub(super) async fn remove_some(&self, name: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError> {
        let queue = self.queue(name).await?;
        let mut changes = vec![Change::NotFound; ids.len()];
        let mut failure = None;
        for (partition, ids) in queue.by_partition(ids.iter().collect(), |id| *id).into_iter().enumerate() {
            let keys = &queue.partitions[partition].keys;
            for ids in ids.chunks(MOST_BY_ID) {
                let args = ids.iter().map(|(_, id)| id.as_str().into()).collect();
                let reply = match self.scripts.remove_some.run(&self.client, keys, args).await {
                    Ok(reply) => reply,
                    Err(error) => {
                        failure.get_or_insert(error);
                        // The other partitions may be on other shards.
                        break;
                    }
                };
                let mut reply = Fields::of(reply).map_err(unreadable(REMOVE_SOME))?;
                for (position, _) in ids {
                    let answer = reply.text().map_err(unreadable(REMOVE_SOME))?;
                    changes[*position] = change_of(&answer).map_err(unreadable(REMOVE_SOME))?;
                }
            }
        }
        failure.map_or(Ok(changes), |error| Err(failed(REMOVE_SOME)(error)))
    }

    pub(super) async fn set_paused(&self, name: &str, paused: bool) -> Result<(), BrokerError> {
        let queue = self.queue_or_make(name).await?;
        let mut failure = None;
        for partition in &queue.partitions {
            let args = vec![u32::from(paused).into()];
            let reply = self.scripts.pause.run(&self.client, &partition.keys, args).await;
            match reply.and_then(|is_new| is_new.as_int()).map_err(failed(PAUSE)) {
                Ok(1) => failure = failure.or(self.register(&queue).await.err()),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) async fn cancel_all(&self, name: &str, limit: usize) -> Result<usize, BrokerError> {
        let queue = self.queue(name).await?;
        let (mut drained, mut failure) = (0, None);
        for partition in &queue.partitions {
            loop {
                let args = vec![limit.saturating_sub(drained).min(MOST_DRAINED).into()];
                match self.scripts.drain.run(&self.client, &partition.keys, args).await {
                    Ok(reply) => {
                        let mut reply = Fields::of(reply).map_err(unreadable(DRAIN))?;
                        drained += reply.number::<usize>().map_err(unreadable(DRAIN))?;
                        if reply.int().map_err(unreadable(DRAIN))? == 0 || drained >= limit {
                            break;
                        }
                    }
                    Err(error) => {
                        failure.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        failure.map_or(Ok(drained), |error| Err(failed(DRAIN)(error)))
    }

    pub(super) async fn revive_dead(&self, name: &str, limit: usize) -> Result<usize, BrokerError> {
        let queue = self.queue(name).await?;
        let (mut revived, mut failure) = (0, None);
        for partition in &queue.partitions {
            loop {
                let args = vec![limit.saturating_sub(revived).min(MOST_DRAINED).into()];
                match self.scripts.retry_dead.run(&self.client, &partition.keys, args).await {
                    Ok(reply) => {
                        let mut reply = Fields::of(reply).map_err(unreadable(RETRY_DEAD))?;
                        revived += reply.number::<usize>().map_err(unreadable(RETRY_DEAD))?;
                        if reply.int().map_err(unreadable(RETRY_DEAD))? == 0 || revived >= limit {
                            break;
                        }
                    }
                    Err(error) => {
                        failure.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        failure.map_or(Ok(revived), |error| Err(failed(RETRY_DEAD)(error)))
    }

    pub(super) async fn change(&self, name: &str, id: &JobId, change: JobChange) -> Result<Change, BrokerError> {
        let queue = self.queue(name).await?;
        let change = match change {
            JobChange::Cancel => "cancel",
            JobChange::Retry => "retry",
        };
        let args = vec![id.as_str().into(), change.into()];
        let reply = self.scripts.change.run(&self.client, queue.keys_of(id), args).await;
        match reply.and_then(tidegate_redis::Value::into_text).map_err(failed(CHANGE))?.as_str() {
            "applied" => Ok(Change::Applied),
            "requested" => Ok(Change::Requested),
            "missing" => Ok(Change::NotFound),
            state => Ok(Change::Refused(state.parse().map_err(Unreadable::from).map_err(unreadable(CHANGE))?)),
        }
    }
}

/// Reads the result of removing one job.
fn change_of(answer: &str) -> Result<Change, Unreadable> {
    match answer {
        "removed" => Ok(Change::Applied),
        "missing" => Ok(Change::NotFound),
        state => Ok(Change::Refused(state.parse()?)),
    }
}

pub(super) fn moved_and_due(reply: tidegate_redis::Value) -> Result<(usize, Option<Timestamp>), Unreadable> {
    let mut reply = Fields::of(reply)?;
    let moved = reply.number()?;
    let due = reply.text_if_any()?.map(|due| due.parse().map(Timestamp::from_unix_ms)).transpose()?;
    Ok((moved, due))
}
