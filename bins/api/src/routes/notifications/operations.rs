//! Operations of `/api/notifications`.

use axum::Extension;
use axum::handler::Handler;
use tokio_util::sync::CancellationToken;

use super::{follow, list};
use crate::openapi::schema::{anything, between, count, list as many, object, or_null, text, time, told};
use crate::openapi::{Audience, Routes, get};
use crate::routes::events::Stop;

pub(in crate::routes) fn add(routes: Routes, stop: CancellationToken) -> Routes {
    let notification =
        object([("seq", count()), ("kind", text()), ("user", or_null(text())), ("at", time()), ("body", anything())]);
    let page = object([
        ("items", many(notification)),
        ("next_after", told(or_null(count()), "Where the next page begins; null after the last one.")),
        ("last", told(count(), "The newest `seq`.")),
        ("gone", told(count(), "Notifications up to this `seq` are no longer stored.")),
    ]);
    let stream = told(text(), "Events `notification` and `gap`.");
    routes
        .add(
            get(
                "listNotifications",
                "/api/notifications",
                Audience::Tenant,
                "The notifications of the tenant, oldest first",
            )
            .query("after", count(), "Only those after this `seq`.")
            .query("limit", between(1, 200), "Maximum number of items.")
            .ok(page),
            list,
        )
        .add(
            get(
                "followNotifications",
                "/api/notifications/events",
                Audience::Tenant,
                "The notifications as server-sent events",
            )
            .query("after", count(), "Begins after this `seq`.")
            .header("Last-Event-ID", text(), "The id of the last event that was received; it overrides `after`.")
            .answers_as(200, &[("text/event-stream", stream)]),
            follow.layer(Extension(Stop(stop))),
        )
}
