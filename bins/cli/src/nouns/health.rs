//! `tidegate health`.

use std::process::ExitCode;

use reqwest::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, below, card, column};

/// Degraded, or nothing is known yet.
const DEGRADED: u8 = 6;
const UNHEALTHY: u8 = 7;

const HEALTH: [Column; 4] = [
    column("status", "/status", Kind::Text),
    column("health", "/health", Kind::Text),
    column("score", "/score", Kind::Number),
    column("why", "/output", Kind::Text),
];

const REASONS: [Column; 4] = [
    column("component", "/component", Kind::Text),
    column("observed", "/observed", Kind::Number),
    column("threshold", "/threshold", Kind::Number),
    column("message", "/message", Kind::Text),
];

/// Shows how well the API serves. The exit code is for a script.
pub(crate) async fn run(context: &Context) -> Result<ExitCode, Failure> {
    // An unhealthy API answers 503, with its reasons.
    let mut answer = context.client.send_any(&Call::get(["health"])).await?;
    if answer.status == StatusCode::NOT_FOUND {
        // A proxy may keep the probes to itself.
        answer = context.client.send_any(&Call::get(["api", "performance"]).query("type", Some("health"))).await?;
    }
    let health = answer.json().ok().and_then(|health| health["status"].as_str().and_then(code));
    let Some(code) = health else {
        // Anything but a verdict is a failure, or comes from another server.
        return Err(context.client.not_expected(answer, "it holds no verdict"));
    };
    context.print(&answer, shown)?;
    Ok(ExitCode::from(code))
}

fn code(status: &str) -> Option<u8> {
    match status {
        "pass" => Some(0),
        "warn" => Some(DEGRADED),
        "fail" => Some(UNHEALTHY),
        _ => None,
    }
}

fn shown(health: &Value) -> String {
    below(card(health, &HEALTH), &health["reasons"], &REASONS)
}
