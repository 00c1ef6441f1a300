//! `tidegate cron`.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Column, Kind, card, cell, column, table};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Cron {
    /// List all schedules
    List,
    /// Show a schedule
    Show(Name),
    /// Add a schedule
    Add(NewSchedule),
    /// Have a schedule enqueue no jobs
    Pause(Name),
    /// Have a schedule enqueue jobs again
    Resume(Name),
    /// Enqueue a job of a schedule now
    Run(Name),
    /// Delete a schedule; its jobs stay
    Delete(Name),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the schedule
    #[arg(value_parser = parse::name)]
    name: String,
}

/// A schedule to add.
#[derive(Debug, Args)]
pub(crate) struct NewSchedule {
    /// Name of the schedule
    #[arg(value_parser = parse::name)]
    name: String,
    /// Queue of the jobs
    #[arg(long, value_parser = parse::queue)]
    queue: String,
    #[command(flatten)]
    times: Times,
    /// Time zone of the expression, UTC by default
    #[arg(long, requires = "expression")]
    zone: Option<String>,
    /// Kind of the jobs; without it the queue's usual kind
    #[arg(long)]
    kind: Option<String>,
    /// Payload of the jobs as JSON
    #[arg(long, value_name = "JSON", value_parser = parse::json, default_value = "{}")]
    payload: Value,
    /// Replace the schedule if there is one of this name
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Times {
    /// Cron expression, such as "30 2 * * *"
    #[arg(long)]
    expression: Option<String>,
    /// Time between two jobs
    #[arg(long, value_name = "TIME", value_parser = parse::millis)]
    every: Option<u64>,
}

const SCHEDULES: [Column; 7] = [
    column("name", "/name", Kind::Text),
    column("expression", "/expression", Kind::Text),
    column("zone", "/zone", Kind::Text),
    column("every", "/every_ms", Kind::Millis),
    column("queue", "/queue", Kind::Text),
    column("paused", "/paused", Kind::Text),
    column("next", "/next", Kind::Text),
];

const SCHEDULE: [Column; 16] = [
    SCHEDULES[0],
    SCHEDULES[1],
    SCHEDULES[2],
    SCHEDULES[3],
    SCHEDULES[4],
    column("kind", "/kind", Kind::Text),
    column("payload", "/payload", Kind::Text),
    SCHEDULES[5],
    SCHEDULES[6],
    column("last due", "/last/due", Kind::Text),
    column("last job", "/last/job", Kind::Text),
    column("catch up", "/catch_up", Kind::Text),
    column("overlap", "/overlap", Kind::Text),
    column("priority", "/priority", Kind::Number),
    column("max attempts", "/max_attempts", Kind::Number),
    column("until", "/until", Kind::Text),
];

impl Cron {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.show(Call::get(["api", "queue", "cron"]), listed).await,
            Self::Show(Name { name }) => context.show(Call::get(["api", "queue", "cron", &name]), shown).await,
            Self::Add(schedule) => context.show(schedule.call(), shown).await,
            Self::Pause(Name { name }) => {
                context.change(act(&name, "pause"), format!("schedule {name} is paused")).await
            }
            Self::Resume(Name { name }) => context.show(act(&name, "resume"), shown).await,
            Self::Run(Name { name }) => {
                context.show(act(&name, "trigger"), |answer| cell(&answer["job_id"], Kind::Text)).await
            }
            Self::Delete(Name { name }) => {
                let call = Call::delete(["api", "queue", "cron", &name]);
                context.change(call, format!("schedule {name} is deleted")).await
            }
        }
    }
}

fn act(name: &str, what: &str) -> Call {
    Call::post(["api", "queue", "cron", name, what])
}

fn shown(schedule: &Value) -> String {
    card(schedule, &SCHEDULE)
}

fn listed(answer: &Value) -> String {
    for broken in answer["broken"].as_array().into_iter().flatten() {
        let (name, fault) = (cell(&broken["name"], Kind::Text), cell(&broken["fault"], Kind::Text));
        output::note(&format!("schedule {name} can't be read: {fault}"));
    }
    table(&answer["items"], &SCHEDULES)
}

impl NewSchedule {
    fn call(self) -> Call {
        let Self { name, queue, times, zone, kind, payload, replace } = self;
        let call =
            if replace { Call::put(["api", "queue", "cron", &name]) } else { Call::post(["api", "queue", "cron"]) };
        call.body(object([
            ("name", Some(name.into())),
            ("queue", Some(queue.into())),
            ("expression", times.expression.map(Value::from)),
            ("zone", zone.map(Value::from)),
            ("every_ms", times.every.map(Value::from)),
            ("kind", kind.map(Value::from)),
            ("payload", Some(payload)),
        ]))
    }
}
