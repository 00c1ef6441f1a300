//! `tidegate job enqueue`.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Kind, cell};
use crate::parse;

/// Maximum number of bytes read of a payload: the API takes 1 MiB.
const LONGEST_PAYLOAD: u64 = 16 << 20;

/// A job to enqueue.
#[derive(Debug, Args)]
pub(crate) struct NewJob {
    /// Name of a queue
    #[arg(value_parser = parse::queue)]
    queue: String,
    #[command(flatten)]
    payload: Payload,
    /// Kind of the job; without it the queue's usual kind
    #[arg(long)]
    kind: Option<String>,
    /// The job's id, of your own choice
    #[arg(long, value_parser = parse::name, conflicts_with = "key")]
    id: Option<String>,
    /// Idempotency key: the same command with the same key makes no second job
    #[arg(long, value_parser = parse::idempotency_key)]
    key: Option<String>,
    /// Time before the job may run
    #[arg(long, value_name = "TIME", value_parser = parse::millis, conflicts_with = "at")]
    delay: Option<u64>,
    /// Point in time before which the job does not run, such as 2030-01-07T09:00:00Z
    #[arg(long, value_name = "TIMESTAMP")]
    at: Option<String>,
    /// Time after which a run that has not begun is cancelled
    #[arg(long, value_name = "TIME", value_parser = parse::millis)]
    expires_in: Option<u64>,
    /// Priority from 0 (first) to 4
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=4))]
    priority: Option<u8>,
    /// Attempts before the job is dead
    #[arg(long, value_name = "NUMBER")]
    max_attempts: Option<u32>,
    /// Longest time of a run
    #[arg(long, value_name = "TIME", value_parser = parse::millis)]
    run_timeout: Option<u64>,
    /// Key that one job at a time may have
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// Key whose jobs run one after the other
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Group to which the job belongs
    #[arg(long)]
    group: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// The payload as JSON
    #[arg(long = "payload", value_name = "JSON", value_parser = parse::json)]
    text: Option<Value>,
    /// File that holds the payload as JSON, or - for standard input
    #[arg(long = "payload-file", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl NewJob {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let payload = self.payload.read()?;
        let body = object([
            ("payload", Some(payload)),
            ("kind", self.kind.map(Value::from)),
            ("id", self.id.map(Value::from)),
            ("delay_ms", self.delay.map(Value::from)),
            ("run_at", self.at.map(Value::from)),
            ("expires_in_ms", self.expires_in.map(Value::from)),
            ("priority", self.priority.map(Value::from)),
            ("max_attempts", self.max_attempts.map(Value::from)),
            ("timeout_ms", self.run_timeout.map(Value::from)),
            ("unique_key", self.unique_key.map(Value::from)),
            ("ordering_key", self.ordering_key.map(Value::from)),
            ("group", self.group.map(|group| json!(group))),
        ]);
        let call = Call::post(["api", "queue", &self.queue, "jobs"]).header("Idempotency-Key", self.key.as_deref());
        // The id alone, so that a shell can keep it.
        context.show(call.body(body), |answer| cell(&answer["id"], Kind::Text)).await
    }
}

impl Payload {
    fn read(self) -> Result<Value, Failure> {
        let Some(file) = self.file else { return Ok(self.text.unwrap_or_default()) };
        let bad = |reason: String| Failure::usage(format!("--payload-file {}: {reason}", file.display()));
        let mut text = String::new();
        let read = if file.as_os_str() == "-" {
            io::stdin().lock().take(LONGEST_PAYLOAD).read_to_string(&mut text)
        } else {
            std::fs::File::open(&file).and_then(|file| file.take(LONGEST_PAYLOAD).read_to_string(&mut text))
        };
        read.map_err(|error| bad(error.to_string()))?;
        parse::json(&text).map_err(bad)
    }
}
