//! The reason why a response is not kept is reported in `Cache-Status` and by an event.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tidegate_cache::{CacheLayer, Event, ManualClock, Observer, TieredCache};
use tower::{Layer, ServiceExt, service_fn};

use crate::ground::{Ground, answer, start};

#[derive(Default)]
struct Listener(Mutex<Vec<&'static str>>);

impl Observer for Listener {
    fn on(&self, event: &Event<'_>) {
        if let Event::ResponseNotKept { class, reason } = event {
            assert_eq!(*class, "api");
            self.0.lock().unwrap().push(reason);
        }
    }
}

impl Listener {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn each_response_that_is_not_stored_is_reported_with_its_reason() {
    let listener = Arc::new(Listener::default());
    let clock = ManualClock::at(start());
    let cache = TieredCache::builder().clock(clock.clone()).observer(listener.clone()).build();
    let ground = Ground::over(
        cache,
        clock,
        |layer| layer.scope(|request| (request.uri.path() != "/nobody").then(String::new)),
        |request, call| match request.uri().path() {
            "/private" => answer(call, &[("cache-control", "private")]),
            "/cookie" => answer(call, &[("cache-control", "max-age=60"), ("set-cookie", "a=b")]),
            "/kept" => answer(call, &[("cache-control", "max-age=60")]),
            _ => answer(call, &[]),
        },
    );
    for (path, headers, told) in [
        ("/kept", vec![], vec![]),
        ("/kept", vec![], vec![]),
        ("/private", vec![], vec!["private"]),
        // Also after the target is known to be private.
        ("/private", vec![], vec!["private"]),
        ("/cookie", vec![], vec!["set-cookie"]),
        ("/any", vec![], vec!["no lifetime"]),
        ("/nobody", vec![], vec!["bypass"]),
        ("/kept", vec![("range", "bytes=0-")], vec!["partial"]),
        ("/kept", vec![("content-length", "1")], vec!["body"]),
    ] {
        ground.send(Method::GET, &format!("http://example.com{path}"), &headers).await;
        assert_eq!(listener.take(), told, "{path}");
    }
    ground.send(Method::POST, "http://example.com/kept", &[]).await;
    assert_eq!(listener.take(), [""; 0], "a change is no read");
}

/// An outer layer that wraps bodies, and does not report that there is none.
#[tokio::test]
async fn a_layer_that_hides_that_a_request_has_no_body_is_reported() {
    let listener = Arc::new(Listener::default());
    let cache = TieredCache::builder().observer(listener.clone()).build();
    let origin = service_fn(async |_: Request<UnsyncBoxBody<Bytes, std::convert::Infallible>>| {
        Ok::<_, std::convert::Infallible>(answer("page", &[("cache-control", "max-age=60")]))
    });
    let service = CacheLayer::new(&cache).layer(origin);
    let hidden = StreamBody::new(futures_util::stream::empty()).boxed_unsync();
    let plain = Full::default().boxed_unsync();
    for (body, did, told) in [
        (hidden, "Tidegate; fwd=bypass; detail=\"body\"", vec!["body"]),
        (plain, "Tidegate; fwd=uri-miss; ttl=60; stored", vec![]),
    ] {
        let response = service.clone().oneshot(Request::get("http://example.com/").body(body).unwrap()).await.unwrap();
        assert_eq!(response.headers()["cache-status"], did);
        assert_eq!(listener.take(), told);
    }
}
