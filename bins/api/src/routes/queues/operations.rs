//! What `/api/queue` offers.

use serde_json::{Value, json};
use tidegate_node::jobs::QUEUES;

use super::{actions, batches, bulk, create, cron, events, jobs, overview, remove, scans, settings};
use crate::openapi::schema::{
    any_of, anything, between, count, flag, list, list_of, named, number, object, one_of, open, or_null, page, pattern,
    text, time, told,
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

/// The form of a job's id.
fn job_id() -> Value {
    pattern("^[A-Za-z0-9_.:~-]{1,128}$")
}

/// The form of a group's id.
fn group_id() -> Value {
    pattern("^[A-Za-z0-9_.:-]{1,64}$")
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
    let made = "A job of this name or unique key is there, and is another, or its group takes no such job.";
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
            of_queue(delete("deleteJobs", ALL, Circle::Admin, "Removes jobs that have ended, by id or by state"))
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
            of_job(delete("deleteJob", ONE, Circle::Admin, "Cancels a job that has not ended, removes one that has"))
                .silent(204)
                .silent(202)
                .fails(409, "Its state changed meanwhile."),
            jobs::delete,
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
            of_job(post(
                "cancelJob",
                "/api/queue/{queue}/jobs/{id}/cancel",
                Circle::Admin,
                "Cancels a job that has not ended; sent again it changes nothing",
            ))
            .ok(object([("id", text()), ("state", named("JobState"))]))
            .accepted(object([("id", text()), ("state", named("JobState"))]))
            .fails(409, "It is done or dead."),
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
        .add(
            get("showBatch", "/api/queue/batches/{id}", Circle::Reader, "How far a group of jobs has come")
                .part("id", text(), SOME_GROUP)
                .ok(batch())
                .fails(409, "What is kept of it can't be read."),
            batches::show,
        )
        .add(
            of_scan(get("showScan", SCAN, Circle::Reader, "The pause between two pages of scans of a kind")).ok(scan()),
            scans::show,
        )
        .add(
            of_scan(put("replaceScan", SCAN, Circle::Admin, "Sets the pause between two pages of scans of a kind"))
                .body(object([("pause_ms", or_null(between(0, scans::LONGEST_PAUSE_MS)))]), json!({"pause_ms": 200}))
                .ok(scan())
                .fails(409, "Others change it, or it can't be read."),
            scans::replace,
        )
        .add(
            post("createBatch", "/api/queue/batches", Circle::Admin, "Creates a group of jobs")
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
                Circle::Admin,
                "Closes a group: it completes when its last job has ended",
            ))
            .ok(batch())
            .fails(409, "Others change it, or what is kept of it can't be read."),
            batches::seal,
        )
        .add(
            of_batch(delete("forgetBatch", "/api/queue/batches/{id}", Circle::Admin, "Forgets a group; its jobs stay"))
                .silent(204),
            batches::forget,
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
        ("group?", told(or_null(group_id()), "Counted under `/api/queue/batches/{group}`.")),
        ("id?", told(or_null(job_id()), "The client's own; not together with `Idempotency-Key`.")),
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
        ("running", told(count(), "0 for a lost worker: its jobs run again when their leases have expired.")),
        ("started_at", time()),
        ("last_seen", time()),
        ("lease_ms", count()),
        ("lost", told(flag(), "Whether the worker has not announced itself for two leases.")),
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
        ("recovered_total", count()),
        ("dropped_total", count()),
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
    let all = object([("all", object([("at_most", told(between(1, 500), "Of the latest missed times."))]))]);
    object([
        ("name?", pattern("^[A-Za-z0-9_.:-]{1,64}$")),
        ("expression?", told(expression(), "Of cron, with `zone`; in its place `every_ms`.")),
        ("zone?", told(zone(), "Of the IANA; UTC by default.")),
        ("every_ms?", between(1_000, 100 * 366 * 86_400_000)),
        ("queue", one_of(QUEUES)),
        ("kind?", pattern("^[A-Za-z0-9_.:/-]{1,128}$")),
        ("payload?", json!({})),
        ("version?", between(0, u32::MAX.into())),
        ("priority?", between(0, 4)),
        ("max_attempts?", or_null(between(0, u32::MAX.into()))),
        ("timeout_ms?", or_null(count())),
        ("catch_up?", any_of([one_of(&["skip", "once"]), all])),
        ("grace_ms?", between(0, 86_400_000)),
        ("overlap?", one_of(&["allow", "skip"])),
        ("paused?", flag()),
        ("until?", or_null(time())),
    ])
}

/// The usual forms, and any other of five or six fields.
fn expression() -> Value {
    let field = |number: &str| format!("(?:\\*|{number}(?:,{number})?|\\*/[1-9])");
    let fields = [field("[1-5]?[0-9]"), field("(?:1?[0-9]|2[0-3])"), "\\*".into(), "\\*".into(), field("[0-6]")];
    any_of([
        one_of(&["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"]),
        pattern(&format!("^{}$", fields.join(" "))),
        told(pattern("^\\S+(?: +\\S+){4,5}$"), "Lists, ranges, steps, names and `L`, `W`, `#` as docs/cron.md says."),
    ])
}

fn zone() -> Value {
    any_of([
        one_of(&["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"]),
        told(pattern("^[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}$"), "Any other zone by its name."),
    ])
}

/// As it is sent, with an expression or with an interval; `name` says whether it has to have one.
fn new_cron(name: &str) -> Value {
    let with = |needed: &str, others: &[&str]| {
        let mut terms = cron_terms();
        terms["required"] = if name.ends_with('?') { json!(["queue"]) } else { json!([name, "queue"]) };
        if let Some(required) = terms["required"].as_array_mut() {
            required.push(needed.into());
        }
        if let Some(properties) = terms["properties"].as_object_mut() {
            properties.retain(|property, _| !others.contains(&property.as_str()));
        }
        terms
    };
    any_of([with("expression", &["every_ms"]), with("every_ms", &["expression", "zone"])])
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

const SCAN: &str = "/api/queue/scans/{kind}";

fn of_scan(operation: Operation) -> Operation {
    operation.part("kind", one_of(&scans::KINDS), scans::KINDS[0])
}

fn scan() -> Value {
    object([("kind", text()), ("pause_ms", told(or_null(count()), "`null` for that of the worker."))])
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
        ("id?", told(or_null(group_id()), "The client's own; not together with `Idempotency-Key`.")),
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
