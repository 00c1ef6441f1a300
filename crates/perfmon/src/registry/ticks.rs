//! The second hand of a registry.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::registry::Registry;
use crate::registry::event::Event;

const SECOND: Duration = Duration::from_secs(1);

/// Ticks a registry for as long as it is kept; dropping it stops the ticks.
#[derive(Debug)]
#[must_use = "ticks stop when this is dropped"]
pub struct Ticks {
    task: AbortHandle,
}

impl Ticks {
    /// Returns whether the ticks have stopped because the runtime has ended.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    /// Calls [`tick`](Self::tick) once a second on the current runtime, and then `each`, which may
    /// evaluate health.
    ///
    /// ```
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # runtime.enable_time().build().unwrap().block_on(async {
    /// use std::sync::{Arc, Mutex};
    /// use tidegate_perfmon::{HealthMonitor, HealthReport, Registry};
    ///
    /// let registry = Registry::builder().build();
    /// let report: Arc<Mutex<Option<HealthReport>>> = Arc::default();
    /// let latest = Arc::clone(&report);
    /// let mut monitor = HealthMonitor::new(registry.health_config());
    /// let _ticks = registry.spawn_ticks(move |registry| {
    ///     *latest.lock().unwrap() = Some(monitor.evaluate(registry.readings()));
    /// });
    /// # });
    /// ```
    ///
    /// As for what may go wrong, it does what [`ticking`](Self::ticking) does.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without time.
    pub fn spawn_ticks(&self, each: impl FnMut(&Self) + Send + 'static) -> Ticks {
        let registry = self.clone();
        // The interval is made here, so that who has no runtime with time hears of it.
        let ticking = registry.into_ticking(each);
        Ticks { task: tokio::spawn(ticking).abort_handle() }
    }

    /// Returns the same as a future, for callers that have a task of their own. It never ends. The
    /// first tick comes after a second.
    ///
    /// - A tick that comes late files more than a second, and loses nothing; none is made up for.
    /// - `each` runs on the runtime, so it should not block. The next tick waits until it ends.
    /// - A panic in `each` ends that second only: the observer gets [`Event::TickPanicked`], and
    ///   the panic hook has printed it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without time.
    pub fn ticking<F: FnMut(&Self)>(&self, each: F) -> impl Future<Output = ()> + use<F> {
        self.clone().into_ticking(each)
    }

    fn into_ticking<F: FnMut(&Self)>(self, mut each: F) -> impl Future<Output = ()> + use<F> {
        let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        async move {
            loop {
                seconds.tick().await;
                let second = AssertUnwindSafe(|| {
                    self.tick(self.now());
                    each(&self);
                });
                if catch_unwind(second).is_err() {
                    self.notify(&Event::TickPanicked);
                }
            }
        }
    }
}
