//! Operations of `/api/session`.

use serde_json::json;

use super::{SessionView, begin, end, show};
use crate::openapi::derived::of_response;
use crate::openapi::schema::{any_of, named, object, text, told};
use crate::openapi::{Audience, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    const PATH: &str = "/api/session";
    let login_with = |tenant| object([(tenant, text()), ("email", text()), ("password", text())]);
    let other_name = told(login_with("tenantId"), "`tenantId` is the same as `tenant_id`.");
    let login = any_of([login_with("tenant_id"), other_name]);
    let example = json!({"tenant_id": "acme", "email": "ada@example.org", "password": "correct horse battery staple"});
    routes
        .schema("Session", of_response::<SessionView<'_>>())
        .add(
            post("beginSession", PATH, Audience::Public, "Logs a user in: the answer sets the cookie of a session")
                .unjudged()
                .body(login, example)
                .created(named("Session"))
                .fails(401, "There is no user of that tenant with that e-mail and password.")
                .fails(403, "The request was sent from another site.")
                .fails(429, "Too many attempts; `Retry-After` says when to retry."),
            begin,
        )
        .add(
            get("showSession", PATH, Audience::Tenant, "The user of the session cookie")
                .ok(named("Session"))
                .fails(404, "The request has no session."),
            show,
        )
        .add(
            delete("endSession", PATH, Audience::Public, "Logs out, on every instance")
                .silent(204)
                .fails(403, "The request was sent from another site.")
                .fails(429, "Too many invalid sessions."),
            end,
        )
}
