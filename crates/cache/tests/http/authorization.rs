//! Requests with an authorization that come together.

use tidegate_testkit::poll_until;
use tokio::task::JoinSet;

use crate::gated::{Gated, SOON};
use crate::ground::answer;

#[tokio::test]
async fn requests_with_an_authorization_are_not_collapsed() {
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
async fn rfc9111_3_5_authorized_requests_are_collapsed_once_a_response_has_allowed_sharing() {
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
async fn an_authorized_request_that_joined_gets_no_response_of_another_client() {
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
