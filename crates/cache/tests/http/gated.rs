//! A service behind the layer that answers once its gate is opened.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tidegate_cache::{CacheLayer, CachedBody, HttpCache, ManualClock, TieredCache};
use tidegate_testkit::poll_until;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::ground::{Answer, Asked};

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

type Origin = BoxCloneSyncService<Asked, Answer, Infallible>;

/// A service that answers no request before its gate is opened.
pub(crate) struct Gated {
    pub(crate) cache: TieredCache,
    pub(crate) clock: ManualClock,
    pub(crate) service: HttpCache<Origin>,
    pub(crate) gate: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
}

impl Gated {
    pub(crate) fn new(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build();
        Self::over(cache, clock, handler)
    }

    pub(crate) fn over(
        cache: TieredCache,
        clock: ManualClock,
        handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (gate, calls, handler) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(handler));
        let (held, counted) = (Arc::clone(&gate), Arc::clone(&calls));
        let origin = service_fn(move |request: Asked| {
            let (held, counted, handler) = (Arc::clone(&held), Arc::clone(&counted), Arc::clone(&handler));
            async move {
                let call = counted.fetch_add(1, Ordering::SeqCst);
                held.acquire().await.unwrap().forget();
                Ok(handler(&request, call))
            }
        });
        let service = CacheLayer::new(&cache).layer(BoxCloneSyncService::new(origin));
        Self { cache, clock, service, gate, calls }
    }

    pub(crate) fn ask(&self, who: &'static str) -> impl Future<Output = (u16, String, String)> + Send + use<> {
        self.ask_with("x-who", who)
    }

    pub(crate) fn ask_with(
        &self,
        name: &'static str,
        value: &'static str,
    ) -> impl Future<Output = (u16, String, String)> + Send + use<> {
        let mut service = self.service.clone();
        async move {
            let request = Request::get("http://example.com/thing").header(name, value).body(Full::default()).unwrap();
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            told(response).await
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Until this many requests came. With a shut gate, only requests that do not wait come.
    pub(crate) async fn asked(&self, times: usize) {
        poll_until(SOON, async || (self.calls() >= times).then_some(())).await.unwrap();
    }

    /// Until this many callers have arrived, as far as the cache counts them.
    pub(crate) async fn waiting(&self, callers: u64) {
        loop {
            let class = self.cache.stats().classes.remove(0);
            if class.collapsed + 1 >= callers && self.calls() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn told(response: Response<CachedBody<Full<Bytes>>>) -> (u16, String, String) {
    let status = response.status().as_u16();
    let did = response.headers()["cache-status"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap(), did)
}
