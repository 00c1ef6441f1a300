//! Operations of `/api/files`.

use super::show;
use crate::openapi::schema::text;
use crate::openapi::{Audience, Routes, get};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes.add(
        get("readFile", "/api/files/{id}", Audience::Tenant, "A file that a job wrote for the tenant")
            .part("id", text(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
            .revalidates()
            .answers_as(200, &[("text/csv", text()), ("text/html", text()), ("application/x-ndjson", text())]),
        show,
    )
}
