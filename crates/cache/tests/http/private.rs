//! Requests that come together for responses that not all of them may have.

use std::time::Duration;

use tidegate_cache::{ManualClock, TieredCache};
use tokio::task::JoinSet;

use crate::gated::Gated;
use crate::ground::answer;

#[tokio::test]
async fn rfc9111_4_a_private_response_is_given_to_no_other_client() {
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
async fn a_cookie_reaches_only_its_owner() {
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
async fn waiting_clients_of_another_variant_make_one_request_for_their_own() {
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
async fn requests_for_a_private_target_do_not_wait_for_one_another() {
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
async fn a_target_that_becomes_public_is_shared_again() {
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
async fn a_private_response_takes_no_entry() {
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
