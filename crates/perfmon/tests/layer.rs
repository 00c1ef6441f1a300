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
    BodyWait, CallOutcome, EndpointTotals, Event, HealthConfig, HealthMonitor, ManualClock, OTHER, Observer, PerfLayer,
    ReceivedAt, Refused, Registry, SlowCall, TraceContext, UNMATCHED, Window,
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

/// Anybody can open connections and close them at once; of whom that tells is nobody's outage.
#[tokio::test]
async fn who_leaves_at_once_is_counted_apart() {
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
async fn what_says_that_it_is_a_refusal_is_one() {
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
    let told: Vec<_> = registry.totals().into_iter().map(|of| (of.refused, of.classes.redirection)).collect();
    assert_eq!(told, [(0, 1), (1, 0)]);
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
            "at_unix_ms": 2301, "request_id": "y", "trace_id": null})
    );
    assert_eq!(registry.slow_calls(1).len(), 1);
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn time_runs_from_where_the_request_was_received() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(20 * MS);
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    clock.advance(Duration::from_secs(10));
    for received in [Some(registry.now() - 30 * MS), None] {
        let mut request = request(Some("/"));
        if let Some(at) = received {
            request.extensions_mut().insert(ReceivedAt(at));
        }
        service.clone().oneshot(request).await.unwrap();
    }
    assert!((only(&registry).latency.sum_seconds - 0.070).abs() < 1e-9);
    let waits = registry.http_wait_totals();
    assert_eq!(waits.count, 1, "who says nothing of it is not counted as having waited for nothing");
    assert!((waits.sum_seconds - 0.030).abs() < 1e-9);
    registry.tick(registry.now());
    assert!(registry.http_wait(Window::Seconds(60)).quantile(1.0).unwrap() >= 30 * MS);
}

#[tokio::test]
async fn waiting_for_the_client_is_no_time_of_a_request_and_working_is() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|request: Request<()>| {
        let (clock, registry) = (Arc::clone(&clock), registry.clone());
        async move {
            let body = request.extensions().get::<BodyWait>().unwrap();
            clock.advance(20 * MS);
            for _ in 0..2 {
                body.begin(registry.now());
                clock.advance(Duration::from_secs(13));
                assert_eq!(registry.in_flight()[0].oldest, 20 * MS);
                assert_eq!((registry.in_flight_over(20 * MS), registry.in_flight_over(19 * MS)), (0, 1));
                body.end(registry.now());
            }
            clock.advance(30 * MS);
            assert_eq!(registry.in_flight_over(49 * MS), 1, "a handler that hangs is seen");
            // What is still to come as it answers is waited for by nobody else.
            body.begin(registry.now());
            clock.advance(Duration::from_secs(60));
            Ok::<_, Infallible>(Response::new(()))
        }
    }));
    let mut request = request(Some("/"));
    request.extensions_mut().insert(BodyWait::default());
    service.oneshot(request).await.unwrap();
    assert!((only(&registry).latency.sum_seconds - 0.050).abs() < 1e-9);
    assert_eq!(registry.slow_calls(1), []);
    let waits = registry.http_body_wait_totals();
    assert_eq!(waits.count, 1);
    assert!((waits.sum_seconds - 86.0).abs() < 1e-9);
    registry.tick(registry.now());
    assert!(registry.http_body_wait(Window::Seconds(60)).quantile(1.0).unwrap() >= Duration::from_secs(86));
}

#[tokio::test]
async fn a_request_from_the_future_has_begun_now() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(20 * MS);
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let mut request = request(Some("/"));
    request.extensions_mut().insert(ReceivedAt(Duration::MAX));
    service.oneshot(request).await.unwrap();
    assert!((only(&registry).latency.sum_seconds - 0.020).abs() < 1e-9);
    assert!(registry.http_wait_totals().sum_seconds.abs() < 1e-9);
}

#[tokio::test]
async fn slow_and_failed_calls_name_their_trace() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|request: Request<()>| {
        let [millis, status] = ["takes", "status"].map(|name| request.headers()[name].to_str().unwrap().to_owned());
        clock.advance(MS * millis.parse().unwrap());
        ready(Ok::<_, Infallible>(Response::builder().status(status.as_str()).body(()).unwrap()))
    }));
    for (takes, status, traced) in [("1", "500", true), ("900", "200", true), ("900", "503", false), ("1", "404", true)]
    {
        let mut request = request(Some("/"));
        request.headers_mut().insert("takes", takes.parse().unwrap());
        request.headers_mut().insert("status", status.parse().unwrap());
        if traced {
            request.extensions_mut().insert(TraceContext::new(0xabc, 7, true).unwrap());
        }
        service.clone().oneshot(request).await.unwrap();
    }
    let told = |calls: Vec<SlowCall>| -> Vec<_> {
        calls.into_iter().map(|call| (serde_json::to_value(call.outcome).unwrap(), call.trace_id)).collect()
    };
    let trace = Some("00000000000000000000000000000abc".to_owned());
    assert_eq!(told(registry.slow_calls(10)), [(503.into(), None), (200.into(), trace.clone())]);
    assert_eq!(told(registry.failed_calls(10)), [(503.into(), None), (500.into(), trace)]);
    let json = serde_json::to_value(registry.failed_calls(10)).unwrap();
    assert_eq!(json[1]["trace_id"], "00000000000000000000000000000abc");
    assert!(json[0].get("trace_id").is_some_and(serde_json::Value::is_null));
}

#[test]
fn many_that_are_hardly_slow_do_not_push_out_the_slowest() {
    let clock = Arc::new(ManualClock::new());
    let registry = Registry::builder().clock(Arc::clone(&clock)).slow_entries(5).build();
    let endpoint = registry.endpoint("GET", "/");
    let finish = |elapsed| {
        clock.advance(Duration::from_secs(1));
        registry.finished(&endpoint, CallOutcome::Status(200), elapsed, None);
    };
    finish(Duration::from_secs(30));
    (0..100).for_each(|n| finish(501 * MS + MS * (n % 7)));
    let listed: Vec<_> = registry.slow_calls(10).iter().map(|call| call.elapsed).collect();
    assert_eq!(listed.len(), 5);
    assert_eq!(listed[4], Duration::from_secs(30));
    // An hour later it has had its time.
    clock.advance(Duration::from_secs(3600));
    finish(502 * MS);
    assert!(registry.slow_calls(10).iter().all(|call| call.elapsed < Duration::from_secs(1)));
}

#[test]
fn requests_under_way_are_counted_with_the_oldest() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    assert_eq!(registry.in_flight(), []);
    let first = service.call(request(Some("/b")));
    clock.advance(Duration::from_secs(4));
    let second = service.call(request(Some("/b")));
    let third = service.call(request(Some("/a")));
    clock.advance(Duration::from_secs(2));
    let seen: Vec<_> =
        registry.in_flight().into_iter().map(|all| (all.route, all.count, all.oldest.as_secs())).collect();
    assert_eq!(seen, [("/a".to_owned(), 1, 2), ("/b".to_owned(), 2, 6)]);
    assert_eq!(registry.in_flight_over(Duration::from_secs(2)), 1, "to be as old as the limit is not over it");
    assert_eq!(registry.in_flight_over(Duration::from_secs(1)), 3);
    // They end elsewhere.
    std::thread::spawn(move || drop((first, third))).join().unwrap();
    assert_eq!(registry.in_flight_over(Duration::ZERO), 1);
    drop(second);
    assert_eq!(registry.in_flight(), []);
}

#[test]
fn notes_of_requests_under_way_are_part_of_the_memory() {
    let (_, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    drop(service.call(request(Some("/a"))));
    let before = registry.overhead().bytes;
    let burst: Vec<_> = (0..10_000).map(|_| service.call(request(Some("/a")))).collect();
    let during = registry.overhead().bytes;
    assert!(during >= before + 10_000 * size_of::<Duration>(), "{before} {during}");
    drop(burst);
    assert!(registry.overhead().bytes >= during, "the room is kept for the next burst");
}

/// Nothing has ended, and yet it shows.
#[test]
fn handlers_that_hang_are_seen_in_the_readings() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    let hanging: Vec<_> = (0..30).map(|_| service.call(request(Some("/hang")))).collect();
    let told = || {
        registry.tick(registry.now());
        let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
        serde_json::to_string(&report).unwrap()
    };
    clock.advance(Duration::from_secs(5));
    assert!(!told().contains("still under way"));
    clock.advance(MS);
    assert!(told().contains("30 of them still under way"), "{}", told());
    drop(hanging);
}

#[tokio::test]
async fn what_measuring_costs_is_measured() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(Duration::from_nanos(1));
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let idle = registry.overhead().bytes;
    for _ in 0..2_000 {
        service.clone().oneshot(request(Some("/"))).await.unwrap();
    }
    registry.tick(registry.now());
    let overhead = registry.overhead();
    assert_eq!(overhead.tick.count(), 1);
    assert_eq!(overhead.record.count(), 0, "each took a nanosecond, on which the lot doesn't fall");
    assert!((8_000..64_000).contains(&(overhead.bytes - idle)), "{} bytes", overhead.bytes - idle);
    registry.finished(&registry.endpoint("GET", "/"), CallOutcome::Status(200), Duration::from_nanos(2048), None);
    assert_eq!(registry.overhead().record.count(), 1);
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
