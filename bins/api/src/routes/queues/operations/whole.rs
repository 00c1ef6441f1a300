//! Operations on whole queues.

use serde_json::{Value, json};

use super::super::{actions, events, overview, settings};
use super::ids::of_queue;
use crate::openapi::schema::{
    between, count, flag, list, named, number, object, one_of, open, or_null, page, text, time, told,
};
use crate::openapi::{Audience, Routes, get, post, put};

pub(super) fn schemas(routes: Routes) -> Routes {
    routes.schema("Queue", queue()).schema("QueueSettings", queue_settings(&["max_running", "rate", "events"]))
}

pub(super) fn add(routes: Routes) -> Routes {
    let moved = || object([("queue", text()), ("moved", count()), ("more", flag())]);
    let paused = || object([("queue", text()), ("paused", flag())]);
    let read = |id, path, summary| of_queue(get(id, path, Audience::Reader, summary));
    let change = |id, path, summary| of_queue(post(id, path, Audience::Admin, summary));
    routes
        .add(get("listQueues", "/api/queue", Audience::Reader, "Every queue").ok(page(named("Queue"))), overview::list)
        .add(read("showQueue", "/api/queue/{queue}", "One queue").ok(named("Queue")), overview::show)
        .add(
            read("showQueueSettings", "/api/queue/{queue}/settings", "The settings of a queue, for all its workers")
                .ok(named("QueueSettings")),
            settings::show,
        )
        .add(
            of_queue(put(
                "replaceQueueSettings",
                "/api/queue/{queue}/settings",
                Audience::Admin,
                "Replaces all settings",
            ))
            .body(queue_settings(&[]), json!({"max_running": 8, "rate": {"jobs": 100, "per_ms": 1000}, "events": true}))
            .ok(named("QueueSettings")),
            settings::replace,
        )
        .add(
            read("listQueueEvents", "/api/queue/{queue}/events", "The events of a queue whose settings have `events`")
                .query(
                    "after",
                    text(),
                    "`next_cursor` of the previous page; without it, only the cursor to continue from.",
                )
                .query("limit", between(1, 1_000), "Maximum number of items.")
                .ok(object([("items", list(event())), ("next_cursor", text()), ("enabled", flag())])),
            events::list,
        )
        .add(change("pauseQueue", "/api/queue/{queue}/pause", "Pauses a queue").ok(paused()), actions::pause)
        .add(change("resumeQueue", "/api/queue/{queue}/resume", "Resumes a queue").ok(paused()), actions::resume)
        .add(
            change("drainQueue", "/api/queue/{queue}/drain", "Cancels all jobs that have not started").ok(moved()),
            actions::drain,
        )
        .add(
            change("retryDead", "/api/queue/{queue}/retry-dead", "Makes all dead jobs ready").ok(moved()),
            actions::retry_dead,
        )
        .add(
            change("cleanQueue", "/api/queue/{queue}/clean", "Removes finished jobs that ended long enough ago")
                .body(
                    object([("state", one_of(&["done", "dead", "cancelled"])), ("older_than_s", count())]),
                    json!({"state": "done", "older_than_s": 86400}),
                )
                .ok(object([("queue", text()), ("removed", count()), ("more", flag())])),
            actions::clean,
        )
}

fn queue() -> Value {
    let percentiles = || object([("p50", or_null(number())), ("p99", or_null(number())), ("samples", count())]);
    let rates = object([
        ("window_seconds", number()),
        ("enqueued_per_second", number()),
        ("completed_per_second", number()),
        ("failed_per_second", number()),
        ("retried_per_second", number()),
    ]);
    let worker = object([
        ("id", text()),
        ("pid", count()),
        ("queues", list(text())),
        ("running", told(count(), "0 for a lost worker: its jobs run again when their leases have expired.")),
        ("started_at", time()),
        ("last_seen", time()),
        ("lease_ms", count()),
        ("lost", told(flag(), "Whether the worker has not announced itself for two leases.")),
    ]);
    let latency =
        object([("queue_wait_ms", percentiles()), ("run_time_ms", percentiles()), ("window_seconds", count())]);
    object([
        ("queue", text()),
        ("ready", count()),
        ("delayed", count()),
        ("waiting", count()),
        ("leased", count()),
        ("done", count()),
        ("dead", count()),
        ("cancelled", count()),
        ("oldest_ready_age_seconds", or_null(number())),
        ("paused", flag()),
        ("completed_total", count()),
        ("failed_total", count()),
        ("retried_total", count()),
        ("reclaimed_total", count()),
        ("stale_acks_total", count()),
        ("recovered_total", count()),
        ("dropped_total", count()),
        ("rates", or_null(rates)),
        ("latency", or_null(latency)),
        ("settings", named("QueueSettings")),
        ("workers", list(worker)),
    ])
}

fn queue_settings(required: &[&str]) -> Value {
    let rate = object([("jobs", between(1, u32::MAX.into())), ("per_ms", between(1, 86_400_000))]);
    let mut settings = object([
        (
            "max_running?",
            told(
                or_null(between(1, u32::MAX.into())),
                "Maximum number of jobs that run at a time; without it any number.",
            ),
        ),
        ("rate?", told(or_null(rate), "The number of jobs that may start within a time.")),
        ("events?", told(flag(), "Whether events are kept.")),
    ]);
    settings["required"] = json!(required);
    settings
}

fn event() -> Value {
    open(object([("at", time()), ("id", text()), ("event", text())]))
}
