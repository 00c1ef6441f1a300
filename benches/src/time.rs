//! Elapsed time: a benchmark measures it, so this module reads the machine's clocks.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

pub use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Time since it was started.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the benchmarks' one clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since then.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns the time of day, since the Unix epoch, for work that is due at a time.
///
/// # Panics
///
/// If the machine's clock is before 1970.
pub fn time_of_day() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")
}

/// Returns the processor time that this process, or this thread, has used.
///
/// # Panics
///
/// If the clock shows a time before zero.
pub fn processor_time(of: ClockId) -> Duration {
    Duration::try_from(clock_gettime(of)).expect("no debt")
}

/// Runs `work` on this number of threads at once, each with its index, and returns the time of the
/// slowest.
///
/// # Panics
///
/// If `work` does.
pub fn side_by_side(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let start = Barrier::new(threads);
    let run = |number| {
        start.wait();
        let stopwatch = Stopwatch::start();
        work(number);
        stopwatch.elapsed()
    };
    thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("`work` panicked"));
        times.max().unwrap_or_default()
    })
}
