//! Producers and workers. One after the other is killed and replaced.

use std::time::Duration;

use tidegate_queue::{Broker, QueueCounts};
use tidegate_testkit::Process;
use tokio::time::Instant;

use crate::child::{How, QUEUE, RUNS, Task};
use crate::location::StoreLocation;
use crate::log_file::count;

const WORKERS: usize = 3;
const PRODUCERS: u32 = 2;
const SLOTS: usize = 50;
const LEASE: Duration = Duration::from_secs(2);

/// Speed of the work: kills have to come in the middle of it.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Pause of a producer between batches.
    pub pause: Duration,
    /// Duration of a run.
    pub run: Duration,
}
/// Least number of workers to kill.
const LEAST_KILLS: usize = 3;

pub struct Fleet {
    location: StoreLocation,
    workers: Vec<Process>,
    producers: Vec<Process>,
    /// Number of workers and producers killed.
    pub kills: [usize; 2],
}

impl Fleet {
    /// Starts producers that together enqueue jobs 0 to `jobs`, and workers that keep `kept` done
    /// jobs.
    pub fn start(location: &StoreLocation, jobs: u32, kept: u64, Pace { pause, run }: Pace) -> Self {
        let share = jobs.div_ceil(PRODUCERS);
        let producer = |nth: u32| {
            let task = Task::enqueue(location, nth * share..((nth + 1) * share).min(jobs), pause);
            task.start(&format!("producer {nth}"))
        };
        let worker = Task::work(location, LEASE, SLOTS, How::Take(run)).keep(kept);
        Self {
            location: location.clone(),
            workers: (0..WORKERS).map(|nth| worker.start(&format!("worker {nth}"))).collect(),
            producers: (0..PRODUCERS).map(producer).collect(),
            kills: [0; 2],
        }
    }

    /// Whether all producers have ended.
    pub fn has_enqueued(&mut self) -> bool {
        self.producers.iter_mut().all(|producer| {
            let status = producer.exit_status().unwrap();
            assert!(status.is_none_or(|status| status.success()), "a producer failed: {status:?}");
            status.is_some()
        })
    }

    /// Kills a worker, and sometimes a producer that is still running. They are replaced.
    pub fn kill_one(&mut self) {
        let worker = &mut self.workers[rand::random_range(0..WORKERS)];
        worker.kill9().unwrap();
        worker.restart().unwrap();
        self.kills[0] += 1;
        let producer = &mut self.producers[rand::random_range(0..PRODUCERS) as usize];
        // A producer that has just ended can't be killed.
        if rand::random_ratio(1, 3) && producer.exit_status().unwrap().is_none() && producer.kill9().is_ok() {
            producer.restart().unwrap();
            self.kills[1] += 1;
        }
    }

    /// Suspends all of them. Those that have ended stay ended.
    #[cfg(feature = "redis")]
    pub async fn pause(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.producers) {
            let _ = process.pause().await;
        }
    }

    /// Ends a [`pause`](Self::pause).
    #[cfg(feature = "redis")]
    pub fn resume(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.producers) {
            let _ = process.resume();
        }
    }

    /// Kills until the queue has nothing left to do. `also` is called continuously, and returns
    /// whether there is more to come.
    pub async fn kill_until_done(
        &mut self,
        broker: &dyn Broker,
        mut also: impl AsyncFnMut(&mut Self) -> bool,
    ) -> QueueCounts {
        let (mut next, mut runs) = (Instant::now(), 0);
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Kills wait for runs. Otherwise no process on a busy machine would live long enough to
            // do anything.
            let has_run = || count(&self.location.directory, RUNS);
            if next <= Instant::now() && (has_run() > runs || self.kills[0] < LEAST_KILLS) {
                runs = has_run();
                self.kill_one();
                next = Instant::now() + Duration::from_millis(rand::random_range(100..600));
            }
            let is_more = also(self).await || self.kills[0] < LEAST_KILLS;
            if !is_more
                && self.has_enqueued()
                && let Ok(counts) = broker.counts(QUEUE).await
                && counts.ready + counts.leased + counts.delayed == 0
            {
                return counts;
            }
        }
    }
}
