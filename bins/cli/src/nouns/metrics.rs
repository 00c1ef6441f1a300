//! `tidegate metrics`.

use clap::Args;
use serde_json::json;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Prints figures in the format of Prometheus.
#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// Beginning of the names to print; all without it
    prefix: Option<String>,
}

impl Metrics {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let answer = context.client.send(&Call::get(["metrics"])).await?;
        let prefix = self.prefix.unwrap_or_default();
        let text = answer.text_of(&["application/openmetrics-text", "text/plain"])?;
        let lines: Vec<_> = text.lines().filter(|line| name(line).starts_with(&prefix)).collect();
        if context.is_json() {
            // They are text: `--json` has them as one.
            return output::print(&json!({"metrics": lines.join("\n")}).to_string());
        }
        output::print(&lines.iter().map(|line| output::plain(line) + "\n").collect::<String>())
    }
}

/// The name that a line is about.
fn name(line: &str) -> &str {
    let comment = ["# HELP ", "# TYPE ", "# UNIT "].iter().find_map(|head| line.strip_prefix(head));
    comment.unwrap_or(line)
}
