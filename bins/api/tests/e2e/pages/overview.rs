//! The pages, read without JavaScript, and their stream report the same figures.

use reqwest::Method;
use serde_json::Value;
use tidegate_testkit::poll_until;

use super::{Visit, act};
use crate::harness::{Api, DEADLINE};

const ROUTE: &str = "/api/schedules";
const LIMITS: &str = "/dashboard/limits";
/// The number of samples that percentiles need.
const ENOUGH: usize = 20;

async fn read(api: &Api, times: usize) {
    for _ in 0..times {
        assert_eq!(api.get_as("acme", ROUTE).send().await.expect("an answer").status(), 200);
    }
}

/// The text of the element that moves under that name.
fn figure(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("data-live=\"{name}\""))?;
    let (_, rest) = rest.split_once('>')?;
    Some(rest.split('<').next()?.to_owned())
}

#[tokio::test]
async fn pages_read_without_javascript() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    read(&api, ENOUGH - 1).await;
    let mut visit = Visit::new(&api);
    let name = format!("rate GET {ROUTE}");
    let mut page = String::new();
    let shown = poll_until(DEADLINE, async || {
        page = visit.get("/dashboard").await.text().await.expect("a page");
        (figure(&page, &name).is_some() && page.contains("peak 1")).then_some(())
    });
    assert!(shown.await.is_ok(), "{page}");
    assert_eq!(figure(&page, &format!("p50 GET {ROUTE}")).as_deref(), Some("–"), "of few samples nothing is said");
    assert_eq!(figure(&page, &format!("errors GET {ROUTE}")).as_deref(), Some("–"));
    assert_eq!(figure(&page, "alerts").as_deref(), Some("0"));

    read(&api, 1).await;
    let shown = poll_until(DEADLINE, async || {
        page = visit.get("/dashboard").await.text().await.expect("a page");
        (figure(&page, &format!("p50 GET {ROUTE}"))? != "–").then_some(())
    });
    assert!(shown.await.is_ok(), "{page}");
    assert!(figure(&page, &format!("p99 GET {ROUTE}")).is_some_and(|text| text.ends_with('s')), "{page}");
    assert_eq!(figure(&page, &format!("errors GET {ROUTE}")).as_deref(), Some("0 %"));
    for part in [
        "<h2 id=\"health\">",
        "≤ 2.5 ms",
        "class=\"heat-5\"",
        "<details>",
        "<polyline points=\"0.0,",
        // On a phone they look like lists, but remain tables for screen readers.
        "role=\"table\"",
        "role=\"columnheader\"",
        "role=\"rowheader\"",
        "Skip to content",
        "<main",
        "<nav",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }

    let page = visit.get("/dashboard/performance").await.text().await.unwrap();
    for part in [
        "Slow statements",
        "Slow requests",
        "Resident memory",
        "Trends",
        "Connection pools",
        "MiB",
        // Which are the first twenty depends on the machine; these take their time on any.
        "_sqlx_migrations",
    ] {
        assert!(page.to_lowercase().contains(&part.to_lowercase()), "{part}: {page}");
    }
}

#[tokio::test]
async fn the_stream_has_the_content_of_the_page() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    read(&api, 1).await;
    let mut stream = api.request(Method::GET, "/dashboard/live").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    let mut text = String::new();
    let figures: Value = loop {
        let chunk =
            tokio::time::timeout(DEADLINE, stream.chunk()).await.expect("in time").unwrap().expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        let whole = text.split("\n\n").filter(|event| event.contains("data: "));
        let complete = whole.filter(|_| text.ends_with("\n\n")).last();
        let told = complete.map(|event| event.split_once("data: ").unwrap().1);
        if let Some(told) = told.map(|told| serde_json::from_str::<Value>(told).unwrap())
            && !told["texts"][format!("rate GET {ROUTE}")].is_null()
        {
            break told;
        }
    };
    let page = Visit::new(&api).get("/dashboard").await.text().await.unwrap();
    for (name, told) in figures["texts"].as_object().unwrap() {
        assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{name}");
        assert!(page.contains(&format!("data-live=\"{name}\"")), "{name} moves nothing: {page}");
    }
    for (name, points) in figures["points"].as_object().unwrap() {
        assert_eq!(points.as_str().unwrap().split(' ').count(), 60);
        assert!(page.contains(&format!("data-live-points=\"{name}\"")), "{name}");
    }
}

/// The id of some rule that is not about what this API lacks.
const RULE: &str = "error_rate";

#[tokio::test]
async fn a_rule_is_silenced_and_the_silence_is_lifted() {
    let api = Api::start().await;
    let mut visit = Visit::new(&api);
    let silence = [("rule", RULE), ("subject", "GET+/a"), ("minutes", "30"), ("reason", "Ada:+<b>deploy</b>")];
    // The overview has no form while nothing fires: any page's form field is good for all.
    let shown = act(&mut visit, LIMITS, "/dashboard/silence", &silence).await;
    for part in ["Alert silenced", "error_rate · GET /a", "Ada: &lt;b&gt;deploy", ">End silence"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let told = api.json("/api/performance?type=alerts").await;
    assert_eq!(told["silences"][0]["rule"], RULE, "{told}");

    let lifted = [("rule", RULE), ("subject", "GET+/a")];
    let shown = act(&mut visit, "/dashboard", "/dashboard/lift-silence", &lifted).await;
    assert!(shown.contains("Silence ended") && !shown.contains(">End silence"), "{shown}");
    let shown = act(&mut visit, LIMITS, "/dashboard/lift-silence", &lifted).await;
    assert!(shown.contains("silence no longer exists"), "{shown}");

    let form = visit.form(LIMITS).await;
    let unknown = [("rule", "nothing"), ("minutes", "30"), ("reason", "Ada"), ("form", form.as_str())];
    assert_eq!(visit.post("/dashboard/silence", &unknown, &[]).await.status(), 422);
}

#[tokio::test]
async fn before_there_were_enough_requests_no_score_is_shown() {
    let api = Api::start_with(&[("TIDEGATE_PERFORMANCE_HEALTH", "min_samples=1000000")]).await;
    let mut visit = Visit::new(&api);
    let mut page = String::new();
    // The first second has no verdict yet.
    let judged = poll_until(DEADLINE, async || {
        page = visit.get("/dashboard").await.text().await.expect("a page");
        (!page.contains("No health check has run")).then_some(())
    });
    assert!(judged.await.is_ok(), "{page}");
    assert_eq!(figure(&page, "health").as_deref(), Some("not judged yet"), "{page}");
    assert_eq!(figure(&page, "score").as_deref(), Some("–"), "{page}");
    assert!(page.contains("requests in 5 minutes, 1000000 needed") && !page.contains(" of 100"), "{page}");
}
