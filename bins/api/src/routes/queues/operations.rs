//! What `/api/queue` offers.

use serde_json::{Value, json};
use tidegate_app::jobs::QUEUES;

use super::{actions, batches, bulk, create, cron, events, jobs, overview, settings};
use crate::openapi::schema::{
    anything, between, count, flag, list, list_of, named, number, object, one_of, open, or_null, page, text, time, told,
};
use crate::openapi::{Circle, Operation, Routes, delete, get, post, put};

/// Examples of names that the client chooses.
const SOME_JOB: &str = "job-7";
const SOME_CRON: &str = "nightly";
const SOME_GROUP: &str = "group-7";
/// Ten years, in milliseconds.
const LONGEST_MS: i64 = 10 * 366 * 86_400_000;
const STATES: [&str; 7] = ["ready", "delayed", "waiting", "leased", "done", "dead", "cancelled"];

/// The names `cron` and `batches` are no queues' here.
pub(in crate::routes) fn add(routes: Routes) -> Routes {
    let routes = routes
        .schema("JobState", one_of(&STATES))
        .schema("Progress", object([("percent", between(0, 100)), ("message", text())]))
        .schema("Job", job())
        .schema("NewJob", new_job())
        .schema("Queue", queue())
        .schema("QueueSettings", queue_settings(&["max_running", "rate", "events"]))
        .schema("CronSchedule", cron_schedule());
    crons(single_jobs(whole_queues(routes)))
}

fn of_queue(operation: Operation) -> Operation {
    operation.part("queue", one_of(QUEUES), QUEUES.first().copied().unwrap_or_default())
}

fn whole_queues(routes: Routes) -> Routes {
    let moved = || object([("queue", text()), ("moved", count()), ("more", flag())]);
    let paused = || object([("queue", text()), ("paused", flag())]);
    let read = |id, path, summary| of_queue(get(id, path, Circle::Reader, summary));
    let change = |id, path, summary| of_queue(post(id, path, Circle::Admin, summary));
    routes
        .add(get("listQueues", "/api/queue", Circle::Reader, "Every queue").ok(page(named("Queue"))), overview::list)
        .add(read("showQueue", "/api/queue/{queue}", "One queue").ok(named("Queue")), overview::show)
        .add(
            read("showQueueSettings", "/api/queue/{queue}/settings", "What holds for all workers of a queue")
                .ok(named("QueueSettings")),
            settings::show,
        )
        .add(
            of_queue(put("replaceQueueSettings", "/api/queue/{queue}/settings", Circle::Admin, "Sets them all"))
                .body(
                    queue_settings(&[]),
                    json!({"max_running": 8, "rate": {"jobs": 100, "per_ms": 1000}, "events": true}),
                )
                .ok(named("QueueSettings")),
            settings::replace,
        )
        .add(
            read(
                "listQueueEvents",
                "/api/queue/{queue}/events",
                "What happened in a queue whose settings have `events`",
            )
            .query("after", text(), "`next_cursor` of the page before; without it only where to go on from.")
            .query("limit", between(1, 1_000), "How many at most.")
            .ok(object([("items", list(event())), ("next_cursor", text()), ("enabled", flag())])),
            events::list,
        )
        .add(change("pauseQueue", "/api/queue/{queue}/pause", "Has workers take nothing").ok(paused()), actions::pause)
        .add(
            change("resumeQueue", "/api/queue/{queue}/resume", "Has workers take jobs again").ok(paused()),
            actions::resume,
        )
        .add(
            change("drainQueue", "/api/queue/{queue}/drain", "Cancels all that has not started").ok(moved()),
            actions::drain,
        )
        .add(
            change("retryDead", "/api/queue/{queue}/retry-dead", "Makes those ready that are dead now").ok(moved()),
            actions::retry_dead,
        )
        .add(
            change("cleanQueue", "/api/queue/{queue}/clean", "Removes finished jobs that ended long enough ago")
                .body(
                    object([("state", one_of(&["done", "dead", "cancelled"])), ("older_than_s", count())]),
                    json!({"state": "done", "older_than_s": 86400}),
                )
                .ok(object([("queue", text()), ("removed", count()), ("more", flag())])),
            actions::clean,
        )
}

fn single_jobs(routes: Routes) -> Routes {
    const ALL: &str = "/api/queue/{queue}/jobs";
    const ONE: &str = "/api/queue/{queue}/jobs/{id}";
    let of_job = |operation| of_queue(operation).part("id", text(), SOME_JOB);
    let again = |operation: Operation| {
        operation.repeatable("The same request, sent again with the same key, makes no second job.")
    };
    let act = |id, path, summary| {
        of_job(post(id, path, Circle::Admin, summary)).silent(204).silent(202).fails(409, "Its state doesn't allow it.")
    };
    let made = "A job of this name or unique key is there, and is another.";
    let bulk_answer = object([
        ("ids", list(text())),
        ("known", list(count())),
        ("duplicates", list(object([("index", count()), ("held_by", text())]))),
    ]);
    routes
        .add(
            of_queue(get("listJobs", ALL, Circle::Reader, "Jobs in a state"))
                .query("state", one_of(&STATES), "`ready` by default.")
                .paged(200)
                .ok(page(named("Job"))),
            jobs::list,
        )
        .add(
            again(of_queue(post("createJob", ALL, Circle::Admin, "Enqueues a job")))
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
                Circle::Admin,
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
        .add(of_job(get("showJob", ONE, Circle::Reader, "One job, without its payload")).ok(named("Job")), jobs::show)
        .add(
            of_job(delete(
                "cancelJob",
                ONE,
                Circle::Admin,
                "Cancels a job; the worker of one that runs is asked to stop",
            ))
            .silent(204)
            .silent(202)
            .fails(409, "Its state doesn't allow it."),
            jobs::cancel,
        )
        .add(
            of_job(get(
                "listJobLogs",
                "/api/queue/{queue}/jobs/{id}/logs",
                Circle::Reader,
                "The last lines that its runs wrote",
            ))
            .ok(page(object([("at", time()), ("delivery", count()), ("text", text())]))),
            jobs::logs,
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
        .add(
            get("showBatch", "/api/queue/batches/{id}", Circle::Reader, "How far a group of jobs has come")
                .part("id", text(), SOME_GROUP)
                .ok(batch())
                .fails(409, "What is kept of it can't be read."),
            batches::show,
        )
}

fn crons(routes: Routes) -> Routes {
    const ALL: &str = "/api/queue/cron";
    const ONE: &str = "/api/queue/cron/{name}";
    let of_one = |operation: Operation| operation.part("name", text(), SOME_CRON);
    let act = |id, path, summary| {
        of_one(post(id, path, Circle::Admin, summary)).fails(409, "Others change it, or it can't be read.")
    };
    let example = |name: Option<&str>| {
        let mut example =
            json!({"queue": QUEUES.first(), "kind": "example", "expression": "0 3 * * *", "zone": "Europe/Berlin"});
        if let Some(name) = name {
            example["name"] = name.into();
        }
        example
    };
    let broken = object([("name", text()), ("fault", text())]);
    routes
        .add(
            get("listCron", ALL, Circle::Reader, "Schedules that enqueue jobs again and again").ok(object([
                ("items", list(named("CronSchedule"))),
                ("broken", list(broken)),
                ("next_cursor", or_null(text())),
            ])),
            cron::list,
        )
        .add(
            post("createCron", ALL, Circle::Admin, "Adds a schedule")
                .body(new_cron("name"), example(Some(SOME_CRON)))
                .created(named("CronSchedule"))
                .fails(409, "There is one of this name."),
            cron::create,
        )
        .add(
            of_one(get("showCron", ONE, Circle::Reader, "One schedule"))
                .ok(named("CronSchedule"))
                .fails(409, "It can't be read."),
            cron::show,
        )
        .add(
            of_one(put("replaceCron", ONE, Circle::Admin, "Adds a schedule, or gives it other terms"))
                .body(new_cron("name?"), example(None))
                .ok(named("CronSchedule"))
                .created(named("CronSchedule"))
                .fails(409, "Others change it."),
            cron::replace,
        )
        .add(
            of_one(delete("deleteCron", ONE, Circle::Admin, "Forgets a schedule; its jobs stay"))
                .silent(204)
                .fails(409, "Others change it."),
            cron::remove,
        )
        .add(
            act("pauseCron", "/api/queue/cron/{name}/pause", "Has it make no jobs").ok(named("CronSchedule")),
            cron::pause,
        )
        .add(
            act("resumeCron", "/api/queue/cron/{name}/resume", "Has it make jobs again").ok(named("CronSchedule")),
            cron::resume,
        )
        .add(
            act("triggerCron", "/api/queue/cron/{name}/trigger", "Enqueues a job of it out of turn")
                .accepted(object([("job_id", text())])),
            cron::trigger,
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
        ("group?", told(or_null(text()), "Counted under `/api/queue/batches/{group}`.")),
        ("id?", told(or_null(text()), "The client's own; not together with `Idempotency-Key`.")),
    ])
}

fn queue() -> Value {
    let percentiles = || object([("p50", or_null(number())), ("p99", or_null(number())), ("samples", count())]);
    let rates = object([
        ("window_seconds", number()),
        ("enqueued_per_second", number()),
        ("completed_per_second", number()),
        ("failed_per_second", number()),
        ("retried_per_second", number()),
    ]);
    let worker = object([
        ("id", text()),
        ("pid", count()),
        ("queues", list(text())),
        ("running", count()),
        ("started_at", time()),
        ("last_seen", time()),
    ]);
    let latency =
        object([("queue_wait_ms", percentiles()), ("run_time_ms", percentiles()), ("window_seconds", count())]);
    object([
        ("queue", text()),
        ("ready", count()),
        ("delayed", count()),
        ("waiting", count()),
        ("leased", count()),
        ("done", count()),
        ("dead", count()),
        ("cancelled", count()),
        ("oldest_ready_age_seconds", or_null(number())),
        ("paused", flag()),
        ("completed_total", count()),
        ("failed_total", count()),
        ("retried_total", count()),
        ("reclaimed_total", count()),
        ("stale_acks_total", count()),
        ("rates", or_null(rates)),
        ("latency", or_null(latency)),
        ("settings", named("QueueSettings")),
        ("workers", list(worker)),
    ])
}

fn queue_settings(required: &[&str]) -> Value {
    let rate = object([("jobs", between(1, u32::MAX.into())), ("per_ms", between(1, 86_400_000))]);
    let mut settings = object([
        ("max_running?", told(or_null(between(1, u32::MAX.into())), "Jobs that run at a time; any number without it.")),
        ("rate?", told(or_null(rate), "Jobs that begin within a time.")),
        ("events?", told(flag(), "Whether events are kept.")),
    ]);
    settings["required"] = json!(required);
    settings
}

fn event() -> Value {
    open(object([("at", time()), ("id", text()), ("event", text())]))
}

fn cron_terms() -> Value {
    object([
        ("name?", text()),
        ("expression?", told(text(), "Of cron, with `zone`; in its place `every_ms`.")),
        ("zone?", told(text(), "Of the IANA; UTC by default.")),
        ("every_ms?", count()),
        ("queue", one_of(QUEUES)),
        ("kind?", text()),
        ("payload?", json!({})),
        ("version?", count()),
        ("priority?", between(0, 4)),
        ("max_attempts?", or_null(count())),
        ("timeout_ms?", or_null(count())),
        ("catch_up?", one_of(&["skip", "once"])),
        ("grace_ms?", count()),
        ("overlap?", one_of(&["allow", "skip"])),
        ("paused?", flag()),
        ("until?", or_null(time())),
    ])
}

/// As it is sent; `name` says whether it has to have one.
fn new_cron(name: &str) -> Value {
    let mut terms = cron_terms();
    terms["required"] = if name.ends_with('?') { json!(["queue"]) } else { json!([name, "queue"]) };
    terms
}

/// As it is shown.
fn cron_schedule() -> Value {
    let mut shown = cron_terms();
    let last = object([("due", time()), ("at", time()), ("job", text()), ("skipped", flag())]);
    shown["properties"]["next"] = or_null(time());
    shown["properties"]["last"] = or_null(last);
    shown["required"] = json!([
        "name",
        "queue",
        "kind",
        "payload",
        "version",
        "priority",
        "max_attempts",
        "timeout_ms",
        "catch_up",
        "grace_ms",
        "overlap",
        "paused",
        "until",
        "next",
        "last"
    ]);
    shown
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
