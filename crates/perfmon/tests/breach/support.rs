//! A service on a manual clock.

use std::sync::Arc;
use std::time::Duration;

use tidegate_perfmon::{Endpoint, Health, HealthMonitor, HealthReport, Kind, ManualClock, Registry, StatusClass};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A service on a manual clock.
pub(crate) struct Service {
    pub(crate) registry: Registry,
    pub(crate) clock: ManualClock,
    pub(crate) monitor: HealthMonitor,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) at: u64,
    pub(crate) hanging: u64,
    pub(crate) state: u64,
}

/// The load of one second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    Good,
    Errors,
    GiveUp,
    Slow(Duration),
    Operations(Kind, Duration),
    Hangs,
}

impl Service {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let registry = Registry::builder().clock(clock.clone()).build();
        let monitor = HealthMonitor::new(registry.health_config());
        let endpoint = registry.endpoint("GET", "/");
        Self { registry, clock, monitor, endpoint, at: 0, hanging: 0, state: 1 }
    }

    /// `rate` requests, and as many operations where a load has any.
    pub(crate) fn load(&mut self, rate: u64, load: Load) {
        for _ in 0..rate {
            match load {
                Load::Errors => self.endpoint.record(StatusClass::ServerError, MS),
                Load::Slow(latency) => self.endpoint.record(StatusClass::Success, latency),
                Load::Good | Load::Operations(..) => self.endpoint.record(StatusClass::Success, MS),
                Load::GiveUp => self.endpoint.aborted(),
                Load::Hangs => self.hanging += 1,
            }
            if let Load::Operations(kind, took) = load {
                self.measure(kind, took);
            }
        }
    }

    pub(crate) fn measure(&self, kind: Kind, took: Duration) {
        let mut run = std::pin::pin!(self.registry.measure(kind, "work", async { self.clock.advance(took) }));
        let waker = std::task::Waker::noop();
        assert!(run.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
    }

    /// Files the second. Its time is the test's, not that of the clock which the operations move.
    pub(crate) fn tick(&mut self) {
        self.at += 1;
        self.registry.tick(Duration::from_secs(self.at));
    }

    pub(crate) fn judge(&mut self) -> HealthReport {
        self.monitor.evaluate(self.registry.readings_with(|_| self.hanging))
    }

    pub(crate) fn second(&mut self, rate: u64, load: Load) -> Health {
        self.load(rate, load);
        self.tick();
        self.judge().status
    }

    /// The same numbers at each run.
    pub(crate) fn chance(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.state >> 33).expect("31 bits")) / f64::from(1u32 << 31)
    }
}

pub(crate) fn gravity(state: Health) -> u8 {
    match state {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::Unhealthy => 3,
    }
}

pub(crate) fn changes(states: &[Health]) -> usize {
    states.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
