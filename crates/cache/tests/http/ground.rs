//! A service behind the layer. Its answers are configured, and it counts its requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate_cache::{CacheLayer, CacheLayerBuilder, CachedBody, ManualClock, TieredCache};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

pub(crate) type Asked = Request<Full<Bytes>>;
pub(crate) type Answer = Response<Full<Bytes>>;

/// The moment at which every test begins.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Returns a time in the form of headers, this many seconds after the start.
pub(crate) fn date(seconds: i64) -> String {
    let by = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { start() - by } else { start() + by })
}

pub(crate) struct Ground {
    pub(crate) cache: TieredCache,
    pub(crate) clock: ManualClock,
    calls: Arc<AtomicUsize>,
    service: BoxCloneService<Asked, Response<CachedBody<Full<Bytes>>>, Infallible>,
}

/// The received response.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns what the layer reports in `Cache-Status`, without its name.
    pub(crate) fn did(&self) -> &str {
        self.header("cache-status").unwrap().strip_prefix("Tidegate; ").unwrap()
    }
}

impl Ground {
    /// A ground whose service is given each request and how many came before it.
    pub(crate) fn new(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(|layer| layer, handler)
    }

    pub(crate) fn with(
        settings: impl FnOnce(CacheLayerBuilder) -> CacheLayerBuilder,
        handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let clock = ManualClock::at(start());
        let cache = TieredCache::builder().clock(clock.clone()).build();
        Self::over(cache, clock, settings, handler)
    }

    pub(crate) fn over(
        cache: TieredCache,
        clock: ManualClock,
        settings: impl FnOnce(CacheLayerBuilder) -> CacheLayerBuilder,
        handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let layer = settings(CacheLayer::builder(&cache)).build();
        let calls = Arc::new(AtomicUsize::new(0));
        let (counted, handler) = (Arc::clone(&calls), Arc::new(handler));
        let origin = service_fn(move |request: Asked| {
            let (counted, handler) = (Arc::clone(&counted), Arc::clone(&handler));
            async move { Ok::<_, Infallible>(handler(&request, counted.fetch_add(1, Ordering::SeqCst))) }
        });
        Self { cache, clock, calls, service: BoxCloneService::new(layer.layer(origin)) }
    }

    /// Returns how often the service was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn send(&self, method: Method, uri: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn call(&self, request: Asked) -> Got {
        let (head, body) = self.service.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// A GET of one target.
    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Got {
        self.send(Method::GET, "http://example.com/thing", headers).await
    }

    pub(crate) async fn get_at(&self, uri: &str) -> Got {
        self.send(Method::GET, uri, &[]).await
    }

    /// Waits until the service received this many requests. A refresh behind an answer takes its
    /// own time.
    pub(crate) async fn asked(&self, times: usize) {
        for _ in 0..10_000 {
            if self.calls() >= times {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("asked {} times, not {times}", self.calls());
    }
}

/// Returns a response with these headers, and a body that distinguishes it from others.
pub(crate) fn answer(body: impl std::fmt::Display, headers: &[(&str, &str)]) -> Answer {
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body.to_string())).unwrap()
}

pub(crate) fn with_status(status: u16, headers: &[(&str, &str)]) -> Answer {
    let mut answer = answer(status, headers);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// A ground that always answers so, with the number of the call as its body.
pub(crate) fn always(headers: &'static [(&'static str, &'static str)]) -> Ground {
    Ground::new(move |_, call| answer(call, headers))
}
