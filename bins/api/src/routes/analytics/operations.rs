//! Operations of `/api/analytics`.

use serde_json::json;

use super::show;
use crate::openapi::schema::{count, list, object, told};
use crate::openapi::{Circle, Routes, get};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let day = || json!({"type": "string", "format": "date"});
    let tally = object([
        ("day", day()),
        ("created", count()),
        ("updated", count()),
        ("imported", count()),
        ("reminders_sent", count()),
        ("views", told(count(), "Schedules read, one by one. Up to two seconds late.")),
    ]);
    routes.add(
        get("showAnalytics", "/api/analytics", Circle::Tenant, "The usage of the tenant, by day")
            .query("from", day(), "The first day; without it, 30 days up to `to`.")
            .query("to", day(), "The last day; without it, today.")
            .ok(object([("from", day()), ("to", day()), ("items", list(tally))])),
        show,
    )
}
