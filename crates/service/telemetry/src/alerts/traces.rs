//! A trace that shows what an alert is about.

use tidegate_perfmon::{CallOutcome, Observation, Queries, SlowCall};

use crate::Beat;

/// An older call than this is of something else.
const RECENT_MS: u64 = 60_000;
/// Calls that are looked at for one that has a trace.
const CALLS: usize = 20;

/// The newest call of the last minute that failed, was slow or was given up, as the rule asks, and had a trace; of a rule about one route
/// one of that route; of a rule about statements the slowest statement of the last minute.
pub(super) fn of(observation: &Observation<'_>, beat: &Beat<'_>, statements: Option<&Queries>) -> Option<String> {
    let rule = &*observation.rule;
    let calls = match rule {
        "error_rate" => beat.registry.failed_calls(CALLS),
        "failing_api" => named_in(&observation.detail, beat.registry.failed_calls(usize::MAX)),
        "p99" => beat.registry.slow_calls(CALLS),
        "slow_api" => named_in(&observation.detail, beat.registry.slow_calls(usize::MAX)),
        "aborted" => {
            let mut calls = beat.registry.slow_calls(usize::MAX);
            calls.retain(|call| call.outcome == CallOutcome::Aborted);
            calls
        }
        "slow_statements" => return of_statement(statements?, beat.unix_ms),
        _ if rule.starts_with("burn_") => beat.registry.failed_calls(CALLS),
        _ => return None,
    };
    let is_recent = |call: &SlowCall| beat.unix_ms.saturating_sub(call.at_unix_ms) <= RECENT_MS;
    calls.into_iter().filter(is_recent).find_map(|call| call.trace_id)
}

/// Those of the route that the detail is about.
fn named_in(detail: &str, mut calls: Vec<SlowCall>) -> Vec<SlowCall> {
    calls.retain(|call| {
        let name = format!("{} {}", call.method, call.route);
        let after = detail.split_once(&name).map(|(_, after)| after);
        // Not of a longer route that begins so.
        after.is_some_and(|after| !after.starts_with(|next: char| next.is_alphanumeric() || "/{}-_.".contains(next)))
    });
    calls
}

fn of_statement(statements: &Queries, unix_ms: u64) -> Option<String> {
    let slow = statements.slow(usize::MAX);
    let mut recent = slow.iter().filter(|slow| unix_ms.saturating_sub(slow.at_unix_ms) <= RECENT_MS);
    recent.find_map(|slow| slow.trace.map(|trace| format!("{:032x}", trace.trace_id())))
}
