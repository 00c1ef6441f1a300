//! Operations on groups of jobs.

use serde_json::{Value, json};
use tidegate_node::jobs::QUEUES;

use super::super::batches;
use super::ids::{SOME_GROUP, group_id};
use crate::openapi::schema::{anything, between, count, flag, object, one_of, or_null, text, time, told};
use crate::openapi::{Audience, Operation, Routes, delete, get, post};

/// Adds the operation that shows a group.
pub(super) fn show(routes: Routes) -> Routes {
    routes.add(
        get("showBatch", "/api/queue/batches/{id}", Audience::Reader, "The progress of a group of jobs")
            .part("id", text(), SOME_GROUP)
            .ok(batch())
            .fails(409, "The stored group can't be read."),
        batches::show,
    )
}

/// Adds the operations that change a group.
pub(super) fn change(routes: Routes) -> Routes {
    routes
        .add(
            post("createBatch", "/api/queue/batches", Audience::Admin, "Creates a group of jobs")
                .repeatable("The same request, sent again with the same key, makes no second group.")
                .body(new_batch(), json!({"queue": QUEUES.first(), "id": SOME_GROUP}))
                .created(batch())
                .fails(409, "A group of this id exists."),
            batches::create,
        )
        .add(
            of_batch(post(
                "sealBatch",
                "/api/queue/batches/{id}/seal",
                Audience::Admin,
                "Closes a group: it completes when its last job has ended",
            ))
            .ok(batch())
            .fails(409, "It was changed at the same time, or the stored group can't be read."),
            batches::seal,
        )
        .add(
            of_batch(delete(
                "forgetBatch",
                "/api/queue/batches/{id}",
                Audience::Admin,
                "Deletes a group; its jobs stay",
            ))
            .silent(204),
            batches::forget,
        )
}

fn of_batch(operation: Operation) -> Operation {
    operation.part("id", text(), SOME_GROUP)
}

fn new_batch() -> Value {
    let completion = object([
        ("queue", one_of(QUEUES)),
        ("kind?", told(or_null(text()), "The queue's usual kind by default.")),
        ("payload", anything()),
        ("on?", told(or_null(one_of(&["finished", "succeeded"])), "`finished` by default.")),
    ]);
    object([
        ("queue", one_of(QUEUES)),
        ("id?", told(or_null(group_id()), "An id that the client chooses; not together with `Idempotency-Key`.")),
        ("completion?", told(or_null(completion), "The job that is enqueued once when the group has completed.")),
    ])
}

fn batch() -> Value {
    let completion = object([("queue", text()), ("id", text())]);
    object([
        ("id", text()),
        ("queue", text()),
        ("total", count()),
        ("done", count()),
        ("dead", count()),
        ("cancelled", count()),
        ("pending", count()),
        ("sealed", flag()),
        ("created_at", or_null(time())),
        ("completed_at", or_null(time())),
        ("completion_job", or_null(completion)),
        ("percent", between(0, 100)),
    ])
}
