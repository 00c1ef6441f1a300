//! Slow and failed calls are listed.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tidegate_perfmon::{CallOutcome, Event, ManualClock, Observer, PerfLayer, Registry, SlowCall, TraceContext};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{MS, manual, request, route};

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
async fn slow_calls_are_listed_newest_first_and_announced() {
    let clock = ManualClock::new();
    let heard = Arc::new(Heard::default());
    let observer: Arc<dyn Observer> = Arc::clone(&heard) as _;
    let registry = Registry::builder().clock(clock.clone()).observer(observer).slow_entries(2).build();
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
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(clock.clone()).slow_entries(5).build();
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
fn a_long_request_id_is_cut_between_characters() {
    let (_, registry) = manual();
    let endpoint = registry.endpoint("GET", "/");
    let id = format!("a{}", "é".repeat(200));
    registry.finished(&endpoint, CallOutcome::Aborted, Duration::MAX, Some(&id));
    let call = registry.slow_calls(1).remove(0);
    assert_eq!(call.request_id.unwrap().len(), 127);
    assert_eq!(serde_json::to_value(call.outcome).unwrap(), "aborted");
}
