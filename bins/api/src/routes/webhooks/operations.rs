//! Operations of `/api/webhooks`.

use serde_json::json;

use super::{create, delete as remove, list};
use crate::openapi::schema::{list as many, object, or_null, text, time, told, uuid};
use crate::openapi::{Circle, Routes, delete, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let webhook = object([
        ("id", uuid()),
        ("url", text()),
        ("kinds", many(text())),
        ("created_at", time()),
        ("disabled_at", told(or_null(time()), "Since when nothing is sent to it, because it asked for that.")),
    ]);
    let mut created = webhook.clone();
    created["properties"]["secret"] = told(text(), "The key that signs deliveries; shown only once.");
    routes
        .add(
            get("listWebhooks", "/api/webhooks", Circle::Tenant, "The webhooks of the tenant")
                .ok(object([("items", many(webhook))])),
            list,
        )
        .add(
            post("createWebhook", "/api/webhooks", Circle::Tenant, "Creates a webhook for notifications")
                .body(
                    object([
                        ("url", text()),
                        ("kinds?", told(many(text()), "Kinds of notifications; all without it.")),
                    ]),
                    json!({"url": "https://hooks.example/tidegate", "kinds": []}),
                )
                .created(created)
                .fails(409, "The tenant has reached its maximum."),
            create,
        )
        .add(
            delete("deleteWebhook", "/api/webhooks/{id}", Circle::Tenant, "Deletes a webhook")
                .part("id", uuid(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab")
                .silent(204),
            remove,
        )
}
