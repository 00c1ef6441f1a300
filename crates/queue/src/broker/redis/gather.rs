//! Enqueueing: jobs that arrive while a step is in progress are sent together in the next step.
//!
//! The first caller's jobs are sent at once. Each caller gets its own answer. No batch is split.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tidegate_redis::{Arg, Client, Error, Value};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::RedisBroker;
use super::durability::{Durable, NotDurable, RedisDurability};
use super::envelope::{is_linked, rest, when};
use super::keys::Part;
use super::queue::{Partition, Queue};
use super::reply::{Fields, Unreadable, failed, unreadable};
use super::scripts::{Scripts, Step};
use crate::broker::{NewJob, Stored};
use crate::error::BrokerError;
use crate::id::JobId;
use crate::state::Priority;

const ENQUEUE: &str = "enqueue";

/// Most jobs sent together. A larger batch of one caller is sent alone.
const MOST: usize = 500;
/// Most bytes of payload sent together: a job may have 1 MiB, and other clients wait for a step.
const MOST_BYTES: usize = 4 << 20;
/// Steps in progress at once: one that the server executes, and one in transit.
const FLIGHTS: usize = 2;

/// Why a step failed. Returned to each caller whose jobs were in it.
#[derive(Clone)]
pub(super) enum Failure {
    Client(Error),
    Reply(Arc<str>),
    NotDurable(NotDurable),
    Connect(Arc<str>),
    /// The jobs are stored, but their new queue is not registered.
    Unregistered(Error),
    /// The task that stored the jobs ended without an answer.
    Gone,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::Reply(error.to_string().into())
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Client(error) => failed(ENQUEUE)(error),
            Failure::Reply(error) => unreadable(ENQUEUE)(error.as_ref().into()),
            Failure::NotDurable(why) => {
                let transient = why.is_transient();
                Self::Store { operation: ENQUEUE, transient, may_have_run: true, source: Box::new(why) }
            }
            Failure::Connect(error) => Self::Store {
                operation: "connect for durable enqueues",
                transient: true,
                may_have_run: false,
                source: error.as_ref().into(),
            },
            Failure::Unregistered(error) => partly(failed(ENQUEUE)(error)),
            Failure::Gone => Self::Store {
                operation: ENQUEUE,
                transient: false,
                may_have_run: true,
                source: "the task that stored the jobs ended".into(),
            },
        }
    }
}

/// The error of a batch of which some jobs may be stored. Never [`BrokerError::Full`], which says
/// that nothing was changed.
fn partly(error: BrokerError) -> BrokerError {
    BrokerError::Store {
        operation: ENQUEUE,
        transient: error.is_transient(),
        may_have_run: true,
        source: Box::new(error),
    }
}

/// The result of each job.
type Answer = Result<Vec<Stored>, Failure>;

/// Jobs that wait for the next step of a partition.
#[derive(Default)]
pub(super) struct Gather(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    under_way: usize,
    waiting: VecDeque<Group>,
}

/// The jobs of one caller.
struct Group {
    jobs: Vec<NewJob>,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// When a caller's jobs are sent.
enum Turn {
    Now(Vec<NewJob>),
    Later(oneshot::Receiver<Answer>),
}

impl Gather {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, jobs: Vec<NewJob>) -> Turn {
        let mut gathered = self.lock();
        if gathered.under_way < FLIGHTS {
            gathered.under_way += 1;
            return Turn::Now(jobs);
        }
        let (answer, answered) = oneshot::channel();
        let bytes = jobs.iter().map(|job| job.payload.len()).sum();
        gathered.waiting.push_back(Group { jobs, bytes, answer });
        Turn::Later(answered)
    }

    /// The groups of the next step: as many as fit, at least one. Empty if no jobs wait.
    fn next(&self) -> Vec<Group> {
        let mut gathered = self.lock();
        let mut groups = Vec::new();
        let (mut jobs, mut bytes) = (0, 0);
        while let Some(group) = gathered.waiting.front()
            && (groups.is_empty() || jobs + group.jobs.len() <= MOST && bytes + group.bytes <= MOST_BYTES)
        {
            jobs += group.jobs.len();
            bytes += group.bytes;
            groups.extend(gathered.waiting.pop_front());
        }
        if groups.is_empty() {
            gathered.under_way -= 1;
        }
        groups
    }
}

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
    async fn put(&self, queue: &Arc<Queue>, nth: usize, jobs: Vec<NewJob>) -> Answer {
        if jobs.len() >= MOST {
            return self.store(queue, &queue.partitions[nth], &jobs).await;
        }
        let track = Track { nth, is_linked: jobs.iter().any(is_linked) };
        match track.gather(queue).join(jobs) {
            Turn::Later(answered) => answered.await.unwrap_or(Err(Failure::Gone)),
            Turn::Now(jobs) => {
                // Continues with the waiting jobs even if this caller is cancelled.
                let _flight = Flight { carrier: self, queue, track };
                self.store(queue, &queue.partitions[nth], &jobs).await
            }
        }
    }

    /// Sends the waiting jobs until there are none.
    async fn go_on(self, mut rest: Rest) {
        let Rest { queue, track, .. } = &rest;
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
            answer.insert(position, Stored::Known);
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

/// Reads the results: nil if all jobs are new, one digit per job, or a list.
pub(super) fn stored(reply: Value, count: usize) -> Result<Vec<Stored>, Unreadable> {
    let answer: Vec<Stored> = match reply {
        Value::Nil => vec![Stored::New; count],
        Value::Array(answers) => {
            answers.into_iter().map(|answer| one_stored(&answer.into_text()?)).collect::<Result<_, _>>()?
        }
        digits => {
            digits.into_text()?.split("").filter(|digit| !digit.is_empty()).map(one_stored).collect::<Result<_, _>>()?
        }
    };
    if answer.len() == count { Ok(answer) } else { Err("not one answer for each job".into()) }
}

fn one_stored(answer: &str) -> Result<Stored, Unreadable> {
    let (what, id) = answer.split_at_checked(1).ok_or("an empty answer")?;
    match what {
        "0" => Ok(Stored::New),
        "1" => Ok(Stored::Known),
        "2" => Ok(Stored::Duplicate(JobId::new(id)?)),
        "3" => Ok(Stored::Replaced(JobId::new(id)?)),
        _ => Err("an unknown answer".into()),
    }
}

/// The jobs without repeated ids, and the positions of the repeated ones.
fn distinct(jobs: &[NewJob]) -> (Vec<&NewJob>, Vec<usize>) {
    // Generated ids are ascending.
    if jobs.is_sorted_by(|a, b| a.id() < b.id()) {
        return (jobs.iter().collect(), Vec::new());
    }
    let mut seen = HashSet::with_capacity(jobs.len());
    let (mut first, mut repeated) = (Vec::with_capacity(jobs.len()), Vec::new());
    for (position, job) in jobs.iter().enumerate() {
        if seen.insert(job.id()) {
            first.push(job);
        } else {
            repeated.push(position);
        }
    }
    (first, repeated)
}

/// The common priority, if all jobs have the same and are due at once.
fn common_level(jobs: &[&NewJob]) -> Option<Priority> {
    let level = jobs.first().map_or_else(Priority::default, |job| job.priority);
    jobs.iter().all(|job| job.priority == level && job.due.is_none()).then_some(level)
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
struct Flight<'a> {
    carrier: &'a Carrier,
    queue: &'a Arc<Queue>,
    track: Track,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut gathered = self.track.gather(self.queue).lock();
        if gathered.waiting.is_empty() {
            gathered.under_way -= 1;
            return;
        }
        drop(gathered);
        let rest = Rest { queue: self.queue.clone(), track: self.track, is_done: false };
        // On the client's own runtime: the caller's may be about to end.
        self.carrier.runtime.spawn(self.carrier.clone().go_on(rest));
    }
}

/// The waiting callers of a task that ends early or never starts because its runtime has ended.
/// Dropping it fails them, so that they don't wait for ever.
struct Rest {
    queue: Arc<Queue>,
    track: Track,
    is_done: bool,
}

impl Drop for Rest {
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

impl RedisBroker {
    pub(super) async fn add(&self, name: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        let queue = self.queue_or_make(name).await?;
        if queue.partitions.len() == 1 {
            return Ok(self.carrier.put(&queue, 0, jobs).await?);
        }
        // A queue exists from its first batch on, even an empty one.
        let nothing = jobs.is_empty();
        let mut stored = vec![Stored::Known; jobs.len()];
        let sorted = queue.by_partition(jobs, NewJob::id).into_iter().enumerate();
        let puts = sorted.filter(|(_, jobs)| nothing || !jobs.is_empty()).map(|(nth, jobs)| {
            let (positions, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            let (queue, carrier) = (&queue, &self.carrier);
            async move { carrier.put(queue, nth, jobs).await.map(|answers| positions.into_iter().zip(answers)) }
        });
        // Each partition is called, even if another one fails.
        let (mut failure, mut may_have_run) = (None, false);
        for put in join_all(puts).await {
            match put {
                Ok(answers) => {
                    may_have_run = true;
                    answers.for_each(|(position, answer)| stored[position] = answer);
                }
                Err(error) => {
                    let error = BrokerError::from(error);
                    may_have_run |= error.may_have_run();
                    failure = Some(error);
                }
            }
        }
        match failure {
            None => Ok(stored),
            Some(error) if may_have_run => Err(partly(error)),
            Some(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_which_jobs_are_stored_is_no_full_store() {
        let full = BrokerError::Full { operation: ENQUEUE, source: "OOM".into() };
        let error = partly(full);
        assert!(error.may_have_run() && error.is_transient() && !error.is_full(), "{error:?}");
        assert!(BrokerError::from(Failure::Gone).may_have_run());
    }
}
