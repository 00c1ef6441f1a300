//! Requests that come together.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tidegate_cache::{CacheLayer, CachedBody, HttpCache, ManualClock, Tag, TieredCache};
use tidegate_testkit::poll_until;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::ground::{Answer, Asked, answer, with_status};

/// No test waits longer for anything.
const SOON: Duration = Duration::from_secs(20);

type Origin = BoxCloneSyncService<Asked, Answer, Infallible>;

/// A service that answers no request before its gate is opened.
struct Gated {
    cache: TieredCache,
    clock: ManualClock,
    service: HttpCache<Origin>,
    gate: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
}

impl Gated {
    fn new(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build();
        Self::over(cache, clock, handler)
    }

    fn over(
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

    fn ask(&self, who: &'static str) -> impl Future<Output = (u16, String, String)> + Send + use<> {
        self.ask_with("x-who", who)
    }

    fn ask_with(
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

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Until this many requests came. With a shut gate, only requests that do not wait come.
    async fn asked(&self, times: usize) {
        poll_until(SOON, async || (self.calls() >= times).then_some(())).await.unwrap();
    }

    /// Until this many callers have arrived, as far as the cache counts them.
    async fn waiting(&self, callers: u64) {
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

#[tokio::test]
async fn rfc9111_4_requests_that_come_together_are_one() {
    let ground = Gated::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        callers.spawn(ground.ask("anyone"));
    }
    ground.waiting(200).await;
    ground.gate.add_permits(1);
    let answers = callers.join_all().await;
    assert!(answers.iter().all(|(_, body, _)| body == "0"));
    let collapsed = answers.iter().filter(|(.., did)| did.ends_with("collapsed")).count();
    assert_eq!((ground.calls(), collapsed), (1, 199));
}

#[tokio::test]
async fn rfc9111_4_what_turns_out_private_is_given_to_nobody_else() {
    for private in ["private, max-age=60", "no-store", "max-age=0", "private=\"x-secret\", max-age=60"] {
        let ground = Gated::new(move |request, _| {
            answer(request.headers()["x-who"].to_str().unwrap(), &[("cache-control", private)])
        });
        let names = ["ann", "bob", "cy", "dee", "eve"];
        let mut callers = JoinSet::new();
        for name in names {
            let asked = ground.ask(name);
            callers.spawn(async move { (name, asked.await) });
        }
        ground.waiting(5).await;
        ground.gate.add_permits(5);
        for (name, (_, body, _)) in callers.join_all().await {
            assert_eq!(name, body, "{private}");
        }
        assert_eq!(ground.calls(), 5);
    }
}

#[tokio::test]
async fn a_cookie_that_is_set_reaches_its_owner_alone() {
    let ground = Gated::new(|request, _| {
        let who = request.headers()["x-who"].to_str().unwrap().to_owned();
        answer(&who, &[("cache-control", "public, max-age=60"), ("set-cookie", &format!("session={who}"))])
    });
    let (ann, bob) = (tokio::spawn(ground.ask("ann")), tokio::spawn(ground.ask("bob")));
    ground.waiting(2).await;
    ground.gate.add_permits(2);
    assert_eq!((ann.await.unwrap().1, bob.await.unwrap().1), ("ann".to_owned(), "bob".to_owned()));
}

#[tokio::test]
async fn who_waits_for_a_variant_that_is_anothers_asks_for_its_own_once() {
    let ground = Gated::new(|request, _| {
        let who = request.headers()["x-who"].to_str().unwrap();
        answer(who, &[("cache-control", "max-age=60"), ("vary", "x-who")])
    });
    let mut callers = JoinSet::new();
    for index in 0..60 {
        let name = ["ann", "bob", "cy"][index % 3];
        let asked = ground.ask(name);
        callers.spawn(async move { (name, asked.await) });
    }
    ground.waiting(60).await;
    ground.gate.add_permits(3);
    for (name, (_, body, _)) in callers.join_all().await {
        assert_eq!(name, body);
    }
    assert_eq!(ground.calls(), 3);
}

#[tokio::test]
async fn a_failure_is_its_askers_alone() {
    let ground = Gated::new(|_, call| match call {
        0 => with_status(503, &[]),
        _ => answer(call, &[("cache-control", "no-store")]),
    });
    let (first, second) = (tokio::spawn(ground.ask("ann")), tokio::spawn(ground.ask("bob")));
    ground.waiting(2).await;
    ground.gate.add_permits(2);
    let mut statuses = [first.await.unwrap().0, second.await.unwrap().0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

#[tokio::test]
async fn a_load_goes_on_when_its_client_leaves() {
    let ground = Gated::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    let leaving = tokio::spawn(ground.ask("ann"));
    ground.waiting(1).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    ground.gate.add_permits(1);
    assert_eq!(ground.ask("bob").await.1, "0");
    assert_eq!(ground.calls(), 1);
}

#[tokio::test]
async fn a_response_that_a_change_overtook_is_not_kept() {
    let ground = Gated::new(|request, call| match *request.method() {
        Method::GET => answer(call, &[("cache-control", "max-age=60"), ("cache-tag", "list")]),
        _ => with_status(204, &[]),
    });
    let reading = tokio::spawn(ground.ask("ann"));
    ground.waiting(1).await;
    ground.cache.invalidate_tag(&Tag::new("list")).await.unwrap();
    ground.gate.add_permits(2);
    assert_eq!(reading.await.unwrap().1, "0");
    assert_eq!(ground.ask("bob").await.1, "1");

    // The same by the method alone, which names no tag.
    ground.cache.clear().await.unwrap();
    let reading = tokio::spawn(ground.ask("ann"));
    while ground.calls() < 3 {
        tokio::task::yield_now().await;
    }
    let mut service = ground.service.clone();
    let change = tokio::spawn(async move {
        let request = Request::put("http://example.com/thing").body(Full::default()).unwrap();
        service.ready().await.unwrap().call(request).await.unwrap().status().as_u16()
    });
    while ground.calls() < 4 {
        tokio::task::yield_now().await;
    }
    // One permit each, in order of arrival; the change is answered after the read.
    ground.gate.add_permits(2);
    assert_eq!((reading.await.unwrap().1, change.await.unwrap()), ("2".to_owned(), 204));
    ground.gate.add_permits(1);
    assert_eq!(ground.ask("bob").await.1, "4");
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_for_one() {
    let ground = Gated::new(|_, call| {
        assert!(call > 0, "on purpose");
        answer(call, &[("cache-control", "max-age=60")])
    });
    ground.gate.add_permits(2);
    assert_eq!(ground.ask("ann").await.0, 500);
    assert_eq!(ground.ask("bob").await.1, "1");
}

#[tokio::test]
async fn an_origin_that_fails_is_not_asked_by_all_who_waited() {
    for status in [500, 503] {
        let ground = Gated::new(move |_, _| with_status(status, &[]));
        let mut callers = JoinSet::new();
        for _ in 0..200 {
            callers.spawn(ground.ask("anyone"));
        }
        ground.waiting(200).await;
        ground.gate.add_permits(200);
        let answers = callers.join_all().await;
        assert!(answers.iter().all(|(told, ..)| *told == status), "{answers:?}");
        // Requests that came after an answer query again, together with all that came with them.
        assert!(ground.calls() <= 10, "{}", ground.calls());
    }
}

#[tokio::test]
async fn a_target_that_is_known_to_be_private_holds_nobody_up() {
    let ground = Gated::new(|request, _| {
        answer(request.headers()["x-who"].to_str().unwrap(), &[("cache-control", "private, max-age=60")])
    });
    ground.gate.add_permits(1);
    assert_eq!(ground.ask("ann").await.1, "ann");
    for times in 0..3 {
        // Much longer than a moment, while requests for it continue.
        ground.clock.advance(Duration::from_secs(40));
        let slow = tokio::spawn(ground.ask("mallory"));
        ground.asked(2 + times * 2).await;
        let other = tokio::spawn(ground.ask("bob"));
        ground.asked(3 + times * 2).await;
        ground.gate.add_permits(2);
        assert_eq!((slow.await.unwrap().1, other.await.unwrap().1), ("mallory".to_owned(), "bob".to_owned()));
    }
}

#[tokio::test]
async fn what_may_be_shared_again_is() {
    let ground = Gated::new(|_, call| match call {
        0 => answer(call, &[("cache-control", "private")]),
        _ => answer(call, &[("cache-control", "max-age=60")]),
    });
    ground.gate.add_permits(9);
    for (body, did) in [("0", "detail=\"private\""), ("1", "fwd=uri-miss"), ("2", "stored"), ("2", "hit; ttl=60")] {
        let (_, got, told) = ground.ask("ann").await;
        assert!(got == body && told.ends_with(did), "{got} {told}");
    }
}

#[tokio::test]
async fn requests_with_an_authorization_wait_for_nobody_and_nobody_for_them() {
    let ground = Gated::new(|_, call| answer(call, &[("cache-control", "public, max-age=60")]));
    let mut callers = JoinSet::new();
    for (index, (name, value)) in
        [("authorization", "a"), ("authorization", "b"), ("x-who", "c"), ("authorization", "d")].into_iter().enumerate()
    {
        callers.spawn(ground.ask_with(name, value));
        ground.asked(index + 1).await;
    }
    ground.gate.add_permits(4);
    callers.join_all().await;
    assert!(ground.ask_with("authorization", "e").await.2.contains("hit"), "what is public is kept all the same");
}

/// RFC 9111, 3.5: authorized requests may share public and revalidated responses too.
#[tokio::test]
async fn rfc9111_3_5_requests_with_an_authorization_are_one_where_a_response_said_that_they_may_share_it() {
    let ground = Gated::new(|_, call| answer(call, &[("cache-control", "s-maxage=60")]));
    ground.gate.add_permits(1);
    assert_eq!(ground.ask_with("authorization", "first").await.1, "0");
    for calls in 2..4 {
        // The origin must be queried again.
        ground.cache.clear().await.unwrap();
        let before = ground.cache.stats().classes[0].collapsed;
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            callers.spawn(ground.ask_with("authorization", "many"));
        }
        poll_until(SOON, async || (ground.cache.stats().classes[0].collapsed >= before + 49).then_some(()))
            .await
            .unwrap();
        ground.gate.add_permits(50);
        let answers = callers.join_all().await;
        assert!(answers.iter().all(|(_, body, _)| *body == (calls - 1).to_string()), "{answers:?}");
        assert_eq!(ground.calls(), calls);
        ground.gate.forget_permits(50);
    }
}

#[tokio::test]
async fn who_has_an_authorization_and_joined_gets_no_response_that_is_anothers() {
    let ground = Gated::new(|request, call| match call {
        0 => answer(call, &[("cache-control", "public, max-age=60")]),
        _ => answer(request.headers()["authorization"].to_str().unwrap(), &[("cache-control", "max-age=60")]),
    });
    ground.gate.add_permits(1);
    ground.ask_with("authorization", "first").await;
    ground.cache.clear().await.unwrap();
    let mut callers = JoinSet::new();
    for name in ["ann", "bob", "cy"] {
        let asked = ground.ask_with("authorization", name);
        callers.spawn(async move { (name, asked.await.1) });
    }
    poll_until(SOON, async || (ground.cache.stats().classes[0].collapsed >= 2).then_some(())).await.unwrap();
    ground.gate.add_permits(9);
    for (name, body) in callers.join_all().await {
        assert_eq!(name, body);
    }
    assert_eq!(ground.calls(), 4);
}

#[tokio::test]
async fn what_is_its_askers_alone_takes_no_place() {
    let cache = TieredCache::builder().build();
    let ground = crate::ground::Ground::over(
        cache,
        ManualClock::new(),
        |layer| layer,
        |request, call| {
            answer(call, &[("cache-control", if request.uri().query().is_some() { "no-store" } else { "max-age=9" })])
        },
    );
    ground.get_at("http://example.com/").await;
    for index in 0..1_000 {
        ground.get_at(&format!("http://example.com/?x={index}")).await;
    }
    assert_eq!(ground.cache.stats().tiers[0].entries, Some(1));
    assert_eq!(ground.get_at("http://example.com/").await.body, "0");
}

/// Such an answer concerns one client, so the others are sent once more, together.
#[tokio::test]
async fn a_refusal_of_one_client_does_not_end_the_sharing() {
    for status in [400, 401, 403, 429, 431, 511] {
        let ground = Gated::new(move |_, call| match call {
            0 => with_status(status, &[]),
            _ => answer(call, &[("cache-control", "max-age=60")]),
        });
        let first = tokio::spawn(ground.ask("mallory"));
        ground.asked(1).await;
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            callers.spawn(ground.ask("anyone"));
        }
        ground.waiting(51).await;
        ground.gate.add_permits(100);
        let (told, _, did) = first.await.unwrap();
        assert_eq!((told, did.as_str()), (status, "Tidegate; fwd=uri-miss; detail=\"status\""));
        let answers = callers.join_all().await;
        assert!(answers.iter().all(|(told, body, _)| (*told, body.as_str()) == (200, "1")), "{status}: {answers:?}");
        assert_eq!(ground.calls(), 2, "{status}");
    }
}

#[tokio::test]
async fn clients_that_are_all_refused_are_each_told_by_the_origin() {
    let ground = Gated::new(|request, _| {
        let who = request.headers()["x-who"].to_str().unwrap().to_owned();
        let mut refusal = answer(who, &[("www-authenticate", "Basic")]);
        *refusal.status_mut() = http::StatusCode::UNAUTHORIZED;
        refusal
    });
    let mut callers = JoinSet::new();
    for name in ["ann", "bob", "cy", "dee"] {
        let asked = ground.ask(name);
        callers.spawn(async move { (name, asked.await) });
    }
    ground.waiting(4).await;
    ground.gate.add_permits(100);
    for (name, (status, body, _)) in callers.join_all().await {
        assert_eq!((status, body.as_str()), (401, name));
    }
}
