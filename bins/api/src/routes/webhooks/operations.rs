//! Operations of `/api/webhooks`.

use serde_json::json;

use super::{CreatedWebhook, NewBody, Webhooks, create, delete as remove, list};
use crate::openapi::derived::{of_request, of_response};
use crate::openapi::schema::uuid;
use crate::openapi::{Audience, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    routes
        .add(
            get("listWebhooks", "/api/webhooks", Audience::Tenant, "The webhooks of the tenant")
                .ok(of_response::<Webhooks<'_>>()),
            list,
        )
        .add(
            post("createWebhook", "/api/webhooks", Audience::Tenant, "Creates a webhook for notifications")
                .body(of_request::<NewBody>(), json!({"url": "https://hooks.example/tidegate", "kinds": []}))
                .created(of_response::<CreatedWebhook<'_>>())
                .fails(409, "The tenant has reached its maximum."),
            create,
        )
        .add(
            delete("deleteWebhook", "/api/webhooks/{id}", Audience::Tenant, "Deletes a webhook")
                .part("id", uuid(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
                .silent(204),
            remove,
        )
}
