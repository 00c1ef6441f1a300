//! What `/api/schedules/export` offers.

use serde_json::json;

use super::{create, show};
use crate::openapi::schema::{anything, named, object, one_of, or_null, text, time};
use crate::openapi::{Circle, Routes, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let export = object([
        ("id", text()),
        ("state", named("JobState")),
        ("progress", or_null(named("Progress"))),
        ("created_at", time()),
        ("finished_at", or_null(time())),
        ("result", anything()),
    ]);
    routes
        .add(
            post(
                "exportSchedules",
                "/api/schedules/export",
                Circle::Tenant,
                "Has a job write all schedules into a file",
            )
            .body(object([("format", one_of(&["csv", "ndjson"]))]), json!({"format": "csv"}))
            .accepted(object([("job_id", text()), ("location", text())])),
            create,
        )
        .add(
            get(
                "showExport",
                "/api/schedules/export/{id}",
                Circle::Tenant,
                "How far an export is, and where its file lies",
            )
            .part("id", text(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
            .ok(export),
            show,
        )
}
