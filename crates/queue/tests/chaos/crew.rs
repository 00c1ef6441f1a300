//! Producers and workers, of whom one after the other is killed and replaced.

use std::time::Duration;

use tidegate_queue::{Broker, QueueCounts};
use tidegate_testkit::Process;

use crate::book::count;
use crate::child::{ACKNOWLEDGED, How, QUEUE, Task};
use crate::place::Place;

const WORKERS: usize = 3;
const PRODUCERS: u32 = 2;
const SLOTS: usize = 50;

pub struct Crew {
    place: Place,
    workers: Vec<Process>,
    producers: Vec<Process>,
    /// Workers and producers killed.
    pub kills: [usize; 2],
}

impl Crew {
    /// Producers that enqueue jobs 0 to `jobs` between them, and workers that keep so many done ones.
    pub fn start(place: &Place, jobs: u32, lease: Duration, kept: u64) -> Self {
        let share = jobs.div_ceil(PRODUCERS);
        let producer = |nth: u32| {
            let task = Task::enqueue(place, nth * share..((nth + 1) * share).min(jobs));
            task.start(&format!("producer {nth}"))
        };
        let worker = Task::work(place, lease, SLOTS, How::AtOnce).keep(kept);
        Self {
            place: place.clone(),
            workers: (0..WORKERS).map(|nth| worker.start(&format!("worker {nth}"))).collect(),
            producers: (0..PRODUCERS).map(producer).collect(),
            kills: [0; 2],
        }
    }

    pub fn acknowledged(&self) -> usize {
        count(&self.place.directory, ACKNOWLEDGED)
    }

    /// Whether the producers have come to their end.
    pub fn has_enqueued(&mut self) -> bool {
        self.producers.iter_mut().all(|producer| {
            let status = producer.exit_status().unwrap();
            assert!(status.is_none_or(|status| status.success()), "a producer failed: {status:?}");
            status.is_some()
        })
    }

    /// Kills a worker, and now and then a producer that is still at it; others take their places.
    pub fn kill_one(&mut self) {
        let worker = &mut self.workers[rand::random_range(0..WORKERS)];
        worker.kill9().unwrap();
        worker.restart().unwrap();
        self.kills[0] += 1;
        let producer = &mut self.producers[rand::random_range(0..PRODUCERS) as usize];
        // One that has just ended can't be killed.
        if rand::random_ratio(1, 3) && producer.exit_status().unwrap().is_none() && producer.kill9().is_ok() {
            producer.restart().unwrap();
            self.kills[1] += 1;
        }
    }

    /// Goes on killing until nothing is left to do, as the queue says it. `between` is called each time.
    pub async fn kill_until_done(
        &mut self,
        broker: &dyn Broker,
        mut between: impl AsyncFnMut(&mut Self),
    ) -> QueueCounts {
        loop {
            tokio::time::sleep(Duration::from_millis(rand::random_range(100..600))).await;
            self.kill_one();
            between(self).await;
            if self.has_enqueued()
                && let Ok(counts) = broker.counts(QUEUE).await
                && counts.ready + counts.leased + counts.delayed == 0
            {
                return counts;
            }
        }
    }
}
