//! What `/api/tenants` offers.

use serde_json::{Value, json};

use super::{create, show};
use crate::openapi::schema::{count, named, object, text, text_of, time, told};
use crate::openapi::{Circle, Routes, get, post};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let body = object([
        ("id", json!({"type": "string", "pattern": "^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"})),
        ("name", text_of(1, 200)),
        ("tier?", named("Tier")),
        ("limits?", named("Overrides")),
    ]);
    let mut created = tenant();
    created["properties"]["api_key"] = told(text(), "The first key, shown this once.");
    routes
        .schema("Tenant", tenant())
        .add(
            post("createTenant", "/api/tenants", Circle::Admin, "Creates a tenant, with its first API key")
                .body(body, json!({"id": "acme", "name": "Acme", "tier": "enterprise"}))
                .created(created)
                .fails(409, "There is one of this id."),
            create,
        )
        .add(
            get("showTenant", "/api/tenants/{id}", Circle::TenantOrReader, "A tenant, and its plan")
                .part("id", text(), "acme")
                .ok(named("Tenant")),
            show,
        )
}

fn tenant() -> Value {
    object([
        ("id", text()),
        ("name", text()),
        ("tier", named("Tier")),
        ("overrides", named("Overrides")),
        ("limits", named("Limits")),
        ("epoch", count()),
        ("created_at", time()),
    ])
}
