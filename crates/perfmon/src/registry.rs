//! All recorders of a process.

pub(crate) mod builder;
pub(crate) mod calls;
pub(crate) mod catalog;
mod costs;
pub(crate) mod event;
mod figures;
pub(crate) mod in_flight;
mod meters;
pub(crate) mod overall;
pub(crate) mod overhead;
mod slots;
#[cfg(feature = "tokio")]
pub(crate) mod ticks;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tidegate_clock::Clock;

use crate::health::config::HealthConfig;
use crate::histogram::layout::Layout;
use crate::record::endpoint::Endpoint;
use crate::record::kind::Kind;
use crate::record::meter::Meter;
use crate::record::operation::Operation;
use crate::registry::catalog::{Catalog, UNMATCHED};
use crate::registry::costs::Costs;
use crate::registry::event::{Event, Observer};
use crate::series::Series;
use crate::series::delta::Scratch;
use crate::slow::slowest_calls::SlowestCalls;
use crate::slow::{SlowCall, SlowLog, SlowOperation};
use crate::time::timeline::Timeline;

/// Endpoints, operations and their windows. Clones share one registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) thresholds: Vec<Duration>,
    pub(crate) slow_call: Duration,
    pub(crate) slow_kinds: [Duration; Kind::ALL.len()],
    pub(crate) health: HealthConfig,
    pub(crate) unjudged: RwLock<Vec<String>>,
    pub(crate) endpoints: Catalog<Endpoint>,
    pub(crate) operations: Catalog<Operation>,
    pub(crate) meters: Catalog<Meter>,
    /// How long requests waited for the layer.
    pub(crate) waits: Series,
    /// How long they waited for their bodies.
    pub(crate) body_waits: Series,
    /// How long it took to turn callers away.
    pub(crate) refusals: Series,
    /// Clients that left before anything could be said of what they waited for.
    pub(crate) left_early: AtomicU64,
    pub(crate) slow_calls: SlowestCalls,
    pub(crate) failed_calls: SlowLog<SlowCall>,
    pub(crate) slow_operations: SlowLog<SlowOperation>,
    pub(crate) timeline: Mutex<Timeline>,
    pub(crate) costs: Costs,
}

impl Registry {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The time of the registry's clock, since its origin.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// Returns the recorder of a method on a route template; look it up once and keep it. Uncommon
    /// methods become `_OTHER`. Past the cap, or with a template longer than 256 bytes, the
    /// recorder is that of [`OTHER`](crate::OTHER).
    pub fn endpoint(&self, method: &str, route: &str) -> Arc<Endpoint> {
        let method = known_method(method);
        let make = |route: &str| {
            let unjudged = self.inner.unjudged.read().unwrap_or_else(PoisonError::into_inner);
            let is_judged = !unjudged.iter().any(|unjudged| unjudged == route);
            Endpoint::new(method, route, is_judged, Arc::clone(&self.inner.layout), self.elapsed())
        };
        self.inner.endpoints.resolve(method, route, make)
    }

    /// Leaves a route template out of health, as
    /// [`RegistryBuilder::unjudged`](crate::RegistryBuilder::unjudged) does, for routers that are
    /// built after the registry. Call it before the first request to the route.
    pub fn leave_unjudged(&self, route: impl Into<String>) {
        self.inner.unjudged.write().unwrap_or_else(PoisonError::into_inner).push(route.into());
    }

    /// The recorder of requests that matched no route.
    pub fn unmatched(&self, method: &str) -> Arc<Endpoint> {
        self.endpoint(method, UNMATCHED)
    }

    /// Files everything recorded since the last tick into the windows. Call it about once a second,
    /// from one place, with [`now`](Self::now). A time before the last one counts as no time
    /// passed.
    pub fn tick(&self, now: Duration) {
        let begun = self.now();
        let elapsed = self.inner.timeline.lock().unwrap_or_else(PoisonError::into_inner).advance(now);
        let mut scratch = Scratch::default();
        for endpoint in self.inner.endpoints.all() {
            endpoint.series().tick(elapsed, &mut scratch);
        }
        for operation in self.inner.operations.all() {
            operation.series.tick(elapsed, &mut scratch);
        }
        for meter in self.inner.meters.all() {
            meter.tick(elapsed, &mut scratch);
        }
        self.inner.waits.tick(elapsed, &mut scratch);
        self.inner.body_waits.tick(elapsed, &mut scratch);
        self.inner.refusals.tick(elapsed, &mut scratch);
        self.inner.costs.tick.record(self.now().saturating_sub(begun));
    }

    /// Returns how often a caller got `__other__` instead of an endpoint of its own, because of the
    /// cap or an overlong template.
    pub fn dropped_endpoints(&self) -> u64 {
        self.inner.endpoints.dropped()
    }

    /// The same for operations.
    pub fn dropped_operations(&self) -> u64 {
        self.inner.operations.dropped()
    }

    /// The limits behind [`readings`](Self::readings).
    pub fn health_config(&self) -> &HealthConfig {
        &self.inner.health
    }

    pub(crate) fn operation(&self, kind: Kind, name: &str) -> Arc<Operation> {
        let make = |name: &str| Operation::new(kind, name, Arc::clone(&self.inner.layout), self.elapsed());
        self.inner.operations.resolve(kind.name(), name, make)
    }

    /// The endpoints that health and budgets go by.
    pub(crate) fn judged(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.inner.endpoints.all().into_iter().filter(|endpoint| endpoint.is_judged())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.inner.timeline.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.inner.observer {
            observer.on(event);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("dropped_endpoints", &self.dropped_endpoints()).finish_non_exhaustive()
    }
}

/// Methods are chosen by clients, so only the common ones make series.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
