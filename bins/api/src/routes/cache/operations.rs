//! Operations of `/api/cache`.

use serde_json::json;

use super::{keys, purge, show, warm_up};
use crate::openapi::schema::{
    anything, between, count, flag, list, list_of, map, named, number, object, one_of, open, or_null, page, text, told,
};
use crate::openapi::{Audience, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let warm_up = object([
        ("state", one_of(&["running", "done", "cancelled"])),
        ("total", count()),
        ("loaded", count()),
        ("present", count()),
        ("failed", count()),
        ("unknown", count()),
        ("elapsed_ms", count()),
    ]);
    let class = told(text(), "A TTL class, or `all`.");
    let names = || list_of(0, 1_000, text());
    let begun = object([("warm_up", named("WarmUp"))]);
    routes
        .schema("WarmUp", warm_up)
        .add(
            get("showCache", "/api/cache", Audience::Reader, "The figures of the cache, by tier and by class")
                .ok(report()),
            show,
        )
        .add(
            post("warmUpCache", "/api/cache", Audience::Admin, "Begins to load the hottest keys")
                .needs("action", one_of(&["warmup"]), "warmup")
                .optional_body(
                    object([("type?", or_null(class.clone())), ("limit?", or_null(between(1, 100_000)))]),
                    json!({"type": "schedule", "limit": 10}),
                )
                .accepted(begun)
                .fails(409, "A warm-up is in progress."),
            warm_up::start,
        )
        .add(
            delete(
                "purgeCache",
                "/api/cache",
                Audience::Admin,
                "Removes the selected entries from the caches of all nodes",
            )
            .body(
                object([
                    ("pattern?", text()),
                    ("keys?", names()),
                    ("tags?", names()),
                    ("all?", flag()),
                    ("type?", class),
                ]),
                json!({"pattern": "schedule:*", "type": "schedule"}),
            )
            .ok(object([("removed", told(or_null(count()), "`null` if nothing was counted."))])),
            purge::drop_selected,
        )
        .add(
            get(
                "listCacheKeys",
                "/api/cache/keys",
                Audience::Admin,
                "Keys that this process holds in memory, never their values",
            )
            .query("key", text(), "A single key. No other field may be present.")
            .query("pattern", text(), "Keys that match.")
            .paged(200)
            .ok(json!({"anyOf": [page(named("CacheKey")), named("CacheKey")]}))
            .fails(404, "The memory of this process holds no such key."),
            keys::list,
        )
        .schema(
            "CacheKey",
            object([
                ("key", text()),
                ("class", text()),
                ("tier", text()),
                ("fresh_for_ms", or_null(count())),
                ("stale", flag()),
                ("weight", count()),
            ]),
        )
}

fn report() -> serde_json::Value {
    let rate = || or_null(number());
    let settings = object([
        ("ttl_seconds", number()),
        (
            "grace_seconds",
            told(number(), "Time after its end during which a value is served while the database fails or is slow."),
        ),
        (
            "soft_timeout_seconds",
            told(number(), "Time that a reader waits for the database before it takes the expired value."),
        ),
        ("refresh_ahead_seconds", number()),
        ("early_refresh", flag()),
        ("sliding_seconds", or_null(number())),
        ("wait_seconds", told(number(), "Maximum wait for another process that loads the same value.")),
    ]);
    let class = object([
        ("class", text()),
        ("ttl_seconds", count()),
        ("hits", count()),
        ("stale_hits", count()),
        ("misses", count()),
        ("shared_hits", count()),
        ("hit_rate", rate()),
        ("loads", count()),
        ("load_failures", count()),
        ("queued_loads", count()),
        ("refused_loads", count()),
        ("timeouts", count()),
        ("collapsed", count()),
        ("invalidations", count()),
        ("type_mismatches", count()),
        (
            "is_hit_rate_low",
            told(flag(), "Whether the class is under `performance.health: hit_rate`, after 100 lookups."),
        ),
        ("settings", or_null(settings)),
    ]);
    let tier = open(object([("tier", text()), ("hits", count()), ("misses", count()), ("hit_rate", rate())]));
    object([
        ("tiers", list(tier)),
        ("classes", list(class)),
        ("low_hit_rate", list(text())),
        ("warm_up", or_null(named("WarmUp"))),
        ("redis", told(or_null(list(map(anything()))), "The state of each Redis server in use.")),
        ("warnings", list(text())),
    ])
}
