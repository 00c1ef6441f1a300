//! A scan that makes jobs of the rows.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Scan;
use super::drive::{Sink, continued, drive, failed};
use super::mark::Tally;
use super::naming::Names;
use super::options::ScanOptions;
use crate::event::Event;
use crate::group::{Completion, Groups, NewGroup};
use crate::handler::{Context, Failure, Handler, Outcome};
use crate::producer::DEFAULT_PAYLOAD_LIMIT;
use tidegate_queue_broker::{Broker, EnqueueError, EnqueueOptions, GroupId, Job, NewJob};

/// Most jobs enqueued in one step.
const CHUNK: usize = 500;
/// Delay of a scan that has too many pending jobs.
const AHEAD: Duration = Duration::from_secs(1);

/// Makes jobs of the rows of a [`Scan`]. See [`FanOutScan`].
pub trait FanOut: Scan {
    /// Type of the jobs.
    type Member: Job;

    /// Makes jobs of the rows of a page: one job per row, or one for several rows. The same rows
    /// must make the same jobs: a repeated page is detected by them.
    fn split(&self, job: &Self::Job, rows: Vec<Self::Row>) -> Vec<Self::Member>;

    /// The job that is enqueued when all of these jobs have ended. `None` by default.
    ///
    /// # Errors
    /// Like [`Completion::job`].
    fn completion(&self, job: &Self::Job, group: &GroupId) -> Result<Option<Completion>, EnqueueError> {
        let _ = (job, group);
        Ok(None)
    }
}

/// The result of a [`FanOutScan`]'s job: what was enqueued, whatever the outcome of those jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FanOutReport {
    /// The group of the jobs. [`Groups`] returns their progress.
    pub group: GroupId,
    /// Number of pages read.
    pub pages: u64,
    /// Number of rows read.
    pub rows: u64,
    /// Number of jobs made.
    pub jobs: u64,
}

/// The handler of a scan that makes jobs of the rows, page by page. The jobs are members of a
/// [group](Groups), which is sealed at the end of the table.
///
/// # Guarantees
///
/// Each row that is in the table during the whole scan is in a job, however often the scan's worker
/// crashes. A page that is read again after a crash makes the same jobs again, and the broker
/// detects them by their ids. If rows of the page have changed meanwhile, only the changed jobs are
/// new. (A job is detected while its [record is kept](crate::Retention).) One page is in memory at
/// a time. The number of pending jobs exceeds [`max_pending`](ScanOptions::max_pending) only a
/// little: the scan goes back to the queue until there are fewer.
///
/// It resumes and stops like an [`InlineScan`](crate::InlineScan). If its queue is also the queue
/// of its jobs, it waits behind them, unless it was enqueued with a higher
/// [priority](crate::EnqueueOptions::priority).
///
/// A scan that is cancelled or dead leaves its group open. If an operator retries it, it continues
/// and seals the group. [`Groups::forget`] removes the group.
#[derive(Clone, Debug)]
pub struct FanOutScan<S> {
    scan: S,
    options: ScanOptions,
}

impl<S: FanOut> FanOutScan<S> {
    /// Creates the handler.
    pub fn new(scan: S, options: ScanOptions) -> Self {
        Self { scan, options }
    }
}

#[async_trait]
impl<S: FanOut> Handler<S::Job> for FanOutScan<S> {
    async fn run(&self, job: S::Job, context: &Context) -> Outcome {
        let names = Names::of(context.queue(), context.job());
        let group = match names.group() {
            Ok(group) => group,
            Err(error) => return Outcome::bury(error),
        };
        let max_pending = self.options.max_pending;
        let mut sink =
            Jobs { scan: &self.scan, context, names, group, max_pending, pending: max_pending, is_open: false };
        drive(&self.scan, &mut sink, &self.options, &job, context).await
    }
}

struct Jobs<'a, S> {
    scan: &'a S,
    context: &'a Context,
    names: Names,
    group: GroupId,
    max_pending: u64,
    /// Upper bound on the pending jobs: those at the last check, plus those made since.
    pending: u64,
    is_open: bool,
}

impl<S: FanOut> Jobs<'_, S> {
    fn broker(&self) -> &dyn Broker {
        &*self.context.resources().broker
    }

    fn groups(&self) -> Groups {
        Groups::new(self.context.resources().broker.clone())
    }

    async fn open(&mut self, job: &S::Job) -> Result<(), Failure> {
        let mut group = NewGroup::new(S::Member::QUEUE).id(self.group.clone());
        if let Some(completion) = self.scan.completion(job, &self.group)? {
            group = group.completion(completion);
        }
        self.groups().ensure(group).await?;
        self.is_open = true;
        Ok(())
    }
}

impl<S: FanOut> Sink<S> for Jobs<'_, S> {
    type Report = FanOutReport;

    async fn prepare(&mut self, job: &S::Job, tally: &Tally) -> Result<(), Outcome> {
        if !self.is_open && tally.pages == 0 {
            self.open(job).await.map_err(failed)?;
        }
        if self.pending >= self.max_pending {
            let counts = self.broker().group(S::Member::QUEUE, &self.group).await.map_err(failed)?;
            self.pending = counts.unwrap_or_default().pending();
        }
        if self.pending >= self.max_pending {
            return Err(continued(AHEAD, format!("{} of its jobs are pending", self.pending)));
        }
        Ok(())
    }

    async fn take(&mut self, job: &S::Job, rows: Vec<S::Row>, tally: &mut Tally) -> Result<(), Failure> {
        let members = self.scan.split(job, rows);
        let mut jobs = Vec::with_capacity(members.len());
        for (nth, member) in members.iter().enumerate() {
            let options = EnqueueOptions::new().group(self.group.clone());
            let new = NewJob::of(member, options, DEFAULT_PAYLOAD_LIMIT)?;
            let id = self.names.job(tally.pages, nth, new.payload())?;
            jobs.push(new.with_id(id));
        }
        drop(members);
        let made = jobs.len() as u64;
        let queue = S::Member::QUEUE;
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(CHUNK));
            let chunk = std::mem::replace(&mut jobs, rest);
            let stored = self.broker().enqueue(queue, chunk).await?;
            let count = stored.iter().filter(|stored| stored.is_new()).count();
            self.context.resources().notify(&Event::Enqueued { queue, count });
        }
        self.pending += made;
        tally.jobs += made;
        Ok(())
    }

    async fn finish(&mut self, job: &S::Job, tally: Tally) -> Result<FanOutReport, Failure> {
        let _ = job;
        self.groups().seal(&self.group).await?;
        let Tally { pages, rows, jobs, .. } = tally;
        Ok(FanOutReport { group: self.group.clone(), pages, rows, jobs })
    }
}
