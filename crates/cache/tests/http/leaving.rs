//! Changes whose client leaves: kept responses are dropped exactly when the origin has made them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate_cache::{CacheLayer, CachedBody, TieredCache};
use tidegate_testkit::poll_until;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

/// No test waits longer for anything.
const SOON: Duration = Duration::from_secs(20);

type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<CachedBody<Full<Bytes>>>, &'static str>;

/// A service whose changes wait at a gate, and are then answered so; or fail, without a status.
struct Ground {
    gate: Arc<Semaphore>,
    came: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
    service: Service,
}

impl Ground {
    fn new(status: Option<u16>) -> Self {
        let (gate, came, calls) =
            (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (held, arrived, counted) = (Arc::clone(&gate), Arc::clone(&came), Arc::clone(&calls));
        let origin = service_fn(move |request: Request<Full<Bytes>>| {
            let (held, arrived, counted) = (Arc::clone(&held), Arc::clone(&arrived), Arc::clone(&counted));
            async move {
                if request.method() == Method::GET {
                    let call = counted.fetch_add(1, Ordering::SeqCst);
                    let response = Response::builder().header("cache-control", "max-age=60");
                    return Ok(response.body(Full::from(call.to_string())).unwrap());
                }
                arrived.add_permits(1);
                held.acquire().await.unwrap().forget();
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::from_u16(status.ok_or("no answer")?).unwrap();
                Ok(response)
            }
        });
        let layer = CacheLayer::new(&TieredCache::builder().build());
        Self { gate, came, calls, service: BoxCloneSyncService::new(layer.layer(origin)) }
    }

    async fn read(&self) -> String {
        let request = Request::get("http://example.com/thing").body(Full::default()).unwrap();
        let body = self.service.clone().oneshot(request).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    /// Begins a change, and leaves when the origin has received it.
    async fn change_and_leave(&self) {
        let request = Request::post("http://example.com/thing").body(Full::default()).unwrap();
        let change = tokio::spawn(self.service.clone().oneshot(request));
        self.came.acquire().await.unwrap().forget();
        change.abort();
        assert!(change.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn rfc9111_4_4_a_change_continues_when_its_client_leaves_and_drops_stored_responses() {
    let ground = Ground::new(Some(204));
    assert_eq!(ground.read().await, "0");
    ground.change_and_leave().await;
    // It is not known yet whether it is allowed.
    assert_eq!(ground.read().await, "0");
    ground.gate.add_permits(1);
    poll_until(SOON, async || (ground.read().await == "1").then_some(())).await.unwrap();
}

#[tokio::test]
async fn rfc9111_4_4_a_refused_change_drops_nothing_even_if_its_client_left() {
    for status in [401, 403, 500].map(Some) {
        let ground = Ground::new(status);
        assert_eq!(ground.read().await, "0");
        ground.change_and_leave().await;
        assert_eq!(ground.read().await, "0", "{status:?}");
        ground.gate.add_permits(1);
        // The origin is done once the request passed the gate. The work after an answer needs a few
        // turns.
        poll_until(SOON, async || (ground.gate.available_permits() == 0).then_some(())).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((ground.read().await.as_str(), ground.calls.load(Ordering::SeqCst)), ("0", 1), "{status:?}");
    }
}

#[tokio::test]
async fn a_change_without_an_answer_drops_stored_responses() {
    let ground = Ground::new(None);
    assert_eq!(ground.read().await, "0");
    ground.change_and_leave().await;
    assert_eq!(ground.read().await, "0");
    ground.gate.add_permits(1);
    // It may have been made.
    poll_until(SOON, async || (ground.read().await == "1").then_some(())).await.unwrap();
}
