//! The runs of one queue that are in progress, and when to stop them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::lease_book::{HeldLease, RunId, StopReason};
use super::options::QueueOptions;
use super::run::{Answer, Ended, HandlerEnd, Limits, Settlement, announce, ending, handle};
use super::shared::Shared;
use crate::event::Event;
use crate::handler::{Context, Verdict};
use tidegate_queue_broker::{LeasedJob, NackAction};

/// Most ends taken from the channel in one call.
const BATCH: usize = 256;
/// Upper limit on a time-out. A timer beyond it would overflow.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

struct Run {
    held: HeldLease,
    context: Context,
    task: AbortHandle,
    timeout: Duration,
    /// When a run that was asked to stop is aborted. `None` if it was not asked.
    abort_at: Option<Instant>,
}

pub(super) struct Runs {
    shared: Arc<Shared>,
    queue: Arc<str>,
    options: QueueOptions,
    under_way: HashMap<RunId, Run>,
    /// When each run is to be checked. Entries of ended runs are skipped when their time comes.
    deadlines: BinaryHeap<Reverse<(Instant, RunId)>>,
    ends: (UnboundedSender<Ended>, UnboundedReceiver<Ended>),
    stopped: (UnboundedSender<RunId>, UnboundedReceiver<RunId>),
}

impl Runs {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<str>, options: QueueOptions) -> Self {
        Self {
            shared,
            queue,
            options,
            under_way: HashMap::new(),
            deadlines: BinaryHeap::new(),
            ends: unbounded_channel(),
            stopped: unbounded_channel(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Starts the leased jobs, and registers their leases at once: a run may wait long for its
    /// first poll behind handlers that compute. Returns the settlements of jobs that are not run.
    /// The leases were requested at `requested_at`, so they are not older.
    pub(super) fn start(&mut self, jobs: Vec<LeasedJob>, requested_at: Instant) -> Vec<Settlement> {
        let tokens = jobs.iter().map(|job| job.token.clone());
        let held = self.shared.leases.hold(tokens, &self.queue, &self.stopped.0, requested_at);
        let now = Instant::now();
        jobs.into_iter().zip(held).filter_map(|(job, held)| self.start_one(job, held, now)).collect()
    }

    /// Releases jobs that were leased after the end of the worker's work.
    pub(super) fn release(&mut self, jobs: Vec<LeasedJob>, requested_at: Instant) -> Vec<Settlement> {
        let (tokens, groups): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.token, job.group)).unzip();
        let held = self.shared.leases.hold(tokens.into_iter(), &self.queue, &self.stopped.0, requested_at);
        let answer = || Answer::Nack(NackAction::Release);
        held.into_iter().zip(groups).map(|(held, group)| Settlement::new(held, answer(), group)).collect()
    }

    fn start_one(&mut self, job: LeasedJob, held: HeldLease, now: Instant) -> Option<Settlement> {
        if job.expires_at.is_some_and(|expires_at| job.leased_at > expires_at) {
            self.shared.notify(&Event::Expired { queue: &self.queue, kind: &job.kind, id: &job.token.id });
            let action = NackAction::Discard { reason: "expired before it started".to_owned() };
            return Some(Settlement::new(held, Answer::Nack(action), job.group));
        }
        let run = held.run();
        let timeout = Limits::of(&job, self.shared.handlers.get(&job.kind), &self.options).timeout;
        let queue_wait = job.leased_at.since(job.ready_at);
        let context = Context::new(self.shared.resources.clone(), self.queue.clone(), job, held.cancel().clone());
        let (queue, kind, id) = (context.queue(), context.kind(), context.id());
        self.shared.notify(&Event::Started { queue, kind, id, queue_wait });
        let task = tokio::spawn(handle(self.shared.clone(), context.clone(), run, self.ends.0.clone())).abort_handle();
        self.watch(run, now + timeout.min(LONGEST_TIMEOUT));
        self.under_way.insert(run, Run { held, context, task, timeout, abort_at: None });
        None
    }

    fn watch(&mut self, run: RunId, until: Instant) {
        // Most runs end long before their deadline, so entries of ended runs are removed here.
        if self.deadlines.len() > 64 + 2 * self.under_way.len() {
            self.deadlines.retain(|Reverse((_, run))| self.under_way.contains_key(run));
        }
        self.deadlines.push(Reverse((until, run)));
    }

    /// Asks every run to stop.
    pub(super) fn stop_all(&mut self) {
        let runs: Vec<_> = self.under_way.keys().copied().collect();
        for run in runs {
            self.stop(run, Some(StopReason::Shutdown));
        }
    }

    /// Gives a run the time of `stop_timeout` to end. `reason` is `None` if the run was already
    /// stopped.
    fn stop(&mut self, run: RunId, reason: Option<StopReason>) {
        let until = Instant::now() + self.shared.stop_timeout.min(LONGEST_TIMEOUT);
        let Some(under_way) = self.under_way.get_mut(&run).filter(|run| run.abort_at.is_none()) else { return };
        under_way.abort_at = Some(until);
        if let Some(reason) = reason {
            under_way.held.stop(reason);
        }
        self.watch(run, until);
    }

    /// Waits until a run has ended, and appends the settlements. Cancel-safe.
    pub(super) async fn ended(&mut self, settlements: &mut Vec<Settlement>) {
        let next = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let far = Instant::now() + LONGEST_TIMEOUT;
        tokio::select! {
            biased;
            // Both ends of the channels are here, so they never close.
            Some(ended) = self.ends.1.recv() => settlements.extend(self.settle(ended)),
            Some(run) = self.stopped.1.recv() => self.stop(run, None),
            () = tokio::time::sleep_until(next.unwrap_or(far)), if next.is_some() => self.overdue(settlements),
        }
        self.collect(settlements);
    }

    /// Appends the settlements of the runs that have ended by now.
    pub(super) fn collect(&mut self, settlements: &mut Vec<Settlement>) {
        for _ in 0..BATCH {
            let Ok(ended) = self.ends.1.try_recv() else { return };
            settlements.extend(self.settle(ended));
        }
    }

    fn overdue(&mut self, settlements: &mut Vec<Settlement>) {
        let now = Instant::now();
        while let Some(run) = self.due(now) {
            let Some(under_way) = self.under_way.get(&run) else { continue };
            match under_way.abort_at {
                None => self.stop(run, Some(StopReason::TimedOut)),
                Some(until) if until <= now => {
                    under_way.task.abort();
                    let ended = Ended { run, how: HandlerEnd::Aborted, took: under_way.timeout };
                    settlements.extend(self.settle(ended));
                }
                Some(_) => {}
            }
        }
    }

    fn due(&mut self, now: Instant) -> Option<RunId> {
        let Reverse((at, _)) = self.deadlines.peek()?;
        if *at > now {
            return None;
        }
        self.deadlines.pop().map(|Reverse((_, run))| run)
    }

    /// The settlement of an ended run. `None` if its lease was lost, or if it was settled before.
    fn settle(&mut self, Ended { run, how, took }: Ended) -> Option<Settlement> {
        let Run { held, context, .. } = self.under_way.remove(&run)?;
        let (queue, kind, id, job) = (context.queue(), context.kind(), context.id(), context.job());
        let is_unknown = matches!(how, HandlerEnd::Verdict(Verdict::NotForUs(_)));
        let limits = Limits::of(job, self.shared.handlers.get(kind), &self.options);
        let answer = limits.decide(&self.shared, how, held.end_run());
        if let Some(Answer::Nack(action)) = &answer {
            announce(&self.shared, &context, action, is_unknown);
        }
        let outcome = ending(answer.as_ref());
        let queue_wait = job.leased_at.since(job.ready_at);
        self.shared.notify(&Event::Finished { queue, kind, id, outcome, queue_wait, run_time: took });
        Some(Settlement::new(held, answer?, job.group.clone()))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for run in self.under_way.values() {
            run.task.abort();
        }
    }
}
