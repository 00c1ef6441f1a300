//! `tidegate queue`.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, below, card, column};
use crate::parse::{self, OrNone, Rate};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Queue {
    /// List all queues with the number of jobs by state
    List,
    /// Show a queue: jobs, rates, workers
    Show {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Have workers take no more jobs
    Pause {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Have workers take jobs again
    Resume {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Cancel all jobs that have not started
    Drain {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Make all dead jobs ready
    RetryDead {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Remove jobs that ended long enough ago
    Clean {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
        /// State of the jobs to remove
        #[arg(long)]
        state: Ended,
        /// Time since they ended
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::seconds)]
        older_than: u64,
    },
    /// Show what holds for all workers of a queue
    Settings {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
    },
    /// Change what holds for all workers of a queue; what is not named stays
    #[command(arg_required_else_help = true)]
    Set {
        /// Name of a queue
        #[arg(value_parser = parse::queue)]
        queue: String,
        /// Jobs that run at a time, or none for any number
        #[arg(long, value_name = "NUMBER", value_parser = parse::number_or_none)]
        max_running: Option<OrNone>,
        /// Jobs that begin within a time, such as 100/1s, or none for any number
        #[arg(long, value_name = "RATE", value_parser = parse::rate)]
        rate: Option<Rate>,
        /// Whether events of jobs are kept, which `job tail` needs
        #[arg(long, value_name = "on|off")]
        events: Option<OnOff>,
    },
}

/// States of jobs that may be removed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Ended {
    Done,
    Dead,
    Cancelled,
}

impl Ended {
    const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

const QUEUES: [Column; 10] = [
    column("queue", "/queue", Kind::Text),
    column("ready", "/ready", Kind::Number),
    column("delayed", "/delayed", Kind::Number),
    column("waiting", "/waiting", Kind::Number),
    column("leased", "/leased", Kind::Number),
    column("done", "/done", Kind::Number),
    column("dead", "/dead", Kind::Number),
    column("cancelled", "/cancelled", Kind::Number),
    column("oldest", "/oldest_ready_age_seconds", Kind::Seconds),
    column("paused", "/paused", Kind::Text),
];

const QUEUE: [Column; 20] = [
    QUEUES[0],
    QUEUES[9],
    QUEUES[1],
    QUEUES[2],
    QUEUES[3],
    QUEUES[4],
    QUEUES[5],
    QUEUES[6],
    QUEUES[7],
    column("oldest ready", "/oldest_ready_age_seconds", Kind::Seconds),
    column("enqueued per second", "/rates/enqueued_per_second", Kind::Number),
    column("completed per second", "/rates/completed_per_second", Kind::Number),
    column("failed per second", "/rates/failed_per_second", Kind::Number),
    column("wait p50", "/latency/queue_wait_ms/p50", Kind::Millis),
    column("wait p99", "/latency/queue_wait_ms/p99", Kind::Millis),
    column("run p50", "/latency/run_time_ms/p50", Kind::Millis),
    column("run p99", "/latency/run_time_ms/p99", Kind::Millis),
    column("max running", "/settings/max_running", Kind::Number),
    column("keeps events", "/settings/events", Kind::Text),
    column("workers", "/workers", Kind::Length),
];

const WORKERS: [Column; 6] = [
    column("worker", "/id", Kind::Text),
    column("pid", "/pid", Kind::Number),
    column("running", "/running", Kind::Number),
    column("started", "/started_at", Kind::Text),
    column("last seen", "/last_seen", Kind::Text),
    column("lost", "/lost", Kind::Text),
];

const SETTINGS: [Column; 4] = [
    column("max running", "/max_running", Kind::Number),
    column("rate: jobs", "/rate/jobs", Kind::Number),
    column("rate: per", "/rate/per_ms", Kind::Millis),
    column("keeps events", "/events", Kind::Text),
];

impl Queue {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.list(Call::get(["api", "queue"]), &QUEUES).await,
            Self::Show { queue } => context.show(Call::get(["api", "queue", &queue]), shown).await,
            Self::Pause { queue } => context.change(act(&queue, "pause"), format!("queue {queue} is paused")).await,
            Self::Resume { queue } => context.change(act(&queue, "resume"), format!("queue {queue} is running")).await,
            Self::Drain { queue } => {
                context.confirm(&format!("Cancel all jobs of queue {queue} that have not started?"))?;
                let answer = context.repeat(&act(&queue, "drain"), "moved").await?;
                context.print_value(&answer, |answer| format!("cancelled {} jobs of {queue}", answer["moved"]))
            }
            Self::RetryDead { queue } => retry_dead(context, &queue).await,
            Self::Clean { queue, state, older_than } => {
                let state = state.name();
                context.confirm(&format!("Remove the {state} jobs of queue {queue} for good?"))?;
                let call = act(&queue, "clean").body(json!({"state": state, "older_than_s": older_than}));
                let answer = context.repeat(&call, "removed").await?;
                context.print_value(&answer, |answer| format!("removed {} {state} jobs of {queue}", answer["removed"]))
            }
            Self::Settings { queue } => context.show(settings(&queue), |value| card(value, &SETTINGS)).await,
            Self::Set { queue, max_running, rate, events } => {
                // The API sets them all, so what is not named is sent as it is.
                let now = context.client.send(&settings(&queue)).await?.json()?;
                let body = object([
                    (
                        "max_running",
                        Some(max_running.map_or_else(|| now["max_running"].clone(), |OrNone(most)| json!(most))),
                    ),
                    ("rate", Some(rate.map_or_else(|| now["rate"].clone(), rate_body))),
                    ("events", Some(events.map_or_else(|| now["events"].clone(), |events| json!(events == OnOff::On)))),
                ]);
                let call = Call::put(["api", "queue", &queue, "settings"]).body(body);
                context.show(call, |value| card(value, &SETTINGS)).await
            }
        }
    }
}

fn act(queue: &str, what: &str) -> Call {
    Call::post(["api", "queue", queue, what])
}

fn settings(queue: &str) -> Call {
    Call::get(["api", "queue", queue, "settings"])
}

fn shown(queue: &Value) -> String {
    below(card(queue, &QUEUE), &queue["workers"], &WORKERS)
}

/// One request, since jobs that die again meanwhile would be repeated without end.
async fn retry_dead(context: &Context, queue: &str) -> Result<(), Failure> {
    context.confirm(&format!("Run all dead jobs of queue {queue} again?"))?;
    let answer = context.client.send(&act(queue, "retry-dead")).await?;
    context.print(&answer, |answer| format!("made {} jobs of {queue} ready", answer["moved"]))?;
    if answer.json()?["more"] == true {
        return Err(Failure::Incomplete("there are more dead jobs: repeat the command".to_owned()));
    }
    Ok(())
}

fn rate_body(Rate(rate): Rate) -> Value {
    rate.map_or(Value::Null, |(jobs, per_ms)| json!({"jobs": jobs, "per_ms": per_ms}))
}
