//! Operations on schedules that enqueue jobs.

use serde_json::{Value, json};
use tidegate_node::jobs::QUEUES;

use super::super::cron;
use super::ids::SOME_CRON;
use crate::openapi::schema::{
    any_of, between, count, flag, list, named, object, one_of, or_null, pattern, text, time, told,
};
use crate::openapi::{Audience, Operation, Routes, delete, get, post, put};

pub(super) fn schemas(routes: Routes) -> Routes {
    routes.schema("CronSchedule", cron_schedule())
}

pub(super) fn add(routes: Routes) -> Routes {
    const ALL: &str = "/api/queue/cron";
    const ONE: &str = "/api/queue/cron/{name}";
    let of_one = |operation: Operation| operation.part("name", text(), SOME_CRON);
    let act = |id, path, summary| {
        of_one(post(id, path, Audience::Admin, summary))
            .fails(409, "It was changed at the same time, or it can't be read.")
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
            get("listCron", ALL, Audience::Reader, "Schedules of recurring jobs").ok(object([
                ("items", list(named("CronSchedule"))),
                ("broken", list(broken)),
                ("next_cursor", or_null(text())),
            ])),
            cron::list,
        )
        .add(
            post("createCron", ALL, Audience::Admin, "Creates a schedule")
                .body(new_cron("name"), example(Some(SOME_CRON)))
                .created(named("CronSchedule"))
                .fails(409, "A schedule with this name exists."),
            cron::create,
        )
        .add(
            of_one(get("showCron", ONE, Audience::Reader, "One schedule"))
                .ok(named("CronSchedule"))
                .fails(409, "It can't be read."),
            cron::show,
        )
        .add(
            of_one(put("replaceCron", ONE, Audience::Admin, "Creates or replaces a schedule"))
                .body(new_cron("name?"), example(None))
                .ok(named("CronSchedule"))
                .created(named("CronSchedule"))
                .fails(409, "It was changed at the same time."),
            cron::replace,
        )
        .add(
            of_one(delete("deleteCron", ONE, Audience::Admin, "Deletes a schedule; its jobs stay"))
                .silent(204)
                .fails(409, "It was changed at the same time."),
            cron::remove,
        )
        .add(
            act("pauseCron", "/api/queue/cron/{name}/pause", "Pauses a schedule").ok(named("CronSchedule")),
            cron::pause,
        )
        .add(
            act("resumeCron", "/api/queue/cron/{name}/resume", "Resumes a schedule").ok(named("CronSchedule")),
            cron::resume,
        )
        .add(
            act("triggerCron", "/api/queue/cron/{name}/trigger", "Enqueues a job of the schedule now")
                .accepted(object([("job_id", text())])),
            cron::trigger,
        )
}

fn cron_terms() -> Value {
    let all = object([(
        "all",
        object([("at_most", told(between(1, 500), "How many of the latest missed times are made up."))]),
    )]);
    object([
        ("name?", pattern("^[A-Za-z0-9_.:-]{1,64}$")),
        ("expression?", told(expression(), "A cron expression, with `zone`; alternatively `every_ms`.")),
        ("zone?", told(zone(), "A time zone of the IANA; UTC by default.")),
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

/// The usual forms, and any other with five or six fields.
fn expression() -> Value {
    let field = |number: &str| format!("(?:\\*|{number}(?:,{number})?|\\*/[1-9])");
    let fields = [field("[1-5]?[0-9]"), field("(?:1?[0-9]|2[0-3])"), "\\*".into(), "\\*".into(), field("[0-6]")];
    any_of([
        one_of(&["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"]),
        pattern(&format!("^{}$", fields.join(" "))),
        told(
            pattern("^\\S+(?: +\\S+){4,5}$"),
            "Lists, ranges, steps, names and `L`, `W`, `#` as docs/reference/cron.md says.",
        ),
    ])
}

fn zone() -> Value {
    any_of([
        one_of(&["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"]),
        told(pattern("^[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}$"), "Any other zone by its name."),
    ])
}

/// The schema of a request, with an expression or an interval. `name` says whether a name is
/// required.
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

/// The schema of a response.
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
