//! Operations of `/api/analytics`.

use serde_json::json;

use super::{Usage, show};
use crate::openapi::derived::of_response;
use crate::openapi::{Audience, Routes, get};

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let day = || json!({"type": "string", "format": "date"});
    routes.add(
        get("showAnalytics", "/api/analytics", Audience::Tenant, "The usage of the tenant, by day")
            .query("from", day(), "The first day; without it, 30 days up to `to`.")
            .query("to", day(), "The last day; without it, today.")
            .ok(of_response::<Usage>()),
        show,
    )
}
