//! The layer around services that answer, fail, hang and panic.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tidegate_perfmon::{
    CallOutcome, EndpointTotals, Event, ManualClock, OTHER, Observer, PerfLayer, Registry, SlowCall, UNMATCHED,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone)]
struct Matched(&'static str);

fn route(request: &Request<()>) -> Option<&str> {
    request.extensions().get::<Matched>().map(|matched| matched.0)
}

fn request(route: Option<&'static str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(route) = route {
        request.extensions_mut().insert(Matched(route));
    }
    request
}

fn manual() -> (Arc<ManualClock>, Registry) {
    let clock = Arc::new(ManualClock::new());
    let registry = Registry::builder().clock(Arc::clone(&clock)).build();
    (clock, registry)
}

fn only(registry: &Registry) -> EndpointTotals {
    let mut totals = registry.totals();
    assert_eq!(totals.len(), 1);
    totals.remove(0)
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

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
    let (_, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    {
        let mut future = pin!(service.call(request(Some("/hang"))));
        assert!(!poll_once(future.as_mut()));
    }
    drop(service.call(request(Some("/hang")))); // never polled
    let totals = only(&registry);
    assert_eq!((totals.aborted, totals.classes.total(), totals.latency.count), (2, 0, 0));
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

#[derive(Default)]
struct Heard(Mutex<Vec<SlowCall>>);

impl Observer for Heard {
    fn on(&self, event: &Event<'_>) {
        if let Event::SlowCall(call) = event {
            self.0.lock().expect("no holder panics").push((*call).clone());
        }
    }
}

#[tokio::test]
async fn slow_calls_are_listed_newest_first_and_told() {
    let clock = Arc::new(ManualClock::new());
    let heard = Arc::new(Heard::default());
    let observer: Arc<dyn Observer> = Arc::clone(&heard) as _;
    let registry = Registry::builder().clock(Arc::clone(&clock)).observer(observer).slow_entries(2).build();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|request: Request<()>| {
        let millis: u64 = request.headers()["takes"].to_str().unwrap().parse().unwrap();
        clock.advance(Duration::from_millis(millis));
        let mut response = Response::new(());
        if millis == 700 {
            response.headers_mut().insert("x-request-id", "from-response".parse().unwrap());
        }
        ready(Ok::<_, Infallible>(response))
    }));
    for (takes, id) in [(500, "at-threshold".to_owned()), (501, "é".repeat(100)), (700, "x".into()), (600, "y".into())]
    {
        let mut request = request(Some("/slow"));
        request.headers_mut().insert("takes", takes.to_string().parse().unwrap());
        request.headers_mut().insert("x-request-id", http::HeaderValue::from_bytes(id.as_bytes()).unwrap());
        service.clone().oneshot(request).await.unwrap();
    }
    let told = heard.0.lock().unwrap().clone();
    assert_eq!(told.iter().map(|call| call.elapsed.as_millis()).collect::<Vec<_>>(), [501, 700, 600]);
    assert_eq!(told[0].request_id, None, "a header that is no text names nothing");
    let listed = registry.slow_calls(10);
    assert_eq!(listed, [told[2].clone(), told[1].clone()]);
    assert_eq!(listed[0].request_id.as_deref(), Some("y"));
    assert_eq!(listed[1].request_id.as_deref(), Some("from-response"));
    assert_eq!(listed[0].at_unix_ms, 500 + 501 + 700 + 600);
    assert_eq!(
        serde_json::to_value(&listed[0]).unwrap(),
        serde_json::json!({"method": "GET", "route": "/slow", "elapsed_ms": 600.0, "status": 200,
            "at_unix_ms": 2301, "request_id": "y"})
    );
    assert_eq!(registry.slow_calls(1).len(), 1);
}

#[test]
fn a_long_request_id_is_cut_between_characters() {
    let (_, registry) = manual();
    let endpoint = registry.endpoint("GET", "/");
    let id = format!("a{}", "é".repeat(200));
    registry.finished(&endpoint, CallOutcome::Aborted, Duration::MAX, Some(&id));
    let call = registry.slow_calls(1).remove(0);
    assert_eq!(call.request_id.unwrap().len(), 127);
    assert_eq!(serde_json::to_value(call.outcome).unwrap(), "aborted");
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

/// What axum's `Router::layer` asks of a layer and its service.
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
