//! The cache: read and changed without JavaScript.

use tidegate_testkit::poll_until;

use super::{Visit, act, act_when_asked, page};
use crate::harness::{Api, DEADLINE};

const CACHE: &str = "/dashboard/cache";

/// Keys in memory of that pattern.
async fn held(api: &Api, pattern: &str) -> usize {
    api.json(&format!("/api/cache/keys?pattern={pattern}")).await["items"].as_array().expect("items").len()
}

async fn start() -> Api {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    for _ in 0..30 {
        assert_eq!(api.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
    }
    api
}

#[tokio::test]
async fn the_cache_reads_without_javascript_and_is_warmed() {
    let api = start().await;
    let mut visit = Visit::new(&api);
    let shown = page(&mut visit, CACHE).await;
    for part in
        ["<h1>Cache</h1>", ">l1<", ">up<", "Hit rate", ">schedule<", ">tenant<", "2 h<", "Warm-up", "Clear everything"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    act_when_asked(&mut visit, CACHE, "/dashboard/cache/clear", &[]).await;
    assert_eq!(held(&api, "*").await, 0);
    let shown = act(&mut visit, CACHE, "/dashboard/cache/warm-up", &[("class", "all"), ("limit", "100")]).await;
    assert!(shown.contains("Warm-up started"), "{shown}");
    let warm = poll_until(DEADLINE, async || page(&mut visit, CACHE).await.contains(">done</span>").then_some(()));
    assert!(warm.await.is_ok(), "it is never done");
    let form = visit.form(CACHE).await;
    for fields in [[("class", "odd"), ("limit", "1")], [("class", "all"), ("limit", "0")]] {
        let fields: Vec<_> = fields.into_iter().chain([("form", form.as_str())]).collect();
        assert_eq!(visit.post("/dashboard/cache/warm-up", &fields, &[]).await.status(), 422);
    }
}

#[tokio::test]
async fn what_is_dropped_is_shown_before_it_goes() {
    let api = start().await;
    let mut visit = Visit::new(&api);
    assert!(held(&api, "tenant:*").await > 0 && held(&api, "schedule*").await > 0);
    let invalidate = "/dashboard/cache/invalidate";
    let form = visit.form(CACHE).await;
    let fields = [("pattern", "tenant:*"), ("form", form.as_str())];
    let question = visit.post(invalidate, &fields, &[]).await.text().await.unwrap();
    assert!(question.contains("1 of the keys in the memory") && question.contains("tenant:acme"), "{question}");
    assert_eq!(held(&api, "tenant:*").await, 1, "asking drops nothing");
    let shown = act_when_asked(&mut visit, CACHE, invalidate, &[("pattern", "tenant:*")]).await;
    assert!(shown.contains("Invalidated on every node"), "{shown}");
    assert_eq!(held(&api, "tenant:*").await, 0);
    assert!(held(&api, "schedule*").await > 0, "and nothing else");
    act_when_asked(&mut visit, CACHE, "/dashboard/cache/class", &[("class", "schedule")]).await;
    assert_eq!(held(&api, "schedule*").await, 0);

    for (path, field) in [
        (invalidate, ("pattern", "")),
        ("/dashboard/cache/class", ("class", "odd")),
        ("/dashboard/cache/class", ("class", "all")),
    ] {
        let fields = [field, ("sure", "yes"), ("form", form.as_str())];
        assert_eq!(visit.post(path, &fields, &[]).await.status(), 422, "{path} {field:?}");
    }
}
