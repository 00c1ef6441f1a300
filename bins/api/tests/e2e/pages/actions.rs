//! What holds for every form that changes something.

use serde_json::{Value, json};

use super::queues::{QUEUE, enqueue};
use super::{Visit, page};
use crate::harness::{Api, header, success_json};
use crate::start::{ADMIN, READ, TOKENS};

/// Each action with its fields.
const ACTIONS: [(&str, &[(&str, &str)]); 24] = [
    ("/dashboard/queues/import/pause", &[]),
    ("/dashboard/queues/import/resume", &[]),
    ("/dashboard/queues/import/drain", &[("sure", "yes")]),
    ("/dashboard/queues/import/retry-dead", &[("sure", "yes")]),
    ("/dashboard/queues/import/clean", &[("state", "cancelled"), ("hours", "0"), ("sure", "yes")]),
    ("/dashboard/queues/import/bulk", &[("act", "cancel"), ("state", "delayed"), ("id", "one"), ("sure", "yes")]),
    ("/dashboard/queues/import/jobs/one/retry", &[]),
    ("/dashboard/queues/import/jobs/one/promote", &[]),
    ("/dashboard/queues/import/jobs/one/cancel", &[("sure", "yes")]),
    ("/dashboard/cron/pause", &[("name", "nightly")]),
    ("/dashboard/cron/resume", &[("name", "nightly")]),
    ("/dashboard/cron/trigger", &[("name", "nightly")]),
    ("/dashboard/cron/delete", &[("name", "nightly"), ("sure", "yes")]),
    ("/dashboard/silence", &[("rule", "error_rate"), ("minutes", "30"), ("reason", "Ada")]),
    ("/dashboard/lift-silence", &[("rule", "error_rate")]),
    ("/dashboard/limits/block", &[("limiter", "report"), ("key", "k"), ("seconds", "60"), ("sure", "yes")]),
    ("/dashboard/limits/unblock", &[("limiter", "report"), ("key", "k")]),
    ("/dashboard/limits/forget", &[("limiter", "report"), ("key", "k"), ("sure", "yes")]),
    ("/dashboard/limits/quota", &[("limiter", "report"), ("quota", "7/minute"), ("sure", "yes")]),
    ("/dashboard/limits/plan", &PLAN),
    ("/dashboard/cache/warm-up", &[("class", "all"), ("limit", "10")]),
    ("/dashboard/cache/invalidate", &[("pattern", "*"), ("sure", "yes")]),
    ("/dashboard/cache/class", &[("class", "tenant"), ("sure", "yes")]),
    ("/dashboard/cache/clear", &[("sure", "yes")]),
];
const PLAN: [(&str, &str); 7] = [
    ("tenant", "acme"),
    ("tier", "basic"),
    ("per_minute", ""),
    ("per_hour", ""),
    ("per_day", ""),
    ("max_users", ""),
    ("sure", "yes"),
];

/// Pages that hold forms.
const PAGES: [&str; 8] = [
    "/dashboard/queues",
    "/dashboard/queues/import",
    "/dashboard/queues/import?state=delayed",
    "/dashboard/queues/import/jobs/one",
    "/dashboard/cron",
    "/dashboard/limits",
    "/dashboard/limits?tenant=acme",
    "/dashboard/cache",
];

async fn start() -> Api {
    let api = Api::start_with(&[&TOKENS[..], &[("TIDEGATE_WORKER", "none")]].concat()).await;
    for (path, body) in [
        ("/api/tenants", json!({"id": "acme", "name": "Acme", "tier": "free"})),
        ("/api/queue/cron", json!({"name": "nightly", "expression": "30 2 * * *", "zone": "UTC", "queue": "import"})),
    ] {
        success_json(api.request(reqwest::Method::POST, path).bearer_auth(ADMIN).json(&body)).await;
    }
    enqueue(&api, json!({"id": "one", "kind": "test", "payload": 1, "delay_ms": 3_600_000})).await;
    api
}

/// Returns everything that any of the actions could change.
async fn all(api: &Api) -> Value {
    let get = |path: &str| success_json(api.request(reqwest::Method::GET, path).bearer_auth(ADMIN));
    let (queue, job) = (get("/api/queue/import").await, get("/api/queue/import/jobs/one").await);
    let (cron, limits, tenant) =
        (get("/api/queue/cron").await, get("/api/rate-limit").await, get("/api/rate-limit/tenants/acme").await);
    let cache = get("/api/cache").await;
    let alerts = get("/api/performance?type=alerts").await;
    let report = limits["limiters"].as_array().expect("limiters").iter().find(|limiter| limiter["name"] == "report");
    let report = report.expect("the limiter");
    json!([
        [
            queue["paused"],
            queue["delayed"],
            queue["ready"],
            queue["cancelled"],
            job["state"],
            cron["items"][0]["paused"]
        ],
        [
            report["quota"],
            report["stats"]["blocked_keys"],
            tenant["tier"],
            cache["warm_up"]["state"],
            alerts["silences"]
        ],
        // What it held before the first of them is held still.
        cache["tiers"][0]["entries"],
    ])
}

#[tokio::test]
async fn a_foreign_form_changes_nothing() {
    let api = start().await;
    let before = all(&api).await;
    let mut visit = Visit::new(&api);
    visit.log_in(ADMIN).await;
    let mut other = Visit::new(&api);
    other.log_in(ADMIN).await;
    let (mine, foreign) = (visit.form(QUEUE).await, other.form(QUEUE).await);
    for (path, fields) in ACTIONS {
        let with = |form: &'static str| fields.iter().copied().chain([("form", form)]).collect::<Vec<_>>();
        assert_eq!(
            visit.post(path, fields, &[]).await.status(),
            422,
            "{path}: without the token it is no form of ours"
        );
        assert_eq!(visit.post(path, &with("0000"), &[]).await.status(), 403, "{path}");
        let theirs: Vec<_> = fields.iter().copied().chain([("form", foreign.as_str())]).collect();
        assert_eq!(visit.post(path, &theirs, &[]).await.status(), 403, "{path}");
        let ours: Vec<_> = fields.iter().copied().chain([("form", mine.as_str())]).collect();
        for headers in
            [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none")]
        {
            let answer = visit.post(path, &ours, &[headers]).await;
            assert_eq!(answer.status(), 403, "{path} {headers:?}");
            assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
        }
        let strange: Vec<_> = ours.iter().copied().chain([("colour", "red")]).collect();
        assert_eq!(visit.post(path, &strange, &[]).await.status(), 422, "{path}: a field too many");
        assert_eq!(visit.get(path).await.status(), 405, "{path}: an address changes nothing");
        // A visitor who is not logged in is redirected there, and the form is lost.
        let mut stranger = Visit::new(&api);
        let answer = stranger.post(path, &ours, &[]).await;
        assert_eq!((answer.status().as_u16(), super::location(&answer).as_str()), (303, "/dashboard/login"), "{path}");
        // The token of an API request is none of the pages'.
        let bearer = format!("Bearer {ADMIN}");
        let answer = stranger.post(path, &ours, &[("authorization", bearer.as_str())]).await;
        assert_eq!(answer.status(), 303, "{path}");
        assert_eq!(all(&api).await, before, "{path}");
    }
}

#[tokio::test]
async fn a_reader_sees_no_form_and_changes_nothing() {
    let api = start().await;
    let before = all(&api).await;
    let mut reader = Visit::new(&api);
    reader.log_in(READ).await;
    let mut admin = Visit::new(&api);
    admin.log_in(ADMIN).await;
    for path in PAGES {
        let forms = |page: &str| page.matches("method=\"post\"").count();
        let seen = page(&mut reader, path).await;
        assert_eq!(forms(&seen), 1, "{path}: only the button that logs out: {seen}");
        assert!(!seen.contains("type=\"checkbox\""), "{path}");
        assert!(forms(&page(&mut admin, path).await) > 1, "{path}");
    }
    let form = reader.form(QUEUE).await;
    for (path, fields) in ACTIONS {
        let fields: Vec<_> = fields.iter().copied().chain([("form", form.as_str())]).collect();
        let answer = reader.post(path, &fields, &[]).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert!(answer.text().await.unwrap().contains("admin token"), "{path}");
    }
    assert_eq!(all(&api).await, before);
}
