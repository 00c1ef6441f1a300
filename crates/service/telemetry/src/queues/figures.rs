//! Metrics of the queues, for `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_queue::{JobState, QueueCounts};

use super::runs::QueueRuns;
use crate::exposition::Family;

/// All queues at one moment, from the job store.
#[derive(Debug)]
pub(super) struct QueueFigures {
    pub(super) queues: Vec<QueueReading>,
}

/// The runs of the worker of this process.
#[derive(Debug)]
pub(super) struct RunFigures {
    pub(super) runs: Vec<(String, Arc<QueueRuns>)>,
    /// How often the job store refused a command because it was full.
    pub(super) found_full: u64,
}

/// The job store's values of a queue, the same in every process.
#[derive(Debug)]
pub(super) struct QueueReading {
    pub(super) queue: &'static str,
    pub(super) counts: QueueCounts,
    /// Number of workers that were seen recently.
    pub(super) workers: u64,
}

/// A gauge from the job store.
type Gauge = (&'static str, &'static str, fn(&QueueReading) -> u64);

const GAUGES: &[Gauge] = &[
    ("tidegate_queue_length", "Jobs that are ready to run", |queue| queue.counts.ready),
    ("tidegate_queue_paused", "1 while the queue is paused", |queue| u64::from(queue.counts.paused)),
    ("tidegate_queue_workers", "Workers that serve the queue", |queue| queue.workers),
];

/// A counter of this process.
type Counter = (&'static str, &'static str, fn(&QueueRuns) -> &AtomicU64);

const COUNTERS: &[Counter] = &[
    ("tidegate_job_leases_lost", "Running jobs whose lease was taken over by another worker", |runs| &runs.leases_lost),
    ("tidegate_job_stale_acks", "Acknowledgements of this process that came after the lease had ended", |runs| {
        &runs.stale_acks
    }),
    ("tidegate_job_acks_abandoned", "Acknowledgements that could not be delivered before the lease ended", |runs| {
        &runs.acks_abandoned
    }),
    ("tidegate_job_reclaims", "Expired leases that this process reclaimed", |runs| &runs.reclaimed),
    ("tidegate_job_unknown_kinds", "Jobs postponed because this process has no handler for their kind", |runs| {
        &runs.unknown_kinds
    }),
    ("tidegate_job_store_failures", "Failed requests to the job store", |runs| &runs.broker_failures),
];

impl Collector for QueueFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.standing(&mut encoder)?;
        self.totals(&mut encoder)
    }
}

impl QueueFigures {
    fn standing(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in GAUGES {
            let mut family = Family::new(encoder, name, help, MetricType::Gauge)?;
            for queue in &self.queues {
                family.gauge(&[("queue", queue.queue)], value(queue))?;
            }
        }
        let name = "tidegate_queue_oldest_job_seconds";
        let help = "Time that the oldest ready job has waited; 0 without one";
        let mut family = Family::new(encoder, name, help, MetricType::Gauge)?;
        for queue in &self.queues {
            let age = queue.counts.oldest_ready_age.unwrap_or_default();
            family.fraction(&[("queue", queue.queue)], age.as_secs_f64())?;
        }
        let mut family = Family::new(encoder, "tidegate_queue_jobs", "Jobs by state", MetricType::Gauge)?;
        for queue in &self.queues {
            for state in JobState::ALL {
                family.gauge(&[("queue", queue.queue), ("state", state.as_str())], in_state(&queue.counts, state))?;
            }
        }
        Ok(())
    }

    fn totals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Runs by outcome; counted in the job store, so every process reports the same";
        let mut family = Family::new(encoder, "tidegate_jobs", help, MetricType::Counter)?;
        for QueueReading { queue, counts, .. } in &self.queues {
            let outcomes = [
                ("completed", counts.completed_total),
                ("failed", counts.failed_total),
                ("retried", counts.retried_total),
                ("reclaimed", counts.reclaimed_total),
                ("stale_ack", counts.stale_acks_total),
            ];
            for (outcome, count) in outcomes {
                family.counter(&[("queue", queue), ("outcome", outcome)], count)?;
            }
        }
        let help = "Jobs put back into the queue after a crash of Redis had left them without a state";
        let mut family = Family::new(encoder, "tidegate_queue_recovered", help, MetricType::Counter)?;
        for QueueReading { queue, counts, .. } in &self.queues {
            family.counter(&[("queue", queue)], counts.recovered_total)?;
        }
        let help = "Results, log lines, checkpoints and progress messages not stored because the job store was full";
        let mut family = Family::new(encoder, "tidegate_queue_dropped", help, MetricType::Counter)?;
        for QueueReading { queue, counts, .. } in &self.queues {
            family.counter(&[("queue", queue)], counts.dropped_total)?;
        }
        Ok(())
    }
}

impl Collector for RunFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let help = "Requests of this process that a full job store refused";
        let mut family = Family::new(encoder, "tidegate_job_store_full", help, MetricType::Counter)?;
        family.counter(&[], self.found_full)?;
        for (name, help, count) in COUNTERS {
            let mut family = Family::new(encoder, name, help, MetricType::Counter)?;
            for (queue, runs) in &self.runs {
                family.counter(&[("queue", queue)], count(runs).load(Ordering::Relaxed))?;
            }
        }
        let kinds: Vec<_> = self.runs.iter().map(|(queue, runs)| (queue, runs.kinds())).collect();
        let help = "Runs of this process by kind and outcome";
        let mut family = Family::new(encoder, "tidegate_job_runs", help, MetricType::Counter)?;
        for (queue, kinds) in &kinds {
            for (kind, runs) in kinds {
                for (outcome, count) in runs.endings() {
                    family.counter(&[("queue", queue), ("kind", kind), ("outcome", outcome)], count)?;
                }
            }
        }
        let help = "Time that jobs waited before a worker of this process started them";
        let mut family = Family::new(encoder, "tidegate_job_wait_seconds", help, MetricType::Histogram)?;
        for (queue, runs) in &self.runs {
            family.histogram(&[("queue", queue)], &runs.wait.total())?;
        }
        let help = "Duration of the handlers of this process";
        let mut family = Family::new(encoder, "tidegate_job_run_seconds", help, MetricType::Histogram)?;
        for (queue, kinds) in &kinds {
            for (kind, runs) in kinds {
                family.histogram(&[("queue", queue), ("kind", kind)], &runs.run.total())?;
            }
        }
        Ok(())
    }
}

fn in_state(counts: &QueueCounts, state: JobState) -> u64 {
    match state {
        JobState::Ready => counts.ready,
        JobState::Delayed => counts.delayed,
        JobState::Waiting => counts.waiting,
        JobState::Leased => counts.leased,
        JobState::Done => counts.done,
        JobState::Dead => counts.dead,
        JobState::Cancelled => counts.cancelled,
        // A state that is not counted anywhere yet.
        _ => 0,
    }
}
