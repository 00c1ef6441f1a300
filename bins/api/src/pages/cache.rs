//! The cache: what its tiers and classes did, what loads it ahead, and what is dropped from it.

pub(super) mod change;

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::again::Again;
use super::flash::Flash;
use super::here::Here;
use super::layout::{Button, Frame, Page};
use super::section::items;
use super::table::{NAME, NUMBER, TEXT, table};
use super::text;
use crate::routes::cache;
use tidegate_web::app::App;
use tidegate_web::query::Query;
use tidegate_web::warm_up::CLASSES;

/// Maximum number of slow Redis commands in the list.
const MOST_SLOW: usize = 10;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheQuery {
    said: Option<String>,
    done: Option<u64>,
    left: Option<u64>,
}

pub(super) async fn show(State(app): State<App>, Query(query): Query<CacheQuery>, frame: Frame) -> Response {
    page(&app, &query, &frame, &Again::default())
}

/// The page, with the form that was refused.
fn page(app: &App, query: &CacheQuery, frame: &Frame, again: &Again) -> Response {
    let told = cache::told(app);
    let classes = items(&told, "classes");
    let body = html! {
        section.card data-part="at-a-glance" aria-label="Summary" { (glance(&told, classes)) }
        section.card data-part="tiers" aria-labelledby="tiers" {
            div.head { h2 #tiers { "Tiers" } span.note { "This process, since its start; times of the last 5 minutes" } }
            (tiers(items(&told, "tiers")))
        }
        section.card data-part="classes" aria-labelledby="classes" {
            div.head { h2 #classes { "Classes" } span.note { "A lookup that any tier answers is a hit" } }
            (classes_table(classes))
        }
        section.card data-part="class-settings" aria-labelledby="class-settings" {
            div.head { h2 #class-settings { "Settings of classes" } span.note { "cache.schedule, cache.tenant, cache.session, cache.preferences" } }
            (settings_table(classes))
        }
        div.columns {
            section.card aria-labelledby="warm-up" {
                h2 #warm-up { "Warm-up" }
                div data-part="warm-up" { (warm_up(&told["warm_up"])) }
                @if frame.may_change() { (warm_up_form(frame, again)) }
            }
            @if frame.may_change() {
                section.card aria-labelledby="drop" {
                    div.head { h2 #drop { "Invalidate" } span.note { "On every node" } }
                    (forms(frame, classes, again))
                }
            }
        }
        @if !told["redis"].is_null() { section.card data-part="redis" aria-labelledby="redis" { h2 #redis { "Redis" } (redis(&told["redis"])) } }
    };
    let flash = Flash::of(query.said.as_deref(), query.done, query.left);
    again.answer(Page::of(Here::Cache).saying(flash).refusing(again.untold()).show(frame, &body))
}

fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn glance(told: &Value, classes: &[Value]) -> Markup {
    let sum = |name: &str| classes.iter().map(|class| count(class, name)).sum::<u64>();
    let (found, misses) = (sum("hits") + sum("stale_hits"), sum("misses"));
    let found = found + sum("shared_hits");
    let lookups = sum("hits") + sum("stale_hits") + misses;
    let rate = if lookups == 0 { 0.0 } else { found as f64 / lookups as f64 };
    let figure = |label: &str, value: String| html! { div { dt { (label) } dd { (value) } } };
    let warnings = items(told, "warnings");
    html! {
        dl.figures {
            (figure("Hit rate", text::percent_or_none(rate, lookups)))
            (figure("Lookups", lookups.to_string()))
            (figure("Loads", sum("loads").to_string()))
            (figure("Failed loads", sum("load_failures").to_string()))
            (figure("Coalesced loads", sum("collapsed").to_string()))
            (figure("Invalidations", sum("invalidations").to_string()))
        }
        @if !warnings.is_empty() {
            ul.items.below {
                @for warning in warnings.iter().filter_map(Value::as_str) {
                    li { span.state data-state="warn" { "Warning" } " " bdi { (text::visible(warning)) } }
                }
            }
        }
    }
}

fn micros(value: &Value) -> String {
    let time = value.as_f64().and_then(|micros| Duration::try_from_secs_f64(micros / 1e6).ok());
    text::or_none(time, text::time)
}

fn tiers(tiers: &[Value]) -> Markup {
    let columns = [
        ("Tier", NAME),
        ("State", NAME),
        ("Entries", NUMBER),
        ("Memory", NUMBER),
        ("Capacity", NUMBER),
        ("Hits", NUMBER),
        ("Misses", NUMBER),
        ("Hit rate", NUMBER),
        ("Evictions", NUMBER),
        ("Errors", NUMBER),
        ("P50", NUMBER),
        ("P99", NUMBER),
    ];
    let number = |value: &Value| html! { (text::or_none(value.as_u64(), |number| number.to_string())) };
    let bytes = |value: &Value| html! { (text::or_none(value.as_f64(), text::bytes)) };
    table(
        "Tiers of the cache",
        &columns,
        tiers.iter().map(|tier| {
            let (state, word) = match (tier["is_available"].as_bool(), tier["is_followed"].as_bool()) {
                (Some(false), _) => ("bad", "down"),
                (_, Some(false)) => ("warn", "no notices"),
                _ => ("ok", "up"),
            };
            let samples = count(&tier["latency_us"], "samples");
            let time = |name: &str| if samples < text::FEW { text::NONE.to_owned() } else { micros(&tier["latency_us"][name]) };
            vec![
                html! { b { (tier["tier"].as_str().unwrap_or(text::NONE)) } },
                html! { span data-state=(state) { (word) } },
                number(&tier["entries"]),
                bytes(&tier["weight"]),
                bytes(&tier["capacity"]),
                number(&tier["hits"]),
                number(&tier["misses"]),
                html! { (text::percent_or_none(tier["hit_rate"].as_f64().unwrap_or(0.0), count(tier, "hits") + count(tier, "misses"))) },
                number(&tier["evictions"]),
                number(&tier["errors"]),
                html! { (time("p50")) },
                html! { (time("p99")) },
            ]
        }),
    )
}

fn classes_table(classes: &[Value]) -> Markup {
    let columns = [
        ("Class", NAME),
        ("TTL", NUMBER),
        ("Hits", NUMBER),
        ("Stale", NUMBER),
        ("Misses", NUMBER),
        ("Shared hits", NUMBER),
        ("Hit rate", NUMBER),
        ("Loads", NUMBER),
        ("Failed", NUMBER),
        ("Coalesced", NUMBER),
        ("Invalidations", NUMBER),
    ];
    table(
        "Classes of the cache",
        &columns,
        classes.iter().map(|class| {
            let number = |name: &str| html! { (count(class, name)) };
            let lookups = count(class, "hits") + count(class, "stale_hits") + count(class, "misses");
            let is_low = class["is_hit_rate_low"] == true;
            vec![
                html! { b { (class["class"].as_str().unwrap_or(text::NONE)) } },
                html! { (text::span(Duration::from_secs(count(class, "ttl_seconds")))) },
                number("hits"),
                number("stale_hits"),
                number("misses"),
                number("shared_hits"),
                html! { span data-state=[is_low.then_some("warn")] { (text::percent_or_none(class["hit_rate"].as_f64().unwrap_or(0.0), lookups)) } },
                number("loads"),
                html! { span data-state=[(count(class, "load_failures") > 0).then_some("bad")] { (count(class, "load_failures")) } },
                number("collapsed"),
                number("invalidations"),
            ]
        }),
    )
}

fn settings_table(classes: &[Value]) -> Markup {
    let columns = [
        ("Class", NAME),
        ("TTL", NUMBER),
        ("Grace", NUMBER),
        ("Soft time-out", NUMBER),
        ("Refresh ahead", NUMBER),
        ("Early refresh", NAME),
        ("Max sliding TTL", NUMBER),
        ("Wait for another load", NUMBER),
    ];
    let row = |class: &Value| {
        let settings = &class["settings"];
        let time = |name: &str| {
            let time = settings[name].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let shown = |time: Duration| if time.as_secs() == 0 { text::time(time) } else { text::span(time) };
            html! { (text::or_none(time.filter(|time| !time.is_zero()), shown)) }
        };
        vec![
            html! { b { (class["class"].as_str().unwrap_or(text::NONE)) } },
            time("ttl_seconds"),
            time("grace_seconds"),
            time("soft_timeout_seconds"),
            time("refresh_ahead_seconds"),
            html! { @if settings["early_refresh"] == true { "on" } @else { "off" } },
            time("sliding_seconds"),
            time("wait_seconds"),
        ]
    };
    table(
        "Settings of the cache's classes",
        &columns,
        classes.iter().filter(|class| !class["settings"].is_null()).map(row),
    )
}

fn warm_up(told: &Value) -> Markup {
    let total = count(told, "total");
    let turned = ["loaded", "present", "failed", "unknown"].iter().map(|name| count(told, name)).sum::<u64>();
    html! {
        @if told.is_null() {
            p.none { "Never run." }
        } @else {
            p {
                span.state { (told["state"].as_str().unwrap_or(text::NONE)) } " "
                @if total > 0 { progress max=(total) value=(turned) aria-label="Progress of the warm-up" {} }
                " " (turned) " of " (total) " keys in " (text::span(Duration::from_millis(count(told, "elapsed_ms"))))
            }
            p.note { (count(told, "loaded")) " loaded, " (count(told, "present")) " already cached, " (count(told, "failed")) " failed, " (count(told, "unknown")) " of unknown kind" }
        }
    }
}

fn warm_up_form(frame: &Frame, again: &Again) -> Markup {
    let class = again.typed("warm-up", "class");
    html! {
        form.row method="post" action={ (Here::Cache.path()) "/warm-up" } {
            (frame.field())
            div {
                label for="warm-class" { "Class" }
                (again.message("warm-up", "class"))
                select #warm-class name="class" { option { "all" } @for of in CLASSES { option selected[class == Some(of)] { (of) } } }
            }
            div {
                label for="warm-limit" { "Max keys, hottest first" }
                (again.message("warm-up", "limit"))
                input #warm-limit type="number" name="limit" min="1" max="100000" value=(again.typed("warm-up", "limit").unwrap_or("1000")) required autofocus[again.is_at("warm-up", "limit")] aria-describedby=[again.described_by("warm-up", "limit")];
            }
            button { "Warm up" }
        }
    }
}

fn forms(frame: &Frame, classes: &[Value], again: &Again) -> Markup {
    let path = Here::Cache.path();
    let clear = format!("{path}/clear");
    let asks = "Clear the caches of all nodes? The next reads load from the database.";
    html! {
        form.row method="post" action={ (path) "/invalidate" } {
            (frame.field())
            div.grow {
                label for="pattern" { "Key pattern, such as schedule:*; the matches are shown first" }
                (again.message("invalidate", "pattern"))
                input #pattern name="pattern" maxlength="512" required value=[again.typed("invalidate", "pattern")] autofocus[again.is_at("invalidate", "pattern")] aria-describedby=[again.described_by("invalidate", "pattern")];
            }
            button { "Invalidate…" }
        }
        form.row method="post" action={ (path) "/class" } data-confirm="Invalidate this class on every node?" {
            (frame.field())
            div {
                label for="class" { "Whole class" }
                (again.message("class", "class"))
                select #class name="class" { @for class in classes.iter().filter_map(|class| class["class"].as_str()) { option { (class) } } }
            }
            button.danger { "Invalidate class" }
        }
        div.buttons { (frame.button(&Button { action: &clear, label: "Clear everything", about: "", asks: Some(asks) }, &[])) }
    }
}

fn redis(told: &Value) -> Markup {
    let columns = [
        ("Server", TEXT),
        ("Memory", NUMBER),
        ("Capacity", NUMBER),
        ("Resident", NUMBER),
        ("Fragmentation", NUMBER),
        ("CPU", NUMBER),
        ("Clients", NUMBER),
        ("Commands", NUMBER),
        ("Hit rate", NUMBER),
        ("Evicted", NUMBER),
        ("Rejected", NUMBER),
    ];
    let bytes = |value: &Value| html! { (text::or_none(value.as_f64().filter(|bytes| *bytes > 0.0), text::bytes)) };
    let number = |value: &Value| html! { (text::or_none(value.as_u64(), |number| number.to_string())) };
    let servers = table(
        "Redis servers",
        &columns,
        items(told, "servers").iter().map(|server| {
            vec![
                html! { code { (server["address"].as_str().unwrap_or(text::NONE)) } " " span.note { (server["version"].as_str().unwrap_or_default()) } },
                bytes(&server["used_memory"]),
                bytes(&server["max_memory"]),
                bytes(&server["resident_memory"]),
                html! { (text::or_none(server["fragmentation"].as_f64(), text::places)) },
                html! { (text::or_none(server["processor_percent"].as_f64(), |percent| format!("{} %", text::places(percent)))) },
                number(&server["clients"]),
                html! { (text::or_none(server["commands_per_second"].as_f64(), text::rate)) },
                html! { (text::or_none(server["hit_rate"].as_f64(), text::percent)) },
                number(&server["evicted_keys"]),
                number(&server["rejected_connections"]),
            ]
        }),
    );
    let slow = table(
        "Slow Redis commands",
        &[("Command", TEXT), ("Duration", NUMBER), ("Time, UTC", NUMBER)],
        items(told, "slow_commands").iter().take(MOST_SLOW).map(|slow| {
            vec![
                html! { code { (text::beginning(&text::visible(slow["command"].as_str().unwrap_or(text::NONE)), 160)) } },
                html! { (micros(&(slow["ms"].as_f64().map(|ms| ms * 1_000.0).into()))) },
                html! { (text::or_none(slow["at"].as_u64(), |at| text::moment(at.saturating_mul(1_000)))) },
            ]
        }),
    );
    html! {
        (servers)
        h3.below { "Slow commands" }
        (slow)
    }
}
