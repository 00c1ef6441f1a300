//! Operations of `/api/performance`.

use serde_json::json;

use super::{actions, show, silences};
use crate::openapi::schema::{
    anything, between, count, flag, list, map, named, number, object, one_of, open, or_null, text, text_of, told,
};
use crate::openapi::{Audience, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let what = "One part of it, such as `health`, `overall`, `in-flight`, `slow-apis`, `endpoints`, `operations`, `slow-operations`, \
                `slow-queries`, `trends`, `alerts`, `advice`, or `export` for all as a file. Without it, an overview.";
    routes
        .schema("Silence", silence())
        .add(
            get("showPerformance", "/api/performance", Audience::Reader, "The latency of the routes, and the health verdict")
                .query("type", text(), what)
                .query("window", one_of(&["1m", "5m", "1h", "24h"]), "The window of the figures; `5m` by default.")
                .query(
                    "sort",
                    one_of(&["p99", "p95", "mean", "count", "errors", "rate", "route"]),
                    "The figure by which endpoints and operations are sorted.",
                )
                .query("limit", between(1, 100), "Maximum length of a list.")
                .query("format", one_of(&["json", "csv"]), "`json` by default.")
                .answers_as(
                    200,
                    &[
                        ("application/json", told(json!({"type": ["object", "array", "null"]}), "By `type`; without it, an overview with `health`, `overall`, `window`, `operations`, `slow_apis` and `sections`.")),
                        ("text/csv", text()),
                    ],
                ),
            show,
        )
        .add(
            post("silenceAlert", "/api/performance/silences", Audience::Admin, "Silences an alert for a while")
                .body(
                    object([
                        ("rule", text()),
                        ("subject?", or_null(text())),
                        ("minutes", between(1, 43_200)),
                        ("reason", text_of(1, 500)),
                    ]),
                    json!({"rule": "p99", "minutes": 30, "reason": "a migration"}),
                )
                .ok(named("Silence")),
            silences::add,
        )
        .add(
            delete("liftSilence", "/api/performance/silences", Audience::Admin, "Ends a silence before its time")
                .needs("rule", text(), "p99")
                .query("subject", text(), "The same subject as when it was silenced.")
                .ok(object([("lifted", text())]))
                .fails(404, "There is no such silence."),
            silences::lift,
        )
        .add(
            post("switchActions", "/api/performance/actions", Audience::Admin, "Switches changes from advice on or off, on this instance")
                .body(object([("enabled", flag())]), json!({"enabled": false}))
                .ok(object([("enabled", flag())])),
            actions::switch,
        )
        .add(
            post("revertAction", "/api/performance/actions/{id}/revert", Audience::Admin, "Reverts a change")
                .part("id", count(), 1)
                .ok(open(object([
                    ("id", count()),
                    ("minute", count()),
                    ("actuator", text()),
                    ("from", number()),
                    ("to", number()),
                    ("advice", text()),
                    ("evidence", list(anything())),
                    ("outcome", map(anything())),
                ])))
                .fails(409, "The change is not active, or a later one has replaced it."),
            actions::revert,
        )
}

fn silence() -> serde_json::Value {
    object([("rule", text()), ("subject", or_null(text())), ("until_unix_ms", count()), ("reason", text())])
}
