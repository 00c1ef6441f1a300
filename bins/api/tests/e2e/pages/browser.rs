//! Every page in a real browser: light, dark and on a phone. Pictures are in `target/screenshots`.

mod look;

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::{Browser, By, Key, poll_until};

use self::look::{look_at, look_at_all, says};
use super::queues::{enqueue, with_dead_jobs};
use crate::harness::{Api, DEADLINE, schedule, success_json};
use crate::start::{ADMIN, TOKENS};
use crate::stuck::Stuck;

/// An API that has something to show: fast and slow answers, an error, an import.
async fn busy(variables: &[(&str, &str)]) -> Api {
    let api = Api::start_with(variables).await;
    api.create_tenant("acme", "enterprise").await;
    for number in 0..40 {
        let request = api.request(reqwest::Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        assert_eq!(
            request.json(&schedule(&format!("meeting {number}"))).send().await.expect("an answer").status(),
            201
        );
        assert_eq!(api.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
        api.get_as("acme", "/api/schedules/nothing").send().await.expect("an answer");
    }
    let _stuck = Stuck::beside(&api).await;
    let request = api.request(reqwest::Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    assert_eq!(request.json(&schedule("slow")).send().await.expect("an answer").status(), 503);
    api
}

#[tokio::test]
async fn no_console_error_no_outside_request_and_all_is_named_seen_and_reached() {
    let api = busy(&[("TIDEGATE_HTTP_TIMEOUTS", "request=2s")]).await;
    look_at_all(&api, &[("overview", "/dashboard"), ("performance", "/dashboard/performance")]).await;
}

#[tokio::test]
async fn pages_of_queues_and_schedules_are_good_to_look_at() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "inner")]).await;
    with_dead_jobs(&api).await;
    for n in 0..4 {
        enqueue(
            &api,
            json!({"id": format!("delayed-{n}"), "kind": "report/monthly", "payload": {}, "delay_ms": 3_600_000}),
        )
        .await;
    }
    enqueue(&api, json!({"id": "x".repeat(128), "kind": "y".repeat(128), "payload": 1})).await;
    let hostile = json!({"title": "<script>\u{202e}", "password": "hunter2", "long": "z".repeat(10_000), "list": [1, 2, {"a": null}]});
    let hostile = enqueue(&api, json!({"kind": "test", "payload": hostile, "ordering_key": "w".repeat(256)})).await;
    for cron in [
        json!({"name": "nightly", "expression": "30 2 * * *", "zone": "Europe/Berlin", "queue": "import"}),
        json!({"name": "n".repeat(64), "every_ms": 900_000, "queue": "import"}),
    ] {
        success_json(api.request(reqwest::Method::POST, "/api/queue/cron").json(&cron)).await;
    }
    let job = format!("/dashboard/queues/import/jobs/{hostile}");
    look_at_all(
        &api,
        &[
            ("queues", "/dashboard/queues"),
            ("queue", "/dashboard/queues/import?state=dead"),
            ("queue-ready", "/dashboard/queues/import"),
            ("job-dead", "/dashboard/queues/import/jobs/broken-0"),
            ("job", &job),
            ("cron", "/dashboard/cron"),
        ],
    )
    .await;
}

#[tokio::test]
async fn pages_of_limits_and_the_cache_are_good_to_look_at() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_REPORT", "1/hour"), ("TIDEGATE_LIMIT_AUTH", "5/minute")]).await;
    api.create_tenant("acme", "premium").await;
    for _ in 0..30 {
        assert_eq!(api.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
    }
    for key in ["tenant:acme", "tenant:acme|ada", "<script>\u{202e}", &"k".repeat(512)] {
        for _ in 0..3 {
            let check = json!({"limiter": "report", "key": key});
            success_json(api.request(reqwest::Method::POST, "/api/rate-limit/check").json(&check)).await;
        }
    }
    look_at_all(
        &api,
        &[
            ("limits", "/dashboard/limits?tenant=acme&simulate=auth&cost=1&apart=1000"),
            ("limits-key", "/dashboard/limits?limiter=report&key=tenant:acme"),
            ("cache", "/dashboard/cache"),
        ],
    )
    .await;
}

/// Opens a connection ahead, as a browser does for what a page may load next.
const PRECONNECT: &str = r"
    const ahead = document.createElement('link');
    Object.assign(ahead, { rel: 'preconnect', href: location.origin, crossOrigin: 'anonymous' });
    document.head.append(ahead);
";

/// Loads a page over that connection: only requests without credentials use it.
const OVER_IT: &str =
    "return fetch('/dashboard/queues', { credentials: 'omit', cache: 'no-store' }).then((answer) => answer.status)";

#[tokio::test]
async fn connections_that_the_browser_opens_ahead_make_no_page_slow() {
    const IDLE: Duration = Duration::from_secs(4);
    const SLOW: Duration = Duration::from_secs(3);
    let api = Api::start_with(&[("TIDEGATE_PERFORMANCE_SLOW", "request=3s")]).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard", api.url)).await;
    says(&browser, "live").await;
    browser.script(PRECONNECT).await;
    // The connection carries its first request after this pause.
    tokio::time::sleep(IDLE).await;
    assert_eq!(browser.script(OVER_IT).await, 200);
    for path in ["performance", "queues", "cron", "limits", "cache"] {
        browser.open(&format!("{}/dashboard/{path}", api.url)).await;
        says(&browser, "live").await;
    }
    let told = poll_until(DEADLINE, async || {
        let told = api.json("/api/performance?type=endpoints&limit=100").await;
        let is_cache = |route: &Value| route["route"] == "/dashboard/cache" && route["count"].as_u64() > Some(0);
        told["items"].as_array().is_some_and(|items| items.iter().any(is_cache)).then_some(told)
    });
    let told = told.await.expect("the last page is counted");
    for route in told["items"].as_array().expect("a list") {
        let longest = route["max_ms"].as_f64().unwrap_or_default();
        assert!(longest < SLOW.as_secs_f64() * 1_000.0, "{route}");
    }
    let slow = api.process.log().find(|line| line.contains("slow request"));
    assert_eq!(slow, None);
    browser.close().await;
}

/// Clicks on what is found by that.
async fn click(browser: &Browser, selector: &str) {
    let found = browser.driver().find(By::Css(selector)).await.expect(selector);
    found.click().await.expect(selector);
}

/// Presses a key where the focus is.
async fn press(browser: &Browser, key: Key) {
    browser.driver().action_chain().send_keys(key).perform().await.expect("the key is pressed");
}

/// Waits until the page has that text.
async fn shows(browser: &Browser, text: &str) {
    let there = poll_until(DEADLINE, async || {
        let shown = browser.script("return document.body?.innerText ?? ''").await;
        shown.as_str().is_some_and(|shown| shown.contains(text)).then_some(())
    });
    assert!(there.await.is_ok(), "{text} is not in {}", browser.script("return document.body.innerText").await);
}

#[tokio::test]
async fn jobs_are_ticked_and_cancelled_by_the_mouse() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    for n in 0..3 {
        enqueue(&api, json!({"id": format!("later-{n}"), "kind": "test", "payload": 1, "delay_ms": 3_600_000})).await;
    }
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard/queues/import?state=delayed", api.url)).await;
    click(&browser, "[data-tick-all]").await;
    // What is ticked stays ticked while the rest is kept as it is.
    says(&browser, "live, except parts in use").await;
    assert_eq!(browser.script("return document.querySelectorAll('[name=id]:checked').length").await, 3);
    click(&browser, "[name=id]").await;
    click(&browser, "button[value=cancel]").await;
    shows(&browser, "Cancel the selected jobs?").await;
    click(&browser, "dialog button:not([data-yes])").await;
    assert_eq!(browser.script("return document.querySelector('dialog').open").await, false);
    assert_eq!(api.json("/api/queue/import").await["delayed"], 3, "nothing is done before it is wanted");
    click(&browser, "button[value=cancel]").await;
    click(&browser, "dialog [data-yes]").await;
    shows(&browser, "Cancelled 2 of the selected jobs").await;
    let counts = api.json("/api/queue/import").await;
    assert_eq!((&counts["delayed"], &counts["cancelled"]), (&json!(1), &json!(2)));
    // What was said is not said again.
    browser.driver().refresh().await.expect("it loads again");
    says(&browser, "live").await;
    assert_eq!(browser.script("return document.querySelectorAll('.flash').length").await, 0);
    assert!(browser.complaints().await.is_empty());
    browser.close().await;
}

#[tokio::test]
async fn a_queue_is_paused_and_drained_by_keys() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    enqueue(&api, json!({"id": "one", "kind": "test", "payload": 1})).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard/queues/import", api.url)).await;
    browser.script("document.querySelector('[action$=\"/pause\"] button').focus()").await;
    press(&browser, Key::Enter).await;
    shows(&browser, "Queue paused").await;
    assert_eq!(api.json("/api/queue/import").await["paused"], true);
    browser.script("document.querySelector('[action$=\"/drain\"] button').focus()").await;
    press(&browser, Key::Enter).await;
    shows(&browser, "Cancel all 1 jobs of import").await;
    // The way out has the focus, and Escape is one too.
    assert_eq!(browser.script("return document.activeElement.textContent").await, "Go back");
    press(&browser, Key::Escape).await;
    assert_eq!(api.json("/api/queue/import").await["ready"], 1);
    press(&browser, Key::Enter).await;
    shows(&browser, "Cancel all 1 jobs of import").await;
    browser.script("document.querySelector('dialog [data-yes]').focus()").await;
    press(&browser, Key::Enter).await;
    shows(&browser, "Cancelled 1 jobs").await;
    assert_eq!(api.json("/api/queue/import").await["cancelled"], 1);
    assert!(browser.complaints().await.is_empty());
    browser.close().await;
}

#[tokio::test]
async fn a_page_is_kept_as_it_is_until_it_is_paused() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard/queues/import", api.url)).await;
    browser.script("window.stays = true").await;
    enqueue(&api, json!({"id": "new-here", "kind": "test", "payload": 1})).await;
    shows(&browser, "new-here").await;
    click(&browser, "[data-pause]").await;
    says(&browser, "paused").await;
    let at = "return document.querySelector('[data-live=at]').textContent";
    let still = browser.script(at).await;
    enqueue(&api, json!({"id": "newer", "kind": "test", "payload": 1})).await;
    // Another page is kept all the while, so that this one would have been.
    let other = Browser::start().await;
    other.open(&format!("{}/dashboard/queues", api.url)).await;
    let before = other.script(at).await;
    let moved = poll_until(DEADLINE, async || (other.script(at).await != before).then_some(()));
    assert!(moved.await.is_ok(), "the other page is not kept");
    other.close().await;
    assert_eq!(browser.script(at).await, still);
    click(&browser, "[data-pause]").await;
    shows(&browser, "newer").await;
    assert_eq!(browser.script("return window.stays").await, true, "it was never loaded again");
    browser.close().await;
}

#[tokio::test]
async fn an_endpoint_that_is_new_comes_into_the_list_without_reload() {
    let api = Api::start().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard", api.url)).await;
    browser.script("window.stays = true").await;
    says(&browser, "live").await;
    api.create_tenant("acme", "enterprise").await;
    assert_eq!(api.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
    let row = "return [...document.querySelectorAll('#endpoints')].length + ' ' + document.body.innerText.includes('/api/schedules')";
    let there = poll_until(DEADLINE, async || (browser.script(row).await == "1 true").then_some(()));
    assert!(there.await.is_ok(), "the row doesn't come");
    assert_eq!(browser.script("return window.stays").await, true);
    browser.close().await;
}

#[tokio::test]
async fn a_page_without_a_session_says_so_and_sends_no_more_requests() {
    let api = Api::start_with(&TOKENS).await;
    let browser = Browser::start().await;
    for path in ["/dashboard", "/dashboard/queues"] {
        browser.open(&format!("{}/dashboard/login?next={path}", api.url)).await;
        let log_in = format!(
            "document.querySelector('#token').value = '{ADMIN}'; document.querySelector('form').requestSubmit()"
        );
        browser.script(&log_in).await;
        let is_there = format!(
            "return location.pathname === '{path}' && document.querySelector('[data-stream-status]')?.textContent"
        );
        let live = poll_until(DEADLINE, async || (browser.script(&is_there).await == "live").then_some(()));
        assert!(live.await.is_ok(), "{path}");
        browser.driver().delete_all_cookies().await.expect("no cookies");
        // As after a restart, the stream is asked for again.
        browser
            .script("document.querySelector('[data-pause]').click(); document.querySelector('[data-pause]').click()")
            .await;
        shows(&browser, "the session has ended: log in again").await;
        // No code that would restart it sends a request any more, and no timer is left.
        let asked = browser
            .script(
                "let asked = 0; \
                 window.fetch = () => { asked += 1; return Promise.reject(new Error()); }; \
                 window.EventSource = function () { asked += 1; this.addEventListener = () => {}; this.close = () => {}; }; \
                 window.setTimeout = () => { asked += 1; }; \
                 dispatchEvent(new Event('pageshow')); \
                 document.dispatchEvent(new Event('visibilitychange')); \
                 return asked;",
            )
            .await;
        assert_eq!(asked, 0, "{path}: it goes on asking");
        // That it was refused is said in the console.
        browser.complaints().await;
    }
    browser.close().await;
}

#[tokio::test]
async fn a_person_logs_in_and_out() {
    let api = Api::start_with(&TOKENS).await;
    let browser = Browser::start().await;
    browser.open(&api.url).await;
    look_at(&browser, "login").await;
    browser
        .script(&format!(
            "document.querySelector('#token').value = '{ADMIN}'; document.querySelector('form').requestSubmit()"
        ))
        .await;
    title_is(&browser, "Overview · Tidegate").await;
    browser.script("document.querySelector('.who form').requestSubmit()").await;
    title_is(&browser, "Log in · Tidegate").await;
    assert!(browser.complaints().await.is_empty());
    // A problem is a page that can be looked at as well; that it is 404 is said in the console.
    browser.open(&format!("{}/dashboard/nothing", api.url)).await;
    title_is(&browser, "Not Found · Tidegate").await;
    browser.complaints().await;
    look_at(&browser, "problem").await;
    browser.close().await;
}

#[tokio::test]
async fn figures_move_without_reload_and_stop_when_hidden() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/dashboard", api.url)).await;
    browser.script("window.stays = true").await;
    let count = "return [document.querySelector('[data-live=p50]').textContent, document.querySelector('[data-live-points=all]').getAttribute('points'), window.stays]";
    let before = browser.script(count).await;
    assert_eq!(before[0], "–");
    let moved = poll_until(DEADLINE, async || {
        api.get_as("acme", "/api/schedules").send().await.expect("an answer");
        let now = browser.script(count).await;
        (now[0] != before[0] && now[1] != before[1] && now[2] == true).then_some(())
    });
    assert!(moved.await.is_ok(), "nothing moves");

    let hide = "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }); document.dispatchEvent(new Event('visibilitychange'))";
    browser.script(hide).await;
    let status = "return document.querySelector('[data-stream-status]').textContent";
    assert_eq!(browser.script(status).await, "paused");
    let still = browser.script("return document.querySelector('[data-live=at]').textContent").await;
    // After this, the sampler has sent two more events to other pages, and none to this one.
    let mut other = api.request(reqwest::Method::GET, "/dashboard/live").send().await.unwrap();
    for _ in 0..2 {
        let chunk = tokio::time::timeout(Duration::from_secs(60), other.chunk()).await.expect("in time").unwrap();
        assert!(chunk.is_some());
    }
    assert_eq!(browser.script("return document.querySelector('[data-live=at]').textContent").await, still);
    browser.script("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))").await;
    let is_live = async || (browser.script(status).await == "live").then_some(());
    poll_until(DEADLINE, is_live).await.expect("it goes on");
    browser.close().await;
}

async fn title_is(browser: &Browser, title: &str) {
    let there = poll_until(DEADLINE, async || (browser.script("return document.title").await == title).then_some(()));
    assert!(there.await.is_ok(), "the page is {}", browser.script("return document.title").await);
}
