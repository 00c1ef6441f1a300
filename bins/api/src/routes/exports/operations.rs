//! Operations of `/api/schedules/export`.

use serde_json::json;

use super::{create, show};
use crate::openapi::derived::of_response;
use crate::openapi::schema::{object, one_of, text};
use crate::openapi::{Audience, Routes, get, post};
use crate::routes::file_runs;
use tidegate_web::answer::Accepted;

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .add(
            post(
                "exportSchedules",
                "/api/schedules/export",
                Audience::Tenant,
                "Starts a job that exports all schedules into a file",
            )
            .repeatable("The same request, sent again, answers with the same export.")
            .body(object([("format", one_of(&["csv", "ndjson"]))]), json!({"format": "csv"}))
            .accepted(of_response::<Accepted<'_>>()),
            create,
        )
        .add(
            get(
                "showExport",
                "/api/schedules/export/{id}",
                Audience::Tenant,
                "The progress of an export, and the location of its file",
            )
            .part("id", text(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
            .ok(of_response::<file_runs::RunView>()),
            show,
        )
}
