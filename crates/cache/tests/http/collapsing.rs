//! Requests that come together.

use http::{Method, Request};
use http_body_util::Full;
use tidegate_cache::Tag;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use crate::gated::Gated;
use crate::ground::{answer, with_status};

#[tokio::test]
async fn rfc9111_4_concurrent_requests_are_collapsed() {
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
async fn a_load_continues_when_its_client_leaves() {
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
async fn a_response_overtaken_by_a_change_is_not_stored() {
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
async fn a_failing_origin_is_not_called_by_every_waiting_client() {
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
async fn refused_clients_each_get_their_own_answer_of_the_origin() {
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

#[tokio::test]
async fn a_failure_is_given_to_one_client_only() {
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
