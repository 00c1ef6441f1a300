//! Limits: read and changed without JavaScript.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Visit, act, act_when_asked, page};
use crate::harness::{Api, success_json};

const LIMITS: &str = "/dashboard/limits";
const HOSTILE: &str = "<script>alert(1)</script>";

async fn post(api: &Api, path: &str, body: &Value) -> Value {
    success_json(api.request(Method::POST, path).json(body)).await
}

/// Uses up what a key has: the second is refused, and blocked.
async fn refuse(api: &Api, key: &str) {
    for _ in 0..2 {
        post(api, "/api/rate-limit/check", &json!({"limiter": "report", "key": key})).await;
    }
}

async fn limiter(api: &Api, name: &str) -> Value {
    let told = api.json("/api/rate-limit").await;
    let limiters = told["limiters"].as_array().expect("limiters");
    limiters.iter().find(|limiter| limiter["name"] == name).expect("the limiter").clone()
}

#[tokio::test]
async fn limits_read_without_javascript_and_a_key_is_let_in_again() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_REPORT", "1/hour")]).await;
    refuse(&api, "tenant:acme").await;
    refuse(&api, HOSTILE).await;
    refuse(&api, &"k".repeat(512)).await;
    let mut visit = Visit::new(&api);
    let shown = page(&mut visit, LIMITS).await;
    for part in [
        "<h1>Limits</h1>",
        ">ddos<",
        ">sliding_log<",
        "1/hour",
        "by tier",
        "tenant:acme",
        "&lt;script&gt;",
        "4 min 5",
        ">Unblock",
        "Tenants and tiers",
        "No tenants yet",
        "enterprise",
        "Simulate 20 requests",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("<script>alert"), "{shown}");

    let of = [("limiter", "report"), ("key", "tenant:acme")];
    let shown = act(&mut visit, LIMITS, "/dashboard/limits/unblock", &of).await;
    assert!(shown.contains("Key unblocked") && shown.contains("0 of 1"), "{shown}");
    let shown = act(&mut visit, LIMITS, "/dashboard/limits/unblock", &of).await;
    assert!(shown.contains("was not blocked"), "{shown}");
    let shown = act_when_asked(&mut visit, LIMITS, "/dashboard/limits/forget", &of).await;
    assert!(shown.contains("of the key are reset") && shown.contains("1 of 1"), "{shown}");
    let shown =
        act_when_asked(&mut visit, LIMITS, "/dashboard/limits/block", &[of[0], of[1], ("seconds", "7500")]).await;
    assert!(shown.contains("Key blocked on every node") && shown.contains("2 h 4 min"), "{shown}");
    let answer =
        post(&api, "/api/rate-limit/check", &json!({"limiter": "report", "key": "tenant:acme", "peek": true})).await;
    assert_eq!(answer["allowed"], false);

    // A key that is looked up is counted as its requests are.
    let shown = page(&mut visit, "/dashboard/limits?limiter=ddos&key=2001:db8::7").await;
    assert!(shown.contains("<code>2001:db8::/64</code>"), "{shown}");
    for (query, status) in
        [("limiter=ddos&key=mallory", 422), ("limiter=odd&key=x", 404), ("tenant=nobody", 404), ("colour=red", 400)]
    {
        assert_eq!(visit.get(&format!("{LIMITS}?{query}")).await.status(), status, "{query}");
    }
    let form = visit.form(LIMITS).await;
    let fields = [of[0], of[1], ("seconds", "0"), ("sure", "yes"), ("form", form.as_str())];
    assert_eq!(visit.post("/dashboard/limits/block", &fields, &[]).await.status(), 422);
}

#[tokio::test]
async fn a_quota_and_a_plan_are_changed() {
    let api = Api::start().await;
    api.create_tenant("acme", "free").await;
    let mut visit = Visit::new(&api);
    let shown =
        act_when_asked(&mut visit, LIMITS, "/dashboard/limits/quota", &[("limiter", "report"), ("quota", "7/minute")])
            .await;
    assert!(shown.contains("7/minute") && shown.contains(">changed<"), "{shown}");
    assert_eq!(limiter(&api, "report").await["quota"], "7/minute");
    let shown =
        act_when_asked(&mut visit, LIMITS, "/dashboard/limits/quota", &[("limiter", "report"), ("quota", "")]).await;
    assert!(!shown.contains(">changed<"), "{shown}");
    let form = visit.form(LIMITS).await;
    for quota in ["often", "0/minute"] {
        let fields = [("limiter", "report"), ("quota", quota), ("form", form.as_str())];
        assert_eq!(visit.post("/dashboard/limits/quota", &fields, &[]).await.status(), 422, "{quota}");
    }
    assert_eq!(limiter(&api, "report").await["quota"], limiter(&api, "report").await["settings_quota"]);

    let plan = [
        ("tenant", "acme"),
        ("tier", "premium"),
        ("per_minute", "5"),
        ("per_hour", ""),
        ("per_day", ""),
        ("max_users", ""),
    ];
    let shown = act_when_asked(&mut visit, LIMITS, "/dashboard/limits/plan", &plan).await;
    assert!(shown.contains("plan is changed") && shown.contains("0 of 5<") && shown.contains("0 of 10000<"), "{shown}");
    assert!(shown.contains("?tenant=acme\"><code>acme</code>"), "tenants are listed, and lead to one: {shown}");
    let usage = api.json("/api/rate-limit/tenants/acme").await;
    assert_eq!((&usage["tier"], &usage["windows"][0]["limit"]), (&json!("premium"), &json!(5)));
    // What is nothing now is the tier's again.
    let plan = [
        ("tenant", "acme"),
        ("tier", "basic"),
        ("per_minute", ""),
        ("per_hour", ""),
        ("per_day", ""),
        ("max_users", ""),
    ];
    act_when_asked(&mut visit, LIMITS, "/dashboard/limits/plan", &plan).await;
    assert_eq!(api.json("/api/rate-limit/tenants/acme").await["windows"][0]["limit"], 120);
    for wrong in [("per_minute", "0"), ("per_minute", "many"), ("tier", "golden")] {
        let form = visit.form(LIMITS).await;
        let fields = plan.map(|field| if field.0 == wrong.0 { wrong } else { field });
        let fields: Vec<_> = fields.into_iter().chain([("form", form.as_str())]).collect();
        assert_eq!(visit.post("/dashboard/limits/plan", &fields, &[]).await.status(), 422, "{wrong:?}");
    }
}

#[tokio::test]
async fn twenty_requests_are_simulated_and_no_client_is_charged() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_AUTH", "5/minute"), ("TIDEGATE_LIMIT_DDOS", "1000000/second")]).await;
    let before = limiter(&api, "auth").await["stats"].clone();
    let mut visit = Visit::new(&api);
    for (query, allowed) in [
        ("simulate=auth", "5 of 20 allowed"),
        ("simulate=auth&apart=12000", "20 of 20 allowed"),
        ("simulate=auth&cost=2", "2 of 20 allowed"),
        ("simulate=auth&cost=6", "0 of 20 allowed"),
        ("simulate=api", "20 of 20 allowed"),
        // The sketch limiter counts a key exactly from a quarter of the limit on.
        ("simulate=ddos&cost=100000", "12 of 20 allowed"),
        ("simulate=free&cost=10", "6 of 20 allowed"),
        ("simulate=enterprise", "20 of 20 allowed"),
    ] {
        let shown = page(&mut visit, &format!("{LIMITS}?{query}")).await;
        assert!(shown.contains(allowed), "{query}: {shown}");
    }
    let shown = page(&mut visit, &format!("{LIMITS}?simulate=auth&cost=6")).await;
    assert!(shown.contains("costs more than the limit"), "{shown}");
    for wrong in ["simulate=odd", "simulate=auth&cost=0", "simulate=auth&apart=3600001", "simulate=auth&cost=-1"] {
        let status = visit.get(&format!("{LIMITS}?{wrong}")).await.status().as_u16();
        assert!([400, 404, 422].contains(&status), "{wrong}: {status}");
    }
    assert_eq!(limiter(&api, "auth").await["stats"], before);
}
