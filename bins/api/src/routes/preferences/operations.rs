//! Operations of `/api/preferences`.

use serde_json::json;

use super::{replace, show};
use crate::openapi::schema::{anything, map, uuid};
use crate::openapi::{Audience, Operation, Routes, get, put};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    const PATH: &str = "/api/preferences/{user}";
    let of_user = |operation: Operation| operation.part("user", uuid(), "018f3c1e-7a4b-7c5d-8e9f-0123456789ab");
    let preferences = || map(anything());
    routes
        .add(
            of_user(get("showPreferences", PATH, Audience::Tenant, "The preferences of a user"))
                .revalidates()
                .ok(preferences()),
            show,
        )
        .add(
            of_user(put(
                "replacePreferences",
                PATH,
                Audience::Tenant,
                "Replaces the preferences of a user, up to 64 KiB",
            ))
            .body(preferences(), json!({"theme": "dark"}))
            .ok(preferences()),
            replace,
        )
}
