//! What `/api/rate-limit` offers.

use serde_json::{Value, json};

use super::{block, change, check, reset, show, unblock, usage};
use crate::access::CHECK_PATH;
use crate::openapi::schema::{between, count, flag, list, named, number, object, one_of, or_null, text, time, told};
use crate::openapi::{Circle, Operation, Routes, delete, get, post};

/// 366 days.
const LONGEST_BLOCK: i64 = 366 * 24 * 3600;

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .schema("Tier", one_of(&["free", "basic", "premium", "enterprise"]))
        .schema("Limits", limits())
        .schema("Overrides", overrides())
        .schema("Decision", decision())
        .add(
            get("showLimiters", "/api/rate-limit", Circle::Reader, "Each limiter, and what it decided")
                .ok(object([("limiters", list(limiter()))])),
            show,
        )
        .add(
            post("changeLimits", "/api/rate-limit", Circle::Admin, "Changes a tenant's plan, or a limiter's quota")
                .body(changes(), json!({"tenant_id": "acme", "tier": "enterprise"}))
                .ok(json!({"anyOf": [
                    object([
                        ("tenant_id", text()),
                        ("tier", named("Tier")),
                        ("overrides", named("Overrides")),
                        ("limits", named("Limits")),
                        ("epoch", count()),
                    ]),
                    object([("limiter", text()), ("quota", text())]),
                ]}))
                .fails(404, "There is no such tenant or limiter."),
            change,
        )
        .add(
            of_key(delete(
                "resetKey",
                "/api/rate-limit",
                Circle::Admin,
                "Forgets what a key has used, its block and its strikes",
            ))
            .ok(object([("reset", told(flag(), "Whether it was known."))])),
            reset,
        )
        .add(
            post(
                "blockKey",
                "/api/rate-limit/block",
                Circle::Admin,
                "Refuses everything from a key for a time, on every node",
            )
            .body(
                object([("limiter", text()), ("key", text()), ("seconds", between(1, LONGEST_BLOCK))]),
                json!({"limiter": "api", "key": "203.0.113.7", "seconds": 60}),
            )
            .ok(object([("limiter", text()), ("key", text()), ("blocked_until", time())]))
            .fails(404, "There is no such limiter or tenant."),
            block,
        )
        .add(
            of_key(delete(
                "unblockKey",
                "/api/rate-limit/block",
                Circle::Admin,
                "Ends a key's block and forgets its strikes",
            ))
            .ok(object([("unblocked", told(flag(), "Whether it was blocked."))])),
            unblock,
        )
        .add(
            post("checkLimit", CHECK_PATH, Circle::Service, "Charges a key, or only looks, and says whether it may")
                .body(
                    object([
                        ("limiter", text()),
                        ("key", text()),
                        ("cost?", json!({"type": "integer", "minimum": 1, "default": 1})),
                        ("peek?", json!({"type": "boolean", "default": false})),
                    ]),
                    json!({"limiter": "api", "key": "user-7"}),
                )
                .ok(named("Decision"))
                .fails(404, "There is no such limiter or tenant."),
            check,
        )
        .add(
            get(
                "showUsage",
                "/api/rate-limit/tenants/{id}",
                Circle::Reader,
                "A tenant's plan in force, and what it has used",
            )
            .part("id", text(), "acme")
            .ok(used()),
            usage,
        )
}

fn of_key(operation: Operation) -> Operation {
    operation
        .needs("limiter", text(), "api")
        .needs("key", text(), "203.0.113.7")
        .fails(404, "There is no such limiter or tenant.")
}

fn limiter() -> Value {
    object([
        ("name", text()),
        ("algorithm", text()),
        ("quota", or_null(text())),
        ("settings_quota", or_null(text())),
        ("block_seconds", number()),
        ("mode", one_of(&["on", "shadow", "off"])),
        ("allow", list(text())),
        ("deny", list(text())),
        (
            "stats",
            object([
                ("allowed", count()),
                ("denied", count()),
                ("failed", count()),
                ("alone", count()),
                ("tracked_keys", count()),
                ("blocked_keys", count()),
                ("evicted_live", count()),
                ("top_denied", told(list(json!({"type": "array"})), "Pairs of a key and how often it was denied.")),
            ]),
        ),
    ])
}

fn limits() -> Value {
    object([
        ("per_minute", count()),
        ("per_hour", count()),
        ("per_day", count()),
        ("max_users", told(or_null(count()), "None for any number.")),
    ])
}

fn overrides() -> Value {
    object([("per_minute?", count()), ("per_hour?", count()), ("per_day?", count()), ("max_users?", count())])
}

fn changes() -> Value {
    let limit = || told(or_null(count()), "`null` takes the tenant's own limit back, so that the tier's holds.");
    object([
        ("tenant_id?", text()),
        ("tenantId?", told(text(), "The same as `tenant_id`.")),
        ("tier?", or_null(named("Tier"))),
        (
            "limits?",
            object([
                ("per_minute?", limit()),
                ("per_hour?", limit()),
                ("per_day?", limit()),
                ("max_users?", limit()),
                ("users?", told(limit(), "The same as `max_users`.")),
            ]),
        ),
        ("limiter?", text()),
        ("quota?", told(or_null(text()), "Such as `100/minute`; `null` for that of the settings.")),
    ])
}

fn decision() -> Value {
    object([
        ("allowed", flag()),
        ("limiter", text()),
        ("limit", count()),
        ("remaining", count()),
        ("reset_after_ms", count()),
        ("retry_after_ms", or_null(count())),
        ("blocked_until", or_null(time())),
        ("window?", told(text(), "Of a tenant: the window that binds.")),
    ])
}

fn used() -> Value {
    let window = object([
        ("window", text()),
        ("limit", count()),
        ("used", count()),
        ("remaining", count()),
        ("reset_after_ms", count()),
    ]);
    object([
        ("tenant_id", text()),
        ("windows", list(window)),
        ("seats", object([("used", count()), ("allowed", or_null(count()))])),
        ("blocked_for_ms", or_null(count())),
        ("strikes", count()),
        ("tier", named("Tier")),
        ("overrides", named("Overrides")),
        ("limits", named("Limits")),
        ("epoch", count()),
    ])
}
