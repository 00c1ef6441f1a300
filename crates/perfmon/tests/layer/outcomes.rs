//! How requests end.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tidegate_perfmon::{HealthConfig, HealthMonitor, OTHER, PerfLayer, Refused, Registry, UNMATCHED};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{Matched, manual, only, poll_once, request, route};

#[tokio::test]
async fn responses_are_recorded_by_route_and_class() {
    let (clock, registry) = manual();
    let service = ServiceBuilder::new().layer(PerfLayer::new(registry.clone(), route)).service(service_fn(
        |request: Request<()>| {
            clock.advance(Duration::from_millis(20));
            let status = if route(&request).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            ready(Ok::<_, Infallible>(Response::builder().status(status).body("body").unwrap()))
        },
    ));
    for _ in 0..3 {
        let response = service.clone().oneshot(request(Some("/api/schedules/{id}"))).await.unwrap();
        assert_eq!((response.status(), *response.body()), (StatusCode::OK, "body"));
    }
    service.clone().oneshot(request(None)).await.unwrap();
    let totals = registry.totals();
    assert_eq!(totals.len(), 2);
    assert_eq!((totals[0].method, totals[0].route.as_str()), ("GET", "/api/schedules/{id}"));
    assert_eq!((totals[0].classes.success, totals[0].classes.total()), (3, 3));
    assert_eq!(totals[0].latency.count, 3);
    assert!((totals[0].latency.sum_seconds - 0.060).abs() < 1e-9);
    assert_eq!(totals[1].route, UNMATCHED);
    assert_eq!((totals[1].classes.client_error, totals[1].aborted), (1, 0));
}

#[tokio::test]
async fn a_request_dropped_on_the_way_is_aborted() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    {
        let mut future = pin!(service.call(request(Some("/hang"))));
        assert!(!poll_once(future.as_mut()));
        clock.advance(Duration::from_millis(100));
    }
    let never_polled = service.call(request(Some("/hang")));
    clock.advance(Duration::from_secs(1));
    drop(never_polled);
    let totals = only(&registry);
    assert_eq!((totals.aborted, totals.classes.total(), totals.latency.count), (2, 0, 0));
}

/// Any client can open connections and close them at once. That is no outage.
#[tokio::test]
async fn clients_that_leave_at_once_are_counted_separately() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    for _ in 0..45 {
        let left = service.call(request(Some("/schedules")));
        clock.advance(Duration::from_millis(99));
        drop(left);
    }
    assert_eq!((only(&registry).aborted, registry.left_early()), (0, 45));
    registry.tick(registry.now());
    assert!(registry.failed_calls(9).is_empty());
    let report = HealthMonitor::new(&HealthConfig::default()).evaluate(registry.readings());
    let aborted = report.components.iter().find(|component| component.name == "aborted").unwrap();
    assert_eq!(aborted.samples, Some(0));
}

#[tokio::test]
async fn a_response_marked_as_a_refusal_is_one() {
    let (_, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|request: Request<()>| {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SEE_OTHER;
        if route(&request) == Some("/page") {
            response.extensions_mut().insert(Refused);
        }
        ready(Ok::<_, Infallible>(response))
    }));
    for path in ["/page", "/moved"] {
        service.clone().oneshot(request(Some(path))).await.unwrap();
    }
    let counts: Vec<_> = registry.totals().into_iter().map(|of| (of.refused, of.classes.redirection)).collect();
    assert_eq!(counts, [(0, 1), (1, 0)]);
}

#[tokio::test]
async fn a_panicking_handler_is_a_server_error() {
    let (_, registry) = manual();
    let layer = PerfLayer::new(registry.clone(), route);
    let service = layer.layer(service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        panic!("handler");
        #[expect(unreachable_code, reason = "names the response type")]
        Ok::<Response<()>, Infallible>(Response::new(()))
    }));
    let joined = tokio::spawn(service.oneshot(request(Some("/panic")))).await;
    assert!(joined.unwrap_err().is_panic());
    let totals = only(&registry);
    assert_eq!((totals.classes.server_error, totals.aborted, totals.latency.count), (1, 0, 1));
}

#[test]
fn a_panic_caught_before_the_drop_is_still_a_server_error() {
    let (_, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        std::future::poll_fn(|_| -> std::task::Poll<Result<Response<()>, Infallible>> { panic!("handler") })
    }));
    {
        let mut future = pin!(service.call(request(Some("/panic"))));
        assert!(catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))).is_err());
    }
    assert_eq!((only(&registry).classes.server_error, only(&registry).aborted), (1, 0));
}

#[test]
fn a_panic_in_call_is_a_server_error() {
    let (_, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| -> std::future::Ready<Result<Response<()>, Infallible>> { panic!("call") }));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(request(Some("/panic")))))).is_err());
    assert_eq!((only(&registry).classes.server_error, only(&registry).aborted), (1, 0));
}

#[tokio::test]
async fn an_error_of_the_service_is_a_server_error_and_passed_on() {
    let (_, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| ready(Err::<Response<()>, _>("broken"))));
    assert_eq!(service.oneshot(request(Some("/error"))).await.unwrap_err(), "broken");
    assert_eq!(only(&registry).classes.server_error, 1);
}

#[tokio::test]
async fn hostile_paths_stay_bounded_through_the_layer() {
    let registry = Registry::builder().cap(10).build();
    // A careless closure: the raw path instead of the template.
    let layer = PerfLayer::new(registry.clone(), |request: &Request<()>| Some(request.uri().path()));
    let service = layer.layer(service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(())))));
    for n in 0..1_000 {
        service.clone().oneshot(Request::get(format!("/{n}")).body(()).unwrap()).await.unwrap();
    }
    let totals = registry.totals();
    assert_eq!(totals.len(), 11);
    assert_eq!(totals.iter().find(|totals| totals.route == OTHER).unwrap().latency.count, 990);
}

/// The bounds of axum's `Router::layer` on a layer and its service.
#[test]
fn fits_the_bounds_of_an_axum_router() {
    fn fits<L, S, B, R>(_: &L, _: &S)
    where
        L: Layer<S> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<B>>>::Future: Send + 'static,
    {
    }
    let (_, registry) = manual();
    let layer = PerfLayer::new(registry, |request: &Request<()>| {
        request.extensions().get::<Matched>().map(|matched| matched.0)
    });
    let service = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
    fits(&layer, &service);
}
