//! Enqueueing: jobs that arrive while a step is in progress are sent together in the next step.
//!
//! The first caller's jobs are sent at once. Each caller gets its own answer. No batch is split.

use std::sync::Arc;

use tidegate_redis::{Arg, Client, Value};
use tokio::runtime::Handle;

use super::durability::RedisDurability;
use super::durable::Durable;
use super::envelope::{is_linked, rest, when};
use super::failure::Failure;
use super::gather::{Answer, Gather, Group, MOST, Turn};
use super::keys::Part;
use super::queue::{Partition, Queue};
use super::reply::Fields;
use super::scripts::{Scripts, Step};
use super::stored::{common_level, distinct, stored};
use crate::broker::{NewJob, Stored};
use crate::state::Priority;

/// Sends jobs to one partition. Cheap to clone.
#[derive(Clone)]
pub(super) struct Carrier {
    client: Client,
    scripts: Arc<Scripts>,
    /// Key of the registry's hash of queue names.
    names: Arc<str>,
    runtime: Handle,
    durable: Option<Arc<Durable>>,
}

impl Carrier {
    pub(super) fn new(client: Client, scripts: Arc<Scripts>, names: &str, durability: RedisDurability) -> Self {
        let durable = Durable::new(&client, durability).map(Arc::new);
        Self { client, scripts, names: names.into(), runtime: Handle::current(), durable }
    }

    /// Runs a script that stores jobs, and waits for the configured confirmations.
    async fn run(
        &self,
        step: &Step,
        partition: &Partition,
        list: Option<Part>,
        args: Vec<Arg>,
    ) -> Result<Value, Failure> {
        let keys = &partition.keys;
        match (&self.durable, list) {
            (Some(durable), _) => durable.run(step, keys, list, args).await,
            (None, Some(list)) => Ok(step.run_on(&self.client, keys, list, args).await?),
            (None, None) => Ok(step.run(&self.client, keys, args).await?),
        }
    }

    /// Stores jobs of one partition, together with other callers' jobs if they have to wait.
    pub(super) async fn put(&self, queue: &Arc<Queue>, nth: usize, jobs: Vec<NewJob>) -> Answer {
        if jobs.len() >= MOST {
            return self.store(queue, &queue.partitions[nth], &jobs).await;
        }
        let track = Track { nth, is_linked: jobs.iter().any(is_linked) };
        match track.gather(queue).join(jobs) {
            Turn::Later(answered) => answered.await.unwrap_or(Err(Failure::Gone)),
            Turn::Now(jobs) => {
                // Continues with the waiting jobs even if this caller is cancelled.
                let _batch = BatchInProgress { carrier: self, queue, track };
                self.store(queue, &queue.partitions[nth], &jobs).await
            }
        }
    }

    /// Sends the waiting jobs until there are none.
    async fn go_on(self, mut rest: Remaining) {
        let Remaining { queue, track, .. } = &rest;
        let (queue, track) = (queue.clone(), *track);
        loop {
            let groups = track.gather(&queue).next();
            if groups.is_empty() {
                rest.is_done = true;
                return;
            }
            let (mut jobs, mut answers) = (Vec::new(), Vec::with_capacity(groups.len()));
            for Group { jobs: more, answer, .. } in groups {
                answers.push((more.len(), answer));
                jobs.extend(more);
            }
            let mut stored = self.store(&queue, &queue.partitions[track.nth], &jobs).await.map(Vec::into_iter);
            for (count, answer) in answers {
                let of_caller = match &mut stored {
                    Ok(stored) => Ok(stored.take(count).collect()),
                    Err(failure) => Err(failure.clone()),
                };
                // Fails if the caller was cancelled.
                let _ = answer.send(of_caller);
            }
        }
    }

    async fn store(&self, queue: &Queue, partition: &Partition, jobs: &[NewJob]) -> Answer {
        let has_links = jobs.iter().any(is_linked);
        // Among linked jobs with one id, the first may be refused and a later one stored, so the
        // script checks each.
        let (distinct, repeated) = if has_links { (jobs.iter().collect(), Vec::new()) } else { distinct(jobs) };
        let reply = if has_links {
            self.store_linked(partition, &distinct).await?
        } else if let Some(level) = common_level(&distinct) {
            self.store_plain(partition, level, &distinct).await?
        } else {
            self.store_any(partition, &distinct).await?
        };
        let mut reply = Fields::of(reply)?;
        // Also if the server lost all data, with the registry.
        if reply.int()? == 1 {
            queue.register(&self.client, &self.names).await.map_err(Failure::Unregistered)?;
        }
        let mut answer = stored(reply.value(), distinct.len())?;
        for position in repeated {
            answer.insert(position, Stored::Existing);
        }
        Ok(answer)
    }

    async fn store_plain(&self, partition: &Partition, level: Priority, jobs: &[&NewJob]) -> Result<Value, Failure> {
        let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 2 + 1);
        args.push(u32::from(level.level()).into());
        args.extend(jobs.iter().map(|job| Arg::from(job.id().as_str())));
        args.extend(jobs.iter().zip(1..).map(|(job, nth)| Arg::from(rest(nth, job))));
        self.run(&self.scripts.enqueue, partition, Some(Part::ready(level)), args).await
    }

    async fn store_any(&self, partition: &Partition, jobs: &[&NewJob]) -> Result<Value, Failure> {
        let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 3);
        for (job, nth) in jobs.iter().zip(1..) {
            args.extend([job.id().as_str().into(), when(job).into(), rest(nth, job).into()]);
        }
        self.run(&self.scripts.enqueue_any, partition, None, args).await
    }

    async fn store_linked(&self, partition: &Partition, jobs: &[&NewJob]) -> Result<Value, Failure> {
        let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 4);
        for (job, nth) in jobs.iter().zip(1..) {
            let is_linked = u32::from(is_linked(job));
            args.extend([job.id().as_str().into(), when(job).into(), rest(nth, job).into(), is_linked.into()]);
        }
        self.run(&self.scripts.enqueue_linked, partition, None, args).await
    }
}

/// Identifies one `Gather` of a queue.
#[derive(Clone, Copy)]
struct Track {
    nth: usize,
    is_linked: bool,
}

impl Track {
    fn gather(self, queue: &Queue) -> &Gather {
        let partition = &queue.partitions[self.nth];
        if self.is_linked { &partition.gather_linked } else { &partition.gather }
    }
}

/// A step of one caller. When it ends, the waiting jobs are sent.
struct BatchInProgress<'a> {
    carrier: &'a Carrier,
    queue: &'a Arc<Queue>,
    track: Track,
}

impl Drop for BatchInProgress<'_> {
    fn drop(&mut self) {
        let mut gathered = self.track.gather(self.queue).lock();
        if gathered.waiting.is_empty() {
            gathered.under_way -= 1;
            return;
        }
        drop(gathered);
        let rest = Remaining { queue: self.queue.clone(), track: self.track, is_done: false };
        // On the client's own runtime: the caller's may be about to end.
        self.carrier.runtime.spawn(self.carrier.clone().go_on(rest));
    }
}

/// The waiting callers of a task that ends early or never starts because its runtime has ended.
/// Dropping it fails them, so that they don't wait for ever.
struct Remaining {
    queue: Arc<Queue>,
    track: Track,
    is_done: bool,
}

impl Drop for Remaining {
    fn drop(&mut self) {
        if !self.is_done {
            let mut gathered = self.track.gather(&self.queue).lock();
            gathered.under_way -= 1;
            let waiting = std::mem::take(&mut gathered.waiting);
            drop(gathered);
            drop(waiting);
        }
    }
}
