//! Follows `/api/events`, and comes back behind the last event where the stream ends.

mod events;

use std::time::Duration;

use clap::Args;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use self::events::Event;
use self::events::Events;
use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, parse};

/// Shortest and longest wait before another try.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A year: longer than any command runs.
const FOREVER: Duration = Duration::from_secs(366 * 86_400);

/// Limits after which a stream is no longer followed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limits {
    /// Number of events after which to stop
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Time after which to stop
    #[arg(long = "for", value_name = "TIME", value_parser = parse::duration)]
    time: Option<Duration>,
}

/// Prints the events of some topics, until a limit or the end of the program.
///
/// `view` returns the line of an event, or `None` to leave it out.
pub(crate) async fn follow(
    context: &Context,
    topics: &str,
    limits: Limits,
    view: impl Fn(&Event) -> Option<String>,
) -> Result<(), Failure> {
    let end = Instant::now() + limits.time.unwrap_or(FOREVER).min(FOREVER);
    let mut followed = Followed { context, topics, left: limits.count, last_id: None, view };
    timeout_at(end, followed.run()).await.unwrap_or(Ok(()))
}

struct Followed<'a, V> {
    context: &'a Context,
    topics: &'a str,
    /// Events that are still wanted. `None` for any number.
    left: Option<u64>,
    last_id: Option<String>,
    view: V,
}

impl<V: Fn(&Event) -> Option<String>> Followed<'_, V> {
    async fn run(&mut self) -> Result<(), Failure> {
        let (mut pause, mut was_open) = (SHORTEST_PAUSE, false);
        loop {
            match self.open().await {
                Ok(mut events) => {
                    was_open = true;
                    if self.read(&mut events).await? {
                        return Ok(());
                    }
                    pause = events.retry().clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                }
                // A server that was never reached, or that refuses, is a fault of the command.
                Err(failure) if !was_open || is_final(&failure) => return Err(failure),
                Err(failure) => {
                    output::note(&format!("{failure}; trying again in {}", humantime::format_duration(pause)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            sleep(pause).await;
        }
    }

    async fn open(&self) -> Result<Events, Failure> {
        let call = Call::get(["api", "events"])
            .query("topics", Some(self.topics))
            .header("Last-Event-ID", self.last_id.as_deref());
        let response = self.context.client.open(&call).await?;
        Events::of(response, self.context.client.asked(&call))
    }

    /// Prints the events of one stream. Returns whether there were as many as wanted.
    async fn read(&mut self, events: &mut Events) -> Result<bool, Failure> {
        while let Some(event) = events.next().await {
            if let Some(id) = &event.id {
                self.last_id = Some(id.clone());
            }
            if let Some(comment) = &event.comment {
                output::note(&output::plain(comment));
                continue;
            }
            let Some(line) = (self.view)(&event) else { continue };
            output::print(&if self.context.is_json() { in_json(&event) } else { line })?;
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Whether another try would be refused as well.
fn is_final(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(refusal) => {
            let is_passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&refusal.status);
            !is_passing && !refusal.status.is_server_error()
        }
        Failure::Unreachable { .. } => false,
        _ => true,
    }
}

/// An event as a line of JSON.
fn in_json(event: &Event) -> String {
    json!({"event": event.name, "id": event.id, "data": event.data}).to_string()
}

/// An event of which nothing is known but its name: all of its data on a line.
pub(crate) fn any_line(event: &Event) -> String {
    let data = match &event.data {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{}  {}", output::plain(&event.name), output::plain(&data))
}
