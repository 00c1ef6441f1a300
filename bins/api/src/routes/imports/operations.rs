//! Operations of `/api/schedules/import`.

use super::view::ImportView;
use super::{create, rejects, show};
use crate::openapi::derived::of_response;
use crate::openapi::schema::text;
use crate::openapi::{Audience, Operation, Routes, get, post};
use tidegate_web::answer::Accepted;

const CSV: &str = "title,starts_at,ends_at,recurrence,attendees\n\
    Stand-up,2030-01-07T09:00:00Z,2030-01-07T09:15:00Z,,ada@example.org\n";
const NDJSON: &str =
    "{\"title\":\"Stand-up\",\"starts_at\":\"2030-01-07T09:00:00Z\",\"ends_at\":\"2030-01-07T09:15:00Z\"}\n";

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let of_one = |operation: Operation| operation.part("id", text(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab");
    routes
        .add(
            post(
                "importSchedules",
                "/api/schedules/import",
                Audience::Tenant,
                "Uploads a file of schedules, which a job imports",
            )
            .repeatable("The same request, sent again, answers with the same import; its file is not read.")
            .unjudged()
            .upload(&[("text/csv", CSV), ("application/x-ndjson", NDJSON)])
            .accepted(of_response::<Accepted<'_>>()),
            create,
        )
        .add(
            of_one(get(
                "showImport",
                "/api/schedules/import/{id}",
                Audience::Tenant,
                "The progress of an import, and its result",
            ))
            .ok(of_response::<ImportView>()),
            show,
        )
        .add(
            of_one(get(
                "listRejects",
                "/api/schedules/import/{id}/rejects",
                Audience::Tenant,
                "All rejected lines of an import, as a file",
            ))
            .answers_as(200, &[("text/csv", text())]),
            rejects,
        )
}
