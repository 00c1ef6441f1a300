//! Operations of `/api/events`.

use axum::Extension;
use axum::handler::Handler;
use serde_json::Value;
use tidegate_telemetry::Topic;
use tokio_util::sync::CancellationToken;

use super::{Stop, follow};
use crate::openapi::schema::{pattern, text, told};
use crate::openapi::{Audience, Routes, get};

fn topics() -> Value {
    let names = Topic::ALL.map(Topic::name).join("|");
    pattern(&format!("^(?:{names})(?:,(?:{names}))*$"))
}

pub(in crate::routes) fn add(routes: Routes, stop: CancellationToken) -> Routes {
    let stream = told(text(), "Events `alert`, `health`, `queue`, `job` and `gap`; for an hour at most.");
    routes.add(
        get("followEvents", "/api/events", Audience::Reader, "Events of the service, as server-sent events")
            .query("topics", topics(), "Topics, separated by commas; without it, all but `queues` and `jobs`.")
            .header(
                "Last-Event-ID",
                text(),
                "The id of the last event that was received: events since then are sent first.",
            )
            .answers_as(200, &[("text/event-stream", stream)]),
        follow.layer(Extension(Stop(stop))),
    )
}
