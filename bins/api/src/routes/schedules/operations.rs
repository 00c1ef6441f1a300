//! Operations of `/api/schedules`.

use serde_json::{Value, json};
use tidegate_model::schedule::RawSchedule;
use tidegate_store::Schedule;

use super::{create, delete as remove, list, replace, show};
use crate::openapi::derived::{of_request, of_response};
use crate::openapi::schema::{named, page, uuid};
use crate::openapi::{Audience, Operation, Routes, delete, get, post, put};

/// An id that exists only if a test created it.
const SOME_ID: &str = "018f3c1e-7a4b-7c5d-8e9f-0123456789ab";

pub(in crate::routes) fn add(routes: Routes) -> Routes {
    const ONE: &str = "/api/schedules/{id}";
    let of_one = |operation: Operation| operation.part("id", uuid(), SOME_ID);
    routes
        .schema("Schedule", of_response::<Schedule>())
        .schema("NewSchedule", of_request::<RawSchedule>())
        .add(
            get("listSchedules", "/api/schedules", Audience::Tenant, "The tenant's schedules, by start")
                .paged(200)
                .revalidates()
                .ok(page(named("Schedule"))),
            list,
        )
        .add(
            post("createSchedule", "/api/schedules", Audience::Tenant, "Creates a schedule")
                .repeatable("The same request, sent again with the same key, makes no second schedule.")
                .body(named("NewSchedule"), example())
                .created(named("Schedule")),
            create,
        )
        .add(
            of_one(get("showSchedule", ONE, Audience::Tenant, "One schedule")).revalidates().ok(named("Schedule")),
            show,
        )
        .add(
            of_one(put("replaceSchedule", ONE, Audience::Tenant, "Replaces the content of a schedule"))
                .body(named("NewSchedule"), example())
                .ok(named("Schedule")),
            replace,
        )
        .add(of_one(delete("deleteSchedule", ONE, Audience::Tenant, "Deletes a schedule")).silent(204), remove)
}

fn example() -> Value {
    json!({
        "title": "Stand-up",
        "starts_at": "2030-01-07T09:00:00Z",
        "ends_at": "2030-01-07T09:15:00Z",
        "recurrence": "FREQ=WEEKLY;COUNT=10",
        "attendees": ["ada@example.org"],
    })
}
