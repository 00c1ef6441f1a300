//! How a page looks in a browser: names, contrast, width, focus.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_testkit::{Browser, poll_until};

use crate::harness::{Api, DEADLINE};

/// Name, width, height, dark or not.
const LOOKS: [(&str, u32, u32, bool); 3] =
    [("light", 1280, 800, false), ("dark", 1280, 800, true), ("phone", 360, 780, false)];

/// Returns controls without an accessible name.
const UNNAMED: &str = r"
    const text = (element) => (element?.textContent ?? '').trim();
    const name = (element) => element.getAttribute('aria-label') || text(element)
        || [...(element.labels ?? [])].map(text).join(' ') || [...element.querySelectorAll('img')].map((image) => image.alt).join('');
    return [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, summary, [tabindex=\'0\'], svg[role=img]')]
        .filter((element) => !name(element)).map((element) => element.outerHTML);
";

/// Texts with a contrast below 4.5 (WCAG 2.2, 1.4.3; none of ours is large enough for less).
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

/// Returns resources from other origins.
const FOREIGN: &str = "return performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith(location.origin + '/'));";

/// Returns the focused element, and whether the focus is visible: the outline's width in pixels.
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

/// Sets the focus so that the next Tab reaches the first element.
const TO_THE_START: &str = r"
    const start = document.createElement('span');
    start.tabIndex = -1;
    document.body.prepend(start);
    start.focus({ preventScroll: true });
    start.remove();
    scrollTo(0, 0);
";

/// Returns the elements that Tab should reach.
const REACHABLE: &str = r"
    return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex=\'0\']')]
        .filter((element) => element.getClientRects().length).length;
";

fn picture(page: &str, look: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/screenshots/{page}-{look}.png"))
}

fn none(found: &Value) -> bool {
    found.as_array().is_some_and(Vec::is_empty)
}

/// Looks at the page that is loaded in every way, and takes its pictures.
pub(super) async fn look_at(browser: &Browser, page: &str) {
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

/// Looks at each of these pages after a while, with all that unfolds open.
pub(super) async fn look_at_all(api: &Api, pages: &[(&str, &str)]) {
    let browser = Browser::start().await;
    for (page, path) in pages {
        browser.open(&format!("{}{path}", api.url)).await;
        says(&browser, "live").await;
        // What moves under the keys is not what this looks at.
        browser.script("document.querySelector('[data-pause]').click()").await;
        browser.script("document.querySelectorAll('details').forEach((details) => { details.open = true })").await;
        look_at(&browser, page).await;
    }
    browser.close().await;
}

/// Waits until the page says that of itself.
pub(super) async fn says(browser: &Browser, status: &str) {
    let script = "return document.querySelector('[data-stream-status]').textContent";
    let there = poll_until(DEADLINE, async || (browser.script(script).await == status).then_some(()));
    assert!(there.await.is_ok(), "it says {}, not {status}", browser.script(script).await);
}
