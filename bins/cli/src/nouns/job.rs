//! `tidegate job`.

mod enqueue;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use self::enqueue::NewJob;
use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{Event, Limits, follow};
use crate::output::{self, Column, Kind, below, card, cell, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Job {
    /// List the jobs of a queue that are in a state
    List {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
        /// State of the jobs
        #[arg(long, default_value = "ready")]
        state: State,
        /// Maximum number of jobs, up to 200
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
        /// Cursor of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a job with its attempts
    Show(One),
    /// Show the last lines that the runs of a job wrote
    Logs(One),
    /// Enqueue a job
    Enqueue(Box<NewJob>),
    /// Make a dead, cancelled or delayed job ready
    Retry(One),
    /// Make a delayed job ready
    Promote(One),
    /// Cancel a job, or ask its worker to stop
    Cancel(One),
    /// Remove jobs that have ended, with result and log
    Delete {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
        /// Ids of the jobs
        #[arg(required = true, num_args = 1..=500, value_name = "ID", value_parser = parse::name)]
        ids: Vec<String>,
    },
    /// Follow what happens to jobs of queues that keep events (see `queue set --events on`)
    Tail {
        /// Queue to follow; all queues without it
        #[arg(value_parser = parse::queue)]
        queue: Option<String>,
        /// Job to follow
        #[arg(long, value_name = "ID", value_parser = parse::name)]
        id: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
}

/// A job by its queue and id.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Name of a queue
    #[arg(value_parser = parse::queue)]
    queue: String,
    /// The job's id
    #[arg(value_parser = parse::name)]
    id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Ready,
    Delayed,
    Waiting,
    Leased,
    Done,
    Dead,
    Cancelled,
}

const JOBS: [Column; 8] = [
    column("id", "/id", Kind::Text),
    column("kind", "/kind", Kind::Text),
    column("state", "/state", Kind::Text),
    column("priority", "/priority", Kind::Number),
    column("attempts", "/attempts", Kind::Length),
    column("progress %", "/progress/percent", Kind::Number),
    column("created", "/created_at", Kind::Text),
    column("run at", "/run_at", Kind::Text),
];

const JOB: [Column; 19] = [
    JOBS[0],
    column("queue", "/queue", Kind::Text),
    JOBS[1],
    JOBS[2],
    JOBS[3],
    JOBS[5],
    column("progress", "/progress/message", Kind::Text),
    JOBS[6],
    JOBS[7],
    column("finished", "/finished_at", Kind::Text),
    column("expires", "/expires_at", Kind::Text),
    column("max attempts", "/max_attempts", Kind::Number),
    column("deliveries", "/deliveries", Kind::Number),
    column("failures", "/failures", Kind::Number),
    column("group", "/group", Kind::Text),
    column("unique key", "/unique_key", Kind::Text),
    column("ordering key", "/ordering_key", Kind::Text),
    column("note", "/note", Kind::Text),
    column("result", "/result", Kind::Text),
];

const ATTEMPTS: [Column; 3] = [
    column("started", "/started_at", Kind::Text),
    column("ended", "/ended_at", Kind::Text),
    column("error", "/error", Kind::Text),
];

const LINES: [Column; 3] = [
    column("at", "/at", Kind::Text),
    column("delivery", "/delivery", Kind::Number),
    column("text", "/text", Kind::Text),
];

impl Job {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { queue, state, limit, cursor } => {
                let state = state.to_possible_value().map(|value| value.get_name().to_owned());
                let call = Call::get(["api", "queue", &queue, "jobs"]);
                let call = call.query("state", state).query("limit", limit).query("cursor", cursor);
                context.list(call, &JOBS).await
            }
            Self::Show(One { queue, id }) => {
                context.show(Call::get(["api", "queue", &queue, "jobs", &id]), shown).await
            }
            Self::Logs(One { queue, id }) => {
                context.list(Call::get(["api", "queue", &queue, "jobs", &id, "logs"]), &LINES).await
            }
            Self::Enqueue(job) => job.run(context).await,
            Self::Retry(job) => context.change(job.act("retry"), format!("job {} is ready", job.id)).await,
            Self::Promote(job) => context.change(job.act("promote"), format!("job {} is ready", job.id)).await,
            Self::Cancel(job) => context.show(job.act("cancel"), |answer| cancelled(&job.id, answer)).await,
            Self::Delete { queue, ids } => delete(context, &queue, &ids).await,
            Self::Tail { queue, id, limits } => tail(context, queue.as_deref(), id.as_deref(), limits).await,
        }
    }
}

impl One {
    fn act(&self, what: &str) -> Call {
        Call::post(["api", "queue", &self.queue, "jobs", &self.id, what])
    }
}

fn shown(job: &Value) -> String {
    below(card(job, &JOB), &job["attempts"], &ATTEMPTS)
}

fn cancelled(id: &str, answer: &Value) -> String {
    if answer["state"] == "leased" {
        format!("the worker of job {id} was asked to stop")
    } else {
        format!("job {id} is cancelled")
    }
}

async fn delete(context: &Context, queue: &str, ids: &[String]) -> Result<(), Failure> {
    let call = Call::delete(["api", "queue", queue, "jobs"]).body(json!({"ids": ids}));
    let answer = context.client.send(&call).await?;
    context.print(&answer, |answer| format!("removed {} jobs of {queue}", answer["removed"]))?;
    let value = answer.json()?;
    let mut left = Vec::new();
    for id in value["missing"].as_array().into_iter().flatten() {
        left.push(format!("there is no job `{}`", cell(id, Kind::Text)));
    }
    for job in value["refused"].as_array().into_iter().flatten() {
        let (id, state) = (cell(&job["id"], Kind::Text), cell(&job["state"], Kind::Text));
        left.push(format!("job `{id}` is {state}: cancel it first"));
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::Incomplete(left.join("; "))) }
}

async fn tail(context: &Context, queue: Option<&str>, id: Option<&str>, limits: Limits) -> Result<(), Failure> {
    if let Some(queue) = queue {
        let settings = context.client.send(&Call::get(["api", "queue", queue, "settings"])).await?.json()?;
        if settings["events"] != true {
            output::note(&format!(
                "queue {queue} keeps no events: `tidegate queue set {queue} --events on` changes that"
            ));
        }
    }
    let is_wanted = |wanted: Option<&str>, found: &Value| wanted.is_none_or(|wanted| found == wanted);
    follow(context, "jobs", limits, |event: &Event| match event.name.as_str() {
        "job" if is_wanted(queue, &event.data["queue"]) && is_wanted(id, &event.data["id"]) => Some(line(&event.data)),
        "job" => None,
        _ => Some(crate::follow::any_line(event)),
    })
    .await
}

fn line(event: &Value) -> String {
    let fields = ["at", "queue", "id", "event"].map(|name| cell(&event[name], Kind::Text));
    fields.join("  ")
}
