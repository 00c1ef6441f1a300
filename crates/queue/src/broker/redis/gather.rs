//! Enqueueing: what callers bring while a step is under way goes to the server together with the next one.
//!
//! The first caller's jobs go at once. Each caller gets its own answer, and its own batch is never cut in two.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_redis::{Arg, Client, Command, Error, Value};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::RedisBroker;
use super::envelope::{rest, when};
use super::keys::Part;
use super::queue::{Partition, Queue};
use super::reply::{Fields, Unreadable, failed, unreadable};
use super::scripts::Scripts;
use crate::broker::NewJob;
use crate::error::BrokerError;
use crate::state::Priority;

const ENQUEUE: &str = "enqueue";

/// Jobs that go together; a larger batch of one caller goes alone.
const MOST: usize = 500;
/// Steps under way at once: one that the server works on, and one on its way.
const FLIGHTS: usize = 2;

/// Why a step failed: told to each caller whose jobs were in it.
#[derive(Clone)]
pub(super) enum Failure {
    Client(Error),
    Reply(Arc<str>),
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
            Failure::Gone => Self::Closed,
        }
    }
}

/// Whether each job is new.
type Answer = Result<Vec<bool>, Failure>;

/// What waits for the next step of a partition.
#[derive(Default)]
pub(super) struct Gather(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    under_way: usize,
    waiting: VecDeque<Group>,
}

/// One caller's jobs.
struct Group {
    jobs: Vec<NewJob>,
    answer: oneshot::Sender<Answer>,
}

/// When a caller's jobs go.
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
        gathered.waiting.push_back(Group { jobs, answer });
        Turn::Later(answered)
    }

    /// The groups of the next step: as many as fit, at least one. Without any the flight is over.
    fn next(&self) -> Vec<Group> {
        let mut gathered = self.lock();
        let mut groups = Vec::new();
        let mut jobs = 0;
        while let Some(group) = gathered.waiting.front()
            && (groups.is_empty() || jobs + group.jobs.len() <= MOST)
        {
            jobs += group.jobs.len();
            groups.extend(gathered.waiting.pop_front());
        }
        if groups.is_empty() {
            gathered.under_way -= 1;
        }
        groups
    }
}

/// Takes jobs to one partition. Cheap to clone.
#[derive(Clone)]
pub(super) struct Carrier {
    client: Client,
    scripts: Arc<Scripts>,
    /// Key of the registry's names.
    names: Arc<str>,
    runtime: Handle,
}

impl Carrier {
    pub(super) fn new(client: Client, scripts: Arc<Scripts>, names: &str) -> Self {
        Self { client, scripts, names: names.into(), runtime: Handle::current() }
    }

    /// Stores jobs of one partition, with others' if it must wait for them.
    async fn put(&self, queue: &Arc<Queue>, nth: usize, jobs: Vec<NewJob>) -> Answer {
        let partition = &queue.partitions[nth];
        if jobs.len() >= MOST {
            return self.store(queue, partition, &jobs).await;
        }
        match partition.gather.join(jobs) {
            Turn::Later(answered) => answered.await.unwrap_or(Err(Failure::Gone)),
            Turn::Now(jobs) => {
                // Also when this caller goes away, the others' turn comes.
                let _flight = Flight { carrier: self, queue, nth };
                self.store(queue, partition, &jobs).await
            }
        }
    }

    /// Goes on with those who wait, until there are none.
    async fn go_on(self, queue: Arc<Queue>, nth: usize) {
        let partition = &queue.partitions[nth];
        let mut rest = Rest(Some(&partition.gather));
        loop {
            let groups = partition.gather.next();
            if groups.is_empty() {
                rest.0 = None;
                return;
            }
            let (mut jobs, mut answers) = (Vec::new(), Vec::with_capacity(groups.len()));
            for Group { jobs: more, answer } in groups {
                answers.push((more.len(), answer));
                jobs.extend(more);
            }
            let stored = self.store(&queue, partition, &jobs).await;
            let mut at = 0;
            for (count, answer) in answers {
                let of_caller = stored.as_ref().map(|stored| stored[at..at + count].to_vec());
                at += count;
                // A caller that went away hears nothing.
                let _ = answer.send(of_caller.map_err(Failure::clone));
            }
        }
    }

    async fn store(&self, queue: &Queue, partition: &Partition, jobs: &[NewJob]) -> Answer {
        let (distinct, repeated) = distinct(jobs);
        let reply = match common_level(&distinct) {
            Some(level) => self.store_plain(partition, level, &distinct).await?,
            None => self.store_any(partition, &distinct).await?,
        };
        let mut reply = Fields::of(reply)?;
        // Also where all data went at once, and the registry with it.
        if reply.int()? == 1 {
            let enter = Command::new("HSETNX").key(&*self.names).arg(&queue.name).arg(queue.partitions.len());
            self.client.execute(enter.idempotent()).await?;
        }
        let mut answer = match reply.text_if_any()? {
            None => vec![true; distinct.len()],
            Some(digits) if digits.len() == distinct.len() => digits.bytes().map(|digit| digit == b'0').collect(),
            Some(_) => return Err(Unreadable::from("not one answer for each job").into()),
        };
        for position in repeated {
            answer.insert(position, false);
        }
        Ok(answer)
    }

    async fn store_plain(&self, partition: &Partition, level: Priority, jobs: &[&NewJob]) -> Result<Value, Error> {
        let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 2 + 1);
        args.push(u32::from(level.level()).into());
        args.extend(jobs.iter().map(|job| Arg::from(job.id().as_str())));
        args.extend(jobs.iter().zip(1..).map(|(job, nth)| Arg::from(rest(nth, job))));
        let list = Part::ready(level);
        self.scripts.enqueue.run_on(&self.client, &partition.keys, list, args).await
    }

    async fn store_any(&self, partition: &Partition, jobs: &[&NewJob]) -> Result<Value, Error> {
        let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 3);
        for (job, nth) in jobs.iter().zip(1..) {
            args.extend([job.id().as_str().into(), when(job).into(), rest(nth, job).into()]);
        }
        self.scripts.enqueue_any.run(&self.client, &partition.keys, args).await
    }
}

/// The jobs without those whose id an earlier one has, and the positions of the latter.
fn distinct(jobs: &[NewJob]) -> (Vec<&NewJob>, Vec<usize>) {
    // Generated ids grow.
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

/// The priority of all of them, where all are due at once.
fn common_level(jobs: &[&NewJob]) -> Option<Priority> {
    let level = jobs.first().map_or_else(Priority::default, |job| job.priority);
    jobs.iter().all(|job| job.priority == level && job.due.is_none()).then_some(level)
}

/// A step of a caller's own. After it those who wait are next.
struct Flight<'a> {
    carrier: &'a Carrier,
    queue: &'a Arc<Queue>,
    nth: usize,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut gathered = self.queue.partitions[self.nth].gather.lock();
        if gathered.waiting.is_empty() {
            gathered.under_way -= 1;
            return;
        }
        drop(gathered);
        let runtime = Handle::try_current().unwrap_or_else(|_| self.carrier.runtime.clone());
        runtime.spawn(self.carrier.clone().go_on(self.queue.clone(), self.nth));
    }
}

/// Those who wait when the task ends before its time, because its runtime does: nobody would answer them.
struct Rest<'a>(Option<&'a Gather>);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if let Some(gather) = self.0 {
            let mut gathered = gather.lock();
            gathered.under_way -= 1;
            let waiting = std::mem::take(&mut gathered.waiting);
            drop(gathered);
            drop(waiting);
        }
    }
}

impl RedisBroker {
    pub(super) async fn add(&self, name: &str, jobs: Vec<NewJob>) -> Result<usize, BrokerError> {
        let queue = self.queue_or_make(name).await?;
        // A queue exists from its first batch, even an empty one.
        if jobs.is_empty() {
            for nth in 0..queue.partitions.len() {
                self.carrier.put(&queue, nth, Vec::new()).await?;
            }
            return Ok(0);
        }
        if queue.partitions.len() == 1 {
            return Ok(self.carrier.put(&queue, 0, jobs).await?.into_iter().filter(|is_new| *is_new).count());
        }
        let mut added = 0;
        for (nth, jobs) in queue.by_partition(jobs, NewJob::id).into_iter().enumerate() {
            if !jobs.is_empty() {
                let jobs = jobs.into_iter().map(|(_, job)| job).collect();
                added += self.carrier.put(&queue, nth, jobs).await?.into_iter().filter(|is_new| *is_new).count();
            }
        }
        Ok(added)
    }
}
