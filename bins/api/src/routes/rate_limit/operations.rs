//! Operations of `/api/rate-limit`.

use serde_json::{Value, json};
use tidegate_ratelimit::Quota;

use super::check::{Answer, Question};
use super::keys::{Blocked, NewBlock, Reset, Unblocked};
use super::{block, change, check, reset, show, unblock, usage};
use crate::openapi::derived::{of_request, of_response};
use crate::openapi::schema::{
    any_of, between, count, list, named, number, object, one_of, or_null, tenant_id, text, time, told,
};
use crate::openapi::{Audience, Operation, Routes, delete, get, post};
use tidegate_web::access::CHECK_PATH;

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .schema("Tier", one_of(&["free", "basic", "premium", "enterprise"]))
        .schema("EffectiveLimits", effective_limits())
        .schema("OwnLimits", own_limits())
        .schema("Decision", of_response::<Answer>())
        .add(
            get("showLimiters", "/api/rate-limit", Audience::Reader, "Each limiter with its decisions")
                .ok(object([("limiters", list(limiter())), ("flagged", list(flagged()))])),
            show,
        )
        .add(
            post("changeLimits", "/api/rate-limit", Audience::Admin, "Changes a tenant's plan, or a limiter's quota")
                .body(changes(), json!({"tenant_id": "acme", "tier": "enterprise"}))
                .ok(json!({"anyOf": [
                    object([
                        ("tenant_id", text()),
                        ("tier", named("Tier")),
                        ("limits", named("OwnLimits")),
                        ("effective_limits", named("EffectiveLimits")),
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
                Audience::Admin,
                "Forgets what a key has used, its block and its strikes. On Redis, another process may repeat a refusal that it \
                 remembers for up to a second",
            ))
            .ok(of_response::<Reset>()),
            reset,
        )
        .add(
            post(
                "blockKey",
                "/api/rate-limit/block",
                Audience::Admin,
                "Blocks a key for a time, on every node",
            )
            .body(of_request::<NewBlock>(), json!({"limiter": "api", "key": "203.0.113.7", "seconds": 60}))
            .ok(of_response::<Blocked>())
            .fails(404, "There is no such limiter or tenant."),
            block,
        )
        .add(
            of_key(delete(
                "unblockKey",
                "/api/rate-limit/block",
                Audience::Admin,
                "Ends a key's block and forgets its violations",
            ))
            .ok(of_response::<Unblocked>()),
            unblock,
        )
        .add(
            post("checkLimit", CHECK_PATH, Audience::Service, "Decides about a request of a key, with or without a charge")
                .body(of_request::<Question>(), json!({"limiter": "api", "key": "user-7"}))
                .ok(named("Decision"))
                .fails(404, "There is no such limiter or tenant."),
            check,
        )
        .add(
            get(
                "showUsage",
                "/api/rate-limit/tenants/{id}",
                Audience::Reader,
                "The current plan of a tenant, and its usage",
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
        (
            "applied_quota",
            told(
                or_null(text()),
                "The quota by which this process decides: lower than `quota` while advice has lowered it.",
            ),
        ),
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

/// A tenant whose rate is far above its usual one.
fn flagged() -> Value {
    object([
        ("tenant_id", text()),
        ("since", time()),
        ("requests", told(count(), "Number of its requests to this process in the interval when it was flagged.")),
        ("usual", told(number(), "Its usual number of requests per interval.")),
        ("interval_seconds", number()),
    ])
}

fn effective_limits() -> Value {
    object([
        ("per_minute", count()),
        ("per_hour", count()),
        ("per_day", count()),
        ("max_users", told(or_null(count()), "`null` for any number.")),
    ])
}

/// A tenant's own limits, each in place of its tier's.
fn own_limits() -> Value {
    object([("per_minute?", limit()), ("per_hour?", limit()), ("per_day?", limit()), ("max_users?", seats())])
}

fn limit() -> Value {
    between(1, i64::try_from(Quota::MAX_LIMIT).unwrap_or(i64::MAX))
}

fn seats() -> Value {
    between(1, u32::MAX.into())
}

/// Either a tenant's plan, or a limiter's quota.
fn changes() -> Value {
    let changed =
        |schema: Value| told(or_null(schema), "`null` removes the tenant's own limit, so that the tier's applies.");
    let windows =
        || [("per_minute?", changed(limit())), ("per_hour?", changed(limit())), ("per_day?", changed(limit()))];
    let limits = |users| {
        let [minute, hour, day] = windows();
        object([minute, hour, day, (users, changed(seats()))])
    };
    let of_tenant = |name| {
        object([
            (name, tenant_id()),
            ("tier?", or_null(named("Tier"))),
            ("limits?", any_of([limits("max_users?"), told(limits("users?"), "`users` is the same as `max_users`.")])),
        ])
    };
    let quota = told(or_null(quota()), "For example `100/minute`; `null` for the quota from the settings.");
    any_of([
        of_tenant("tenant_id"),
        told(of_tenant("tenantId"), "`tenantId` is the same as `tenant_id`."),
        object([("limiter", told(text(), "A name that `GET /api/rate-limit` lists.")), ("quota", quota)]),
    ])
}

/// A rate without a burst. It may still be above the maximum of a limiter.
fn quota() -> Value {
    json!({
        "type": "string",
        "pattern": "^(?:[1-9][0-9]{0,2}/(?:second|minute|hour|day)| *[0-9]+ */ *[0-9]* *[A-Za-z]+ *)$",
        "examples": ["100/minute", "5/second"],
    })
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
        ("limits", named("OwnLimits")),
        ("effective_limits", named("EffectiveLimits")),
        ("epoch", count()),
    ])
}
