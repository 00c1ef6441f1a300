//! Every page in a real browser: light, dark and as wide as a phone. Pictures lie in `target/screenshots`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tidegate_testkit::{Browser, poll_until};

use crate::harness::{Api, DEADLINE, schedule};
use crate::start::{ADMIN, TOKENS};
use crate::stuck::Stuck;

/// Name, width, height, dark or not.
const LOOKS: [(&str, u32, u32, bool); 3] =
    [("light", 1280, 800, false), ("dark", 1280, 800, true), ("phone", 360, 780, false)];

/// Controls that nobody could name to a person who doesn't see them.
const UNNAMED: &str = r"
    const text = (element) => (element?.textContent ?? '').trim();
    const name = (element) => element.getAttribute('aria-label') || text(element)
        || [...(element.labels ?? [])].map(text).join(' ') || [...element.querySelectorAll('img')].map((image) => image.alt).join('');
    return [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, summary, [tabindex=\'0\'], svg[role=img]')]
        .filter((element) => !name(element)).map((element) => element.outerHTML);
";

/// Texts whose contrast to what lies behind them is below 4.5 (WCAG 2.2, 1.4.3; none of ours is large enough for less).
const FAINT: &str = r"
    const channels = (color) => color.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
            if (color[3] !== 0) throw new Error('a colour that is seen through: ' + at.outerHTML);
        }
        return [255, 255, 255];
    };
    const faint = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || element.closest('svg, script') || !element.getClientRects().length) continue;
        seen += 1;
        const [one, other] = [light(channels(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (!(contrast >= 4.5)) faint.push(contrast.toFixed(2) + ' ' + node.data.trim());
    }
    if (seen < 5) faint.push('only ' + seen + ' texts were seen');
    return faint;
";

/// What came from elsewhere.
const FOREIGN: &str = "return performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith(location.origin + '/'));";

/// What has the focus, and whether that is seen: the outline's width in pixels.
const FOCUSED: &str = r"
    const element = document.activeElement;
    if (element === document.body) return null;
    const style = getComputedStyle(element);
    return {
        what: element.outerHTML.slice(0, 120),
        order: [...document.querySelectorAll('*')].indexOf(element),
        outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
    };
";

/// Whoever presses Tab next gets to what stands first.
const TO_THE_START: &str = r"
    const start = document.createElement('span');
    start.tabIndex = -1;
    document.body.prepend(start);
    start.focus({ preventScroll: true });
    start.remove();
    scrollTo(0, 0);
";

/// What Tab should reach.
const REACHABLE: &str = r"
    return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), summary, [tabindex=\'0\']')]
        .filter((element) => element.getClientRects().length).length;
";

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

fn picture(page: &str, look: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/screenshots/{page}-{look}.png"))
}

fn none(found: &Value) -> bool {
    found.as_array().is_some_and(Vec::is_empty)
}

/// Looks at the page that is loaded in every way, and takes its pictures.
async fn look_at(browser: &Browser, page: &str) {
    for (look, width, height, is_dark) in LOOKS {
        browser.look(width, height, is_dark).await;
        let at = format!("{page}, {look}");
        let unnamed = browser.script(UNNAMED).await;
        assert!(none(&unnamed), "{at}: {unnamed}");
        let faint = browser.script(FAINT).await;
        assert!(none(&faint), "{at}: {faint}");
        let wide =
            browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wide, 0, "{at}: it scrolls sideways");
        tab_through(browser, &at).await;
        let whole = browser.script("return document.documentElement.scrollHeight").await;
        browser
            .look(width, u32::try_from(whole.as_u64().expect("pixels")).expect("a page of that height"), is_dark)
            .await;
        browser.screenshot(&picture(page, look)).await;
    }
    let foreign = browser.script(FOREIGN).await;
    assert!(none(&foreign), "{page}: {foreign}");
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{page}: {complaints:?}");
}

/// Tab reaches every control, in the order in which they stand, and it is seen where one is.
async fn tab_through(browser: &Browser, at: &str) {
    let reachable = browser.script(REACHABLE).await.as_u64().expect("a count");
    browser.script(TO_THE_START).await;
    let mut last = None;
    for step in 0..reachable {
        browser.press_tab().await;
        let focused = browser.script(FOCUSED).await;
        assert!(focused["outline"].as_f64().is_some_and(|width| width >= 2.0), "{at}, step {step}: {focused}");
        let order = focused["order"].as_u64();
        assert!(step == 0 || order > last, "{at}, step {step} of {reachable}: {focused}");
        last = order;
    }
    browser.script("document.activeElement.blur()").await;
}

#[tokio::test]
async fn no_console_error_no_outside_request_and_all_is_named_seen_and_reached() {
    let api = busy(&[("TIDEGATE_HTTP_REQUEST_TIMEOUT", "2s")]).await;
    let browser = Browser::start().await;
    for (page, path) in [("overview", "/dashboard"), ("performance", "/dashboard/performance")] {
        browser.open(&format!("{}{path}", api.url)).await;
        let is_live = async || {
            (browser.script("return document.querySelector('[data-stream-status]').textContent").await == "live")
                .then_some(())
        };
        poll_until(DEADLINE, is_live).await.expect("the figures move");
        if page == "overview" {
            browser.script("document.querySelector('details').open = true").await;
        }
        look_at(&browser, page).await;
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
    // Behind this, the sampler has told others of two more moments, and this page of none.
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
