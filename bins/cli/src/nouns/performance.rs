//! `tidegate performance`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Column, Kind, column, generic, table};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Performance {
    /// List routes with rate, errors and percentiles
    Endpoints(Look),
    /// List operations beside requests: statements, loads, jobs
    Operations(Look),
    /// List the shapes of statements that took the most time
    Queries(Look),
    /// Show another part: overall, in-flight, slow-apis, trends, process, pools, redis, …
    Show {
        part: String,
        #[command(flatten)]
        look: Look,
        /// Print CSV instead
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Look {
    /// How far back the figures look
    #[arg(long)]
    window: Option<Window>,
    /// Figure by which routes and operations are listed: p99, p95, mean, count, errors, rate, route
    #[arg(long)]
    sort: Option<String>,
    /// Maximum number of lines, up to 100
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Window {
    #[value(name = "1m")]
    Minute,
    #[value(name = "5m")]
    FiveMinutes,
    #[value(name = "1h")]
    Hour,
    #[value(name = "24h")]
    Day,
}

const ENDPOINTS: [Column; 8] = [
    column("method", "/method", Kind::Text),
    column("route", "/route", Kind::Text),
    column("count", "/count", Kind::Number),
    column("per second", "/rate", Kind::Number),
    column("errors", "/error_rate", Kind::Share),
    column("p50", "/p50_ms", Kind::Millis),
    column("p95", "/p95_ms", Kind::Millis),
    column("p99", "/p99_ms", Kind::Millis),
];

const OPERATIONS: [Column; 8] = [
    column("kind", "/kind", Kind::Text),
    column("operation", "/operation", Kind::Text),
    column("count", "/count", Kind::Number),
    column("per second", "/rate", Kind::Number),
    column("failed", "/failed", Kind::Number),
    column("p50", "/p50_ms", Kind::Millis),
    column("p95", "/p95_ms", Kind::Millis),
    column("p99", "/p99_ms", Kind::Millis),
];

const QUERIES: [Column; 6] = [
    column("calls", "/calls", Kind::Number),
    column("total", "/total_ms", Kind::Millis),
    column("mean", "/mean_ms", Kind::Millis),
    column("p99", "/p99_ms", Kind::Millis),
    column("share", "/share", Kind::Share),
    column("statement", "/text", Kind::Text),
];

impl Performance {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Endpoints(look) => context.list(look.at("endpoints"), &ENDPOINTS).await,
            Self::Operations(look) => context.list(look.at("operations"), &OPERATIONS).await,
            Self::Queries(look) => {
                context.show(look.at("slow-queries"), |answer| table(&answer["top_by_total"], &QUERIES)).await
            }
            Self::Show { part, look, csv: false } => context.show(look.at(&part), shown).await,
            Self::Show { part, look, csv: true } => {
                let answer = context.client.send(&look.at(&part).query("format", Some("csv"))).await?;
                output::print(
                    &answer.text_of(&["text/csv"])?.lines().map(|line| output::plain(line) + "\n").collect::<String>(),
                )
            }
        }
    }
}

impl Look {
    fn at(self, part: &str) -> Call {
        let window = self.window.and_then(|window| window.to_possible_value());
        Call::get(["api", "performance"])
            .query("type", Some(part))
            .query("window", window.map(|window| window.get_name().to_owned()))
            .query("sort", self.sort)
            .query("limit", self.limit)
    }
}

/// The part `overall` is nested in a field of the same name.
fn shown(part: &Value) -> String {
    generic(part.get("overall").unwrap_or(part))
}
