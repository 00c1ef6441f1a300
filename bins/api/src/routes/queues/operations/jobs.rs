//! Operations on single jobs.

use serde_json::{Value, json};

use super::super::{bulk, create, jobs, remove};
use super::ids::{SOME_GROUP, SOME_JOB, group_id, job_id, of_queue};
use crate::openapi::schema::{
    anything, between, count, flag, list, list_of, named, object, one_of, or_null, page, text, time, told,
};
use crate::openapi::{Audience, Operation, Routes, delete, get, post};

/// Ten years, in milliseconds.
const LONGEST_MS: i64 = 10 * 366 * 86_400_000;
const STATES: [&str; 7] = ["ready", "delayed", "waiting", "leased", "done", "dead", "cancelled"];

pub(super) fn schemas(routes: Routes) -> Routes {
    routes
        .schema("JobState", one_of(&STATES))
        .schema("Progress", object([("percent", between(0, 100)), ("message", text())]))
        .schema("Job", job())
        .schema("NewJob", new_job())
}

pub(super) fn add(routes: Routes) -> Routes {
    const ALL: &str = "/api/queue/{queue}/jobs";
    const ONE: &str = "/api/queue/{queue}/jobs/{id}";
    let of_job = |operation| of_queue(operation).part("id", text(), SOME_JOB);
    let again = |operation: Operation| {
        operation.repeatable("The same request, sent again with the same key, makes no second job.")
    };
    let act = |id, path, summary| {
        of_job(post(id, path, Audience::Admin, summary))
            .silent(204)
            .silent(202)
            .fails(409, "Its state doesn't allow it.")
    };
    let made = "A different job with this id or unique key exists, or its group takes no such job.";
    let bulk_answer = object([
        ("ids", list(text())),
        ("known", list(count())),
        ("duplicates", list(object([("index", count()), ("held_by", text())]))),
    ]);
    routes
        .add(
            of_queue(get("listJobs", ALL, Audience::Reader, "Jobs in a state"))
                .query("state", one_of(&STATES), "`ready` by default.")
                .paged(200)
                .ok(page(named("Job"))),
            jobs::list,
        )
        .add(
            of_queue(delete("deleteJobs", ALL, Audience::Admin, "Removes jobs that have ended, by id or by state"))
                .body(
                    json!({"oneOf": [
                        object([("ids", list_of(1, remove::MOST_IDS, job_id()))]),
                        object([
                            ("state", one_of(&["done", "dead", "cancelled"])),
                            ("limit", between(1, i64::try_from(remove::MOST).unwrap_or(i64::MAX))),
                        ]),
                    ]}),
                    json!({"ids": [SOME_JOB]}),
                )
                .ok(object([
                    ("queue", text()),
                    ("removed", count()),
                    ("missing", list(text())),
                    ("refused", list(object([("id", text()), ("state", named("JobState"))]))),
                    ("more", told(flag(), "Whether the time was over before `limit` was reached.")),
                ])),
            remove::remove,
        )
        .add(
            again(of_queue(post("createJob", ALL, Audience::Admin, "Enqueues a job")))
                .body(
                    named("NewJob"),
                    json!({"kind": "example", "payload": {"user": 7}, "id": SOME_JOB, "delay_ms": 3_600_000}),
                )
                .created(object([("id", text())]))
                .ok(object([("id", text())]))
                .fails(409, made),
            create::create,
        )
        .add(
            again(of_queue(post(
                "createJobs",
                "/api/queue/{queue}/jobs/bulk",
                Audience::Admin,
                "Enqueues many jobs, all or none",
            )))
            .body(
                object([("jobs", list_of(1, 1_000, named("NewJob")))]),
                json!({"jobs": [{"kind": "example", "payload": 1, "delay_ms": 3_600_000, "group": SOME_GROUP}]}),
            )
            .created(bulk_answer)
            .fails(409, made),
            bulk::create,
        )
        .add(of_job(get("showJob", ONE, Audience::Reader, "One job, without its payload")).ok(named("Job")), jobs::show)
        .add(
            of_job(delete("deleteJob", ONE, Audience::Admin, "Cancels a job that has not ended, removes one that has"))
                .silent(204)
                .silent(202)
                .fails(409, "Its state changed meanwhile."),
            jobs::delete,
        )
        .add(
            of_job(get(
                "listJobLogs",
                "/api/queue/{queue}/jobs/{id}/logs",
                Audience::Reader,
                "The last log lines of a job",
            ))
            .ok(page(object([("at", time()), ("delivery", count()), ("text", text())]))),
            jobs::logs,
        )
        .add(
            of_job(post(
                "cancelJob",
                "/api/queue/{queue}/jobs/{id}/cancel",
                Audience::Admin,
                "Cancels a job that has not ended; a repetition changes nothing",
            ))
            .ok(object([("id", text()), ("state", named("JobState"))]))
            .accepted(object([("id", text()), ("state", named("JobState"))]))
            .fails(409, "The job is done or dead."),
            jobs::cancel,
        )
        .add(
            act(
                "retryJob",
                "/api/queue/{queue}/jobs/{id}/retry",
                "Makes a dead, cancelled or delayed job ready at once",
            ),
            jobs::retry,
        )
        .add(
            act("promoteJob", "/api/queue/{queue}/jobs/{id}/promote", "Makes a delayed job ready at once"),
            jobs::promote,
        )
}

fn attempt() -> Value {
    object([("started_at", time()), ("ended_at", or_null(time())), ("error", or_null(text()))])
}

fn job() -> Value {
    object([
        ("id", text()),
        ("queue", text()),
        ("kind", text()),
        ("state", named("JobState")),
        ("priority", between(0, 4)),
        ("progress", or_null(named("Progress"))),
        ("attempts", list(attempt())),
        ("max_attempts", or_null(count())),
        ("created_at", time()),
        ("run_at", time()),
        ("finished_at", or_null(time())),
        ("result", anything()),
        ("note", or_null(text())),
        ("deliveries", count()),
        ("failures", count()),
        ("expires_at", or_null(time())),
        ("ordering_key", or_null(text())),
        ("unique_key", or_null(text())),
        ("group", or_null(text())),
    ])
}

fn new_job() -> Value {
    object([
        ("payload", told(json!({}), "Any JSON, up to 1 MiB.")),
        ("kind?", told(or_null(text()), "The queue's usual kind where it is left out.")),
        ("version?", or_null(between(1, u32::MAX.into()))),
        ("delay_ms?", or_null(between(0, LONGEST_MS))),
        ("run_at?", told(or_null(time()), "Not together with `delay_ms`.")),
        ("priority?", told(or_null(between(0, 4)), "0 is first.")),
        ("max_attempts?", or_null(between(1, 1_000))),
        ("unique_key?", told(or_null(text()), "One job at a time has this key.")),
        ("ordering_key?", told(or_null(text()), "Jobs of one key run one after the other.")),
        ("expires_in_ms?", or_null(between(1, LONGEST_MS))),
        ("timeout_ms?", or_null(between(1, 7 * 86_400_000))),
        ("group?", told(or_null(group_id()), "Counted under `/api/queue/batches/{group}`.")),
        ("id?", told(or_null(job_id()), "An id that the client chooses; not together with `Idempotency-Key`.")),
    ])
}
