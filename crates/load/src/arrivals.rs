//! The schedule of an open loop, and its requests.

use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Maximum number of requests in flight. The driver itself would fail beyond it; the latencies
/// show the wait.
const MAX_IN_FLIGHT: usize = 20_000;

/// Reports each scheduled time as it comes.
///
/// A thread of its own waits for them. The timer of tokio counts whole milliseconds, which is more
/// than many of the measured requests take.
pub(crate) struct Arrivals {
    times: UnboundedReceiver<Instant>,
}

impl Arrivals {
    /// Starts now. `offsets` are the times since then, in order.
    #[expect(clippy::disallowed_methods, reason = "the thread is its own, and sleeps until a time of the schedule")]
    pub(crate) fn start(offsets: impl Iterator<Item = Duration> + Send + 'static) -> Self {
        let (times, receiver) = unbounded_channel();
        let start = Instant::now();
        thread::spawn(move || {
            for offset in offsets {
                let scheduled = start + offset;
                thread::sleep(scheduled.saturating_duration_since(Instant::now()));
                // The run has ended before its schedule.
                if times.send(scheduled).is_err() {
                    return;
                }
            }
        });
        Self { times: receiver }
    }

    /// Returns the next scheduled time, which is now or has passed. `None` at the end of the
    /// schedule.
    pub(crate) async fn next(&mut self) -> Option<Instant> {
        self.times.recv().await
    }
}

/// Requests that wait for their answers.
#[derive(Default)]
pub(crate) struct InFlight(JoinSet<()>);

impl InFlight {
    /// Starts a request. Waits for the end of another one first if there are too many.
    pub(crate) async fn spawn(&mut self, request: impl Future<Output = ()> + Send + 'static) {
        while self.0.try_join_next().is_some() {}
        if self.0.len() >= MAX_IN_FLIGHT {
            self.0.join_next().await;
        }
        self.0.spawn(request);
    }

    pub(crate) async fn join_all(self) {
        self.0.join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_arrival_is_early_or_left_out() {
        let offsets: Vec<Duration> = [0, 300, 300, 5_000].map(Duration::from_micros).to_vec();
        let start = Instant::now();
        let mut arrivals = Arrivals::start(offsets.clone().into_iter());
        for offset in offsets {
            let scheduled = arrivals.next().await.unwrap();
            assert!(scheduled >= start + offset && Instant::now() >= scheduled);
        }
        assert_eq!(arrivals.next().await, None);
    }
}
