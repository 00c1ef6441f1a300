//! Requests with a route, and a registry with a manual clock.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use http::Request;
use tidegate_perfmon::{EndpointTotals, ManualClock, Registry};

#[derive(Clone)]
pub(crate) struct Matched(pub(crate) &'static str);

pub(crate) fn route(request: &Request<()>) -> Option<&str> {
    request.extensions().get::<Matched>().map(|matched| matched.0)
}

pub(crate) fn request(route: Option<&'static str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(route) = route {
        request.extensions_mut().insert(Matched(route));
    }
    request
}

pub(crate) fn manual() -> (ManualClock, Registry) {
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(clock.clone()).build();
    (clock, registry)
}

pub(crate) fn only(registry: &Registry) -> EndpointTotals {
    let mut totals = registry.totals();
    assert_eq!(totals.len(), 1);
    totals.remove(0)
}

pub(crate) fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

pub(crate) const MS: Duration = Duration::from_millis(1);
