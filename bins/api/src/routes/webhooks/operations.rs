//! Operations of `/api/webhooks`.

use serde_json::json;

use super::{CreatedWebhook, NewBody, Webhooks, create, delete as remove, list};
use crate::openapi::derived::{of_request, of_response};
use crate::openapi::schema::uuid;
use crate::openapi::{Circle, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .add(
            get("listWebhooks", "/api/webhooks", Circle::Tenant, "Where the tenant wants to be told")
                .ok(of_response::<Webhooks<'_>>()),
            list,
        )
        .add(
            post("createWebhook", "/api/webhooks", Circle::Tenant, "Has notifications sent there")
                .body(of_request::<NewBody>(), json!({"url": "https://hooks.example/tidegate", "kinds": []}))
                .created(of_response::<CreatedWebhook<'_>>())
                .fails(409, "The tenant has as many as it may have."),
            create,
        )
        .add(
            delete("deleteWebhook", "/api/webhooks/{id}", Circle::Tenant, "Has nothing more sent there")
                .part("id", uuid(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
                .silent(204),
            remove,
        )
}
