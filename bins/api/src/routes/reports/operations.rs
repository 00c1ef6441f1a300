//! Operations of `/api/reports`.

use serde_json::json;
use tidegate_domain::report::{LONGEST_DAYS, ReportKind};

use super::{create, show};
use crate::openapi::derived::of_response;
use crate::openapi::schema::{object, one_of, text, told};
use crate::openapi::{Audience, Routes, get, post};
use crate::routes::file_runs;
use tidegate_web::answer::Accepted;

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let from =
        told(text(), "A day, which begins in UTC, or an RFC 3339 time. A report of kind `usage` counts whole days.");
    let to = told(
        text(),
        &format!("Like `from`, and later by at most {LONGEST_DAYS} days. The report does not include this time."),
    );
    let asked = object([("kind", one_of(&ReportKind::ALL.map(ReportKind::name))), ("from", from), ("to", to)]);
    routes
        .add(
            post(
                "makeReport",
                "/api/reports",
                Audience::Tenant,
                "Starts a job that creates a report, as a page and as a table",
            )
            .repeatable("The same request, sent again, answers with the same report.")
            .body(asked, json!({"kind": "schedules", "from": "2030-01-01", "to": "2030-02-01"}))
            .accepted(of_response::<Accepted<'_>>()),
            create,
        )
        .add(
            get(
                "showReport",
                "/api/reports/{id}",
                Audience::Tenant,
                "The progress of a report, and the locations of its files",
            )
            .part("id", text(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
            .ok(of_response::<file_runs::RunView>()),
            show,
        )
}
