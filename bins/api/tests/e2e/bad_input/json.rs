//! JSON bodies that are broken, wrong, or hold what no field may hold.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Target, as_json, problem_of_any_kind, refused, send};
use crate::harness::schedule;

#[tokio::test]
async fn malformed_json() {
    let target = Target::start().await;
    let deep = "[".repeat(100_000);
    let deep_object = "{\"title\":".repeat(10_000);
    let malformed: [&[u8]; 12] = [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{\"title\":}",
        b"{\"title\":\"a\"} and more",
        b"{'title':'a'}",
        b"{\"title\":\"\xff\xfe\"}",
        b"{\"title\":\"\\ud800\"}",
        b"\x00",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for body in malformed {
        for request in target.json_routes() {
            let answer = send(as_json(request, body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            assert_eq!(answer.status(), 400, "{shown} at {}", answer.url());
            let body: Value = problem_of_any_kind(answer).await;
            let kind = body["type"].as_str().unwrap();
            // Where no field may hold the value, reading ends before the fault of the syntax.
            assert!(kind.ends_with(":malformed-json") || kind.ends_with(":unexpected-json"), "{shown}: {body}");
        }
    }
    refused(as_json(target.post("/api/schedules"), "{\"title\":"), 400, "malformed-json").await;
    refused(as_json(target.post("/api/schedules"), ""), 400, "malformed-json").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn unknown_fields_and_wrong_types() {
    let target = Target::start().await;
    let mut surplus = schedule("surplus");
    surplus["colour"] = json!("red");
    let body = refused(target.post("/api/schedules").json(&surplus), 400, "unexpected-json").await;
    assert!(body["detail"].as_str().unwrap().contains("colour"), "{body}");

    let wrong = [
        ("/api/schedules", json!({"title": 7, "starts_at": "2030-01-07T09:00:00Z", "ends_at": "2030-01-07T09:15:00Z"})),
        ("/api/schedules", json!({"title": "no times"})),
        ("/api/schedules", json!({"title": "a", "starts_at": null, "ends_at": null})),
        ("/api/schedules", json!(["positional", "2030-01-07T09:00:00Z", "2030-01-07T09:15:00Z", null, []])),
        ("/api/schedules", json!("text")),
        ("/api/schedules", json!(null)),
        ("/api/tenants", json!({"id": "new", "name": "New", "admin": true})),
        ("/api/tenants", json!({"id": ["new"], "name": "New"})),
        ("/api/tenants", json!({"id": "new"})),
        ("/api/tenants", json!(["new", "New"])),
        ("/api/tenants", json!({"id": "new", "name": "New", "limits": {"per_second": 1}})),
        ("/api/tenants", json!({"id": "new", "name": "New", "limits": [1, 2, 3, 4]})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "limits": [1, 2, 3, 4]})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "limits": null})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "limits": {"per_second": 1}})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "teir": "free"})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "tier": 1})),
        ("/api/rate-limit", json!({"tier": "free"})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "tenantId": "bolt"})),
    ];
    for (path, body) in wrong {
        refused(target.post(path).json(&body), 400, "unexpected-json").await;
    }
    let twice = "{\"id\":\"one\",\"id\":\"two\",\"name\":\"Twice\"}";
    refused(as_json(target.post("/api/tenants"), twice), 400, "unexpected-json").await;
    for id in ["new", "one", "two"] {
        refused(target.get(&format!("/api/tenants/{id}")), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_purge_that_selects_nothing_or_too_much() {
    let target = Target::start().await;
    let selections = [
        json!({}),
        json!({"all": false}),
        json!({"all": true, "pattern": "*"}),
        json!({"keys": ["a"], "tags": ["b"]}),
        json!({"keys": [":"]}),
        json!({"type": "schedule", "all": true, "tags": ["a"]}),
        json!({"type": "all", "all": false}),
        json!({"type": "schedule", "all": true}),
    ];
    let purge = |selection: &Value| target.request(Method::DELETE, "/api/cache").json(selection);
    for selection in selections {
        refused(purge(&selection), 422, "bad-selection").await;
    }
    // What was to be a pattern must not end as a purge of everything.
    for field in ["pattern", "keys", "tags", "all"] {
        refused(purge(&json!({"type": "all", field: null})), 400, "unexpected-json").await;
    }
    let narrowed = target.request(Method::DELETE, "/api/cache?pattern=schedule:*").json(&json!({"all": true}));
    let body = refused(narrowed, 400, "bad-query").await;
    assert!(body["detail"].as_str().unwrap().contains("the body says what is dropped"), "{body}");
    for narrowed in [json!({"keys": ["schedule:acme"]}), json!({"tags": ["schedules-of:acme"]})] {
        let mut selection = narrowed;
        selection["type"] = json!("schedule");
        let body = refused(purge(&selection), 422, "bad-selection").await;
        assert!(body["detail"].as_str().unwrap().contains("`type` narrows a `pattern` only"), "{body}");
    }
    for unknown in ["schedules", "", "Schedule", "l1", &"x".repeat(10_000)] {
        for selection in [json!({"type": unknown}), json!({"type": unknown, "pattern": "*"})] {
            let body = refused(purge(&selection), 422, "bad-selection").await;
            let detail = body["detail"].as_str().unwrap();
            for known in ["schedule", "session", "computation", "api", "preferences", "tenant"] {
                assert!(detail.contains(known), "{known}: {detail}");
            }
        }
    }
    for known in ["schedule", "session", "computation", "api", "preferences", "tenant"] {
        let answer = send(purge(&json!({"type": known}))).await;
        assert_eq!(answer.status(), 200, "{known}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn control_characters_in_json() {
    let target = Target::start().await;
    for character in ['\0', '\u{1b}', '\n', '\u{7f}', '\u{85}', '\u{2028}'] {
        let mut body = schedule(&format!("before{character}after"));
        body["attendees"] = json!([format!("ada{character}@example.org")]);
        let body = refused(target.post("/api/schedules").json(&body), 422, "invalid-fields").await;
        assert!(body["fields"]["title"].is_string() && body["fields"]["attendees[0]"].is_string(), "{body}");

        let id = json!({"id": format!("new{character}"), "name": "New"});
        refused(target.post("/api/tenants").json(&id), 422, "bad-tenant-id").await;
        let plan = json!({"tenant_id": format!("acme{character}"), "tier": "free"});
        refused(target.post("/api/rate-limit").json(&plan), 404, "not-found").await;
    }
    for name in ["\0", "a\0b", "a\u{1b}[31mb", "line\nbreak", "", "   ", &"x".repeat(201)] {
        refused(target.post("/api/tenants").json(&json!({"id": "new", "name": name})), 422, "bad-name").await;
    }
    refused(target.get("/api/tenants/new"), 404, "not-found").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn bad_tiers_and_limits_of_tenants() {
    let target = Target::start().await;
    let create = |tier: &str, limits: Value| {
        target.post("/api/tenants").json(&json!({"id": "new", "name": "New", "tier": tier, "limits": limits}))
    };
    let change = |limits: Value| target.post("/api/rate-limit").json(&json!({"tenant_id": "acme", "limits": limits}));
    for tier in ["", "gold", "FREE", "free ", "\0"] {
        let body = refused(create(tier, json!({})), 422, "bad-tier").await;
        assert!(body["detail"].as_str().unwrap().contains("tier"), "{body}");
        let plan = json!({"tenant_id": "acme", "tier": tier});
        refused(target.post("/api/rate-limit").json(&plan), 422, "bad-tier").await;
    }
    for field in ["per_minute", "per_hour", "per_day", "max_users"] {
        refused(create("free", json!({field: 0})), 422, "bad-limits").await;
        refused(change(json!({field: 0})), 422, "bad-limits").await;
        for wrong in [json!(-1), json!(1.5), json!("60"), json!(1e300), json!(true)] {
            refused(create("free", json!({field: wrong})), 400, "unexpected-json").await;
            refused(change(json!({field: wrong})), 400, "unexpected-json").await;
        }
    }
    for field in ["per_minute", "per_hour", "per_day"] {
        for too_much in [1_u64 << 53, u64::MAX] {
            refused(create("free", json!({field: too_much})), 422, "bad-limits").await;
            refused(change(json!({field: too_much})), 422, "bad-limits").await;
        }
    }
    refused(change(json!({"max_users": 1_u64 << 32})), 400, "unexpected-json").await;
    refused(target.get("/api/tenants/new"), 404, "not-found").await;
    let plan = target.api.json("/api/rate-limit/tenants/acme").await;
    assert_eq!(
        plan["effective_limits"],
        json!({"per_minute": 1_000, "per_hour": 50_000, "per_day": 500_000, "max_users": null})
    );
    target.is_unharmed().await;
}
