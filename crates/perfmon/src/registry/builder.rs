//! How a registry is built.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidegate_clock::Clock;

use crate::health::config::HealthConfig;
use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::Layout;
use crate::record::kind::Kind;
use crate::registry::catalog::Catalog;
use crate::registry::costs::Costs;
use crate::registry::event::Observer;
use crate::registry::{Inner, Registry};
use crate::series::Series;
use crate::slow::SlowLog;
use crate::slow::slowest_calls::SlowestCalls;
use crate::time::timeline::Timeline;

/// Builds a [`Registry`]. Every setting has a default, no value is refused.
pub struct RegistryBuilder {
    clock: Clock,
    observer: Option<Arc<dyn Observer>>,
    cap: usize,
    meters: usize,
    unjudged: Vec<String>,
    thresholds: Vec<Duration>,
    slow_call: Duration,
    slow_entries: usize,
    slow_kinds: [Duration; Kind::ALL.len()],
    health: HealthConfig,
}

impl Registry {
    /// Starts to build a registry.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::new()
    }
}

impl RegistryBuilder {
    fn new() -> Self {
        Self {
            clock: Clock::system(),
            observer: None,
            cap: 512,
            meters: 512,
            unjudged: Vec::new(),
            thresholds: [1, 2, 5].map(Duration::from_secs).to_vec(),
            slow_call: Duration::from_millis(500),
            slow_entries: 100,
            slow_kinds: Kind::ALL.map(Kind::default_threshold),
            health: HealthConfig::default(),
        }
    }

    /// The source of time; by default the machine's clock.
    ///
    /// A test sets how long work takes, instead of waiting for it. A handler that moves the clock
    /// takes that long:
    ///
    /// ```
    /// # #[cfg(feature = "tower")]
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use std::{convert::Infallible, time::Duration};
    /// use http::{Request, Response};
    /// use tidegate_perfmon::{ManualClock, PerfLayer, Registry, Window};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// let clock = ManualClock::new();
    /// let registry = Registry::builder().clock(&clock).build();
    /// let handler = service_fn(|_: Request<()>| async {
    ///     clock.advance(Duration::from_secs(3)); // where the real one would wait
    ///     Ok::<_, Infallible>(Response::new(()))
    /// });
    /// fn route(_: &Request<()>) -> Option<&str> {
    ///     Some("/report")
    /// }
    /// let service = PerfLayer::new(registry.clone(), route).layer(handler);
    /// service.oneshot(Request::new(())).await.unwrap();
    ///
    /// assert_eq!(registry.slow_calls(1)[0].elapsed, Duration::from_secs(3));
    /// registry.tick(registry.now()); // files it, as of the clock's second
    /// assert_eq!(registry.overall(Window::Minutes(5)).latency.over[1].count, 1); // over 2 s
    /// # });
    /// ```
    ///
    /// A real handler is blocked at a lock or a channel of the test while the clock moves.
    /// `Registry::spawn_ticks` uses tokio's time and not this clock: tests call
    /// [`Registry::tick`](crate::Registry::tick) themselves.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets the observer of slow calls and operations; none by default.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sets how many endpoints, and how many operations, get a name of their own; the others share
    /// `__other__`. 512 by default.
    #[must_use]
    pub fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }

    /// How many [meters](Registry::meter) there are at most; 512 by default.
    #[must_use]
    pub fn meters(mut self, meters: usize) -> Self {
        self.meters = meters;
        self
    }

    /// Sets the route templates that are measured and shown, but that neither
    /// [`Registry::readings`] nor [`Registry::outcomes`] include; none by default.
    ///
    /// Name health probes here: they must not change health themselves. Many good responses would
    /// hide few bad ones, and their own 503 would keep a service unhealthy for as long as it is
    /// probed. Name routes whose time depends on the client, such as uploads, and
    /// [`UNMATCHED`](crate::UNMATCHED) if unauthenticated clients reach it.
    #[must_use]
    pub fn unjudged<R: Into<String>>(mut self, routes: impl IntoIterator<Item = R>) -> Self {
        self.unjudged = routes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the durations above which samples are counted exactly and shown; 1 s, 2 s and 5 s by
    /// default.
    #[must_use]
    pub fn thresholds(mut self, thresholds: impl IntoIterator<Item = Duration>) -> Self {
        self.thresholds = thresholds.into_iter().collect();
        self.thresholds.sort_unstable();
        self.thresholds.dedup();
        self
    }

    /// The duration above which a request enters the slow list; 500 ms by default.
    #[must_use]
    pub fn slow_call(mut self, threshold: Duration) -> Self {
        self.slow_call = threshold;
        self
    }

    /// The duration above which an operation of this kind enters the slow list.
    #[must_use]
    pub fn slow_operation(mut self, kind: Kind, threshold: Duration) -> Self {
        self.slow_kinds[kind as usize] = threshold;
        self
    }

    /// How many entries each list of slow or failed ones keeps; 100 by default.
    #[must_use]
    pub fn slow_entries(mut self, entries: usize) -> Self {
        self.slow_entries = entries;
        self
    }

    /// The limits behind [`Registry::readings`]. Its durations are counted exactly.
    #[must_use]
    pub fn health(mut self, health: HealthConfig) -> Self {
        self.health = health;
        self
    }

    /// Builds the registry. Its windows begin now.
    pub fn build(self) -> Registry {
        let edges = EXPOSITION_BOUNDS
            .into_iter()
            .chain(self.thresholds.iter().copied())
            .chain([self.slow_call])
            .chain(self.slow_kinds)
            .chain([self.health.p99, self.health.slow_api, self.health.slow_query]);
        let layout = Arc::new(Layout::new(edges));
        let timeline = Timeline::starting_at(self.clock.now());
        Registry::from_inner(Inner {
            clock: self.clock,
            observer: self.observer,
            thresholds: self.thresholds,
            slow_call: self.slow_call,
            slow_kinds: self.slow_kinds,
            health: self.health,
            unjudged: self.unjudged.into(),
            endpoints: Catalog::new(self.cap),
            operations: Catalog::new(self.cap),
            meters: Catalog::new(self.meters),
            waits: Series::new(Arc::clone(&layout), Duration::ZERO),
            body_waits: Series::new(Arc::clone(&layout), Duration::ZERO),
            refusals: Series::new(Arc::clone(&layout), Duration::ZERO),
            left_early: AtomicU64::new(0),
            slow_calls: SlowestCalls::new(self.slow_entries),
            failed_calls: SlowLog::new(self.slow_entries),
            slow_operations: SlowLog::new(self.slow_entries),
            timeline: timeline.into(),
            costs: Costs::default(),
            layout,
        })
    }
}
