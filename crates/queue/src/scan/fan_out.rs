//! A scan that makes jobs of the rows.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Scan;
use super::drive::{Sink, continued, drive, failed};
use super::mark::Tally;
use super::naming::Names;
use super::options::ScanOptions;
use crate::broker::{Broker, NewJob};
use crate::error::EnqueueError;
use crate::event::Event;
use crate::group::{Completion, Groups, NewGroup};
use crate::handler::{Context, Failure, Handler, Outcome};
use crate::id::GroupId;
use crate::job::Job;
use crate::options::EnqueueOptions;
use crate::producer::DEFAULT_PAYLOAD_LIMIT;

/// Jobs enqueued in one step.
const CHUNK: usize = 500;
/// How long a scan that is too far ahead of its jobs stays away.
const AHEAD: Duration = Duration::from_secs(1);

/// Makes jobs of the rows of a [`Scan`]. See [`FanOutScan`].
pub trait FanOut: Scan {
    /// The jobs that are made.
    type Member: Job;

    /// Makes jobs of a page's rows: one of each row, or of some rows together. The same rows must make the same jobs: a page
    /// that comes twice is known by them.
    fn split(&self, job: &Self::Job, rows: Vec<Self::Row>) -> Vec<Self::Member>;

    /// The job that is enqueued when all of them have ended. None by default.
    ///
    /// # Errors
    /// As [`Completion::job`].
    fn completion(&self, job: &Self::Job, group: &GroupId) -> Result<Option<Completion>, EnqueueError> {
        let _ = (job, group);
        Ok(None)
    }
}

/// The result of a [`FanOutScan`]'s job: what was enqueued, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FanOutReport {
    /// The group of the jobs: [`Groups`] tells how far they are.
    pub group: GroupId,
    /// Pages.
    pub pages: u64,
    /// Rows.
    pub rows: u64,
    /// Jobs made of them.
    pub jobs: u64,
}

/// The handler of a scan that makes jobs of the rows, page after page, counted in a [group](Groups) that is sealed at the end
/// of the table.
///
/// # What is guaranteed
///
/// Each row that is in the table all the time is in a job, however often the scan's worker dies. A page that is read again
/// after a crash makes the same jobs again, which are known by their ids; where its rows have changed meanwhile, those that
/// changed. (A job is known while its [record is kept](crate::Retention).) One page is in memory at a time, and not many
/// more than [`max_pending`](ScanOptions::max_pending) jobs are waiting: the scan goes back to the queue until there are fewer.
///
/// It goes on and stops as an [`InlineScan`](crate::InlineScan) does. Where its queue is that of its jobs, it waits its turn
/// behind them, unless it was enqueued with a higher [priority](crate::EnqueueOptions::priority).
///
/// A scan that is cancelled or dead leaves its group open: retried by hand, it goes on and seals it;
/// [`Groups::forget`] gives it up.
#[derive(Clone, Debug)]
pub struct FanOutScan<S> {
    scan: S,
    options: ScanOptions,
}

impl<S: FanOut> FanOutScan<S> {
    /// Describes the handler.
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
    /// At most so many are pending: those at the last look and those made since.
    pending: u64,
    is_open: bool,
}

impl<S: FanOut> Jobs<'_, S> {
    fn broker(&self) -> &dyn Broker {
        &*self.context.shared().broker
    }

    fn groups(&self) -> Groups {
        Groups::new(self.context.shared().broker.clone())
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
            let mut new = NewJob::of(member, options, DEFAULT_PAYLOAD_LIMIT)?;
            new.id = self.names.job(tally.pages, nth, &new.payload)?;
            jobs.push(new);
        }
        drop(members);
        let made = jobs.len() as u64;
        let queue = S::Member::QUEUE;
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(CHUNK));
            let chunk = std::mem::replace(&mut jobs, rest);
            let stored = self.broker().enqueue(queue, chunk).await?;
            let count = stored.iter().filter(|stored| stored.is_new()).count();
            self.context.shared().tell(&Event::Enqueued { queue, count });
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
