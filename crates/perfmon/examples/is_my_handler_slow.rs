//! How do I test that my handler shows as slow, without waiting for it?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tidegate_perfmon::{ManualClock, PerfLayer, Registry};
use tower::{Layer, ServiceExt, service_fn};

fn route(request: &Request<()>) -> Option<&str> {
    Some(request.uri().path()) // in axum the `MatchedPath`, which is a template
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Infallible> {
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(clock.clone()).slow_call(Duration::from_millis(500)).build();
    let handler = service_fn(|_: Request<()>| {
        let clock = clock.clone();
        async move {
            clock.advance(Duration::from_millis(501)); // where a real one would wait
            Ok::<_, Infallible>(Response::new(()))
        }
    });
    let service = PerfLayer::new(registry.clone(), route).layer(handler);

    let mut request = Request::new(());
    *request.uri_mut() = "/report".parse().expect("a path");
    request.headers_mut().insert("x-request-id", "the-slow-one".parse().expect("an id"));
    service.oneshot(request).await?;

    let slow = &registry.slow_calls(10)[0];
    println!("{} {} took {:?}: {:?}", slow.method, slow.route, slow.elapsed, slow.request_id);
    assert_eq!((slow.elapsed, slow.request_id.as_deref()), (Duration::from_millis(501), Some("the-slow-one")));
    Ok(())
}
