//! The probes, which are served beside the API and described with it.

use serde_json::Value;

use crate::openapi::schema::{anything, between, list, map, object, one_of, open, or_null, text};
use crate::openapi::{Audience, Operation, Routes, get};

pub(super) fn describe(routes: Routes) -> Routes {
    let plain = |id, path, summary| get(id, path, Audience::Public, summary).answers_as(200, &[("text/plain", text())]);
    let may_fail = |operation: Operation| operation.answers_as(503, &[("text/plain", text())]);
    let figures = |operation: Operation| {
        operation.answers_as(401, &[("text/plain", text())]).answers_as(403, &[("text/plain", text())])
    };
    let health = || [("application/health+json", health())];
    routes
        .described(plain("live", "/livez", "Whether the process lives"))
        .described(may_fail(plain("ready", "/readyz", "Whether it can serve")))
        .described(may_fail(plain("started", "/startupz", "Whether it has begun to serve")))
        .described(
            get("health", "/health", Audience::Public, "How well it serves, and why")
                .answers_as(200, &health())
                .answers_as(503, &health()),
        )
        .described(figures(
            get("metrics", "/metrics", Audience::Public, "All figures, for Prometheus")
                .answers_as(200, &[("application/openmetrics-text", text())]),
        ))
}

/// Unauthenticated clients see `status` only.
fn health() -> Value {
    let reason = open(object([("component", text()), ("message", text())]));
    open(object([
        ("status", one_of(&["pass", "warn", "fail"])),
        ("health?", text()),
        ("score?", or_null(between(0, 100))),
        ("output?", or_null(text())),
        ("reasons?", list(reason)),
        ("checks?", map(list(map(anything())))),
    ]))
}
