//! Finds a trace that is an example for an alert.

use tidegate_perfmon::{CallOutcome, Observation, Queries, SlowCall};

use crate::Tick;

/// Maximum age of a call. An older one has another cause.
const RECENT_MS: u64 = 60_000;
/// Maximum number of calls that are searched for one with a trace.
const CALLS: usize = 20;

/// Returns the trace of the newest call of the last minute that failed, was slow or was aborted,
/// depending on the rule. For a rule on one route, it is a call of that route. For a rule on
/// statements, it is the slowest statement of the last minute.
pub(super) fn of(observation: &Observation<'_>, tick: &Tick<'_>, statements: Option<&Queries>) -> Option<String> {
    let rule = &*observation.rule;
    let calls = match rule {
        "error_rate" => tick.registry.failed_calls(CALLS),
        "failing_api" => named_in(&observation.detail, tick.registry.failed_calls(usize::MAX)),
        "p99" => tick.registry.slow_calls(CALLS),
        "slow_api" => named_in(&observation.detail, tick.registry.slow_calls(usize::MAX)),
        "aborted" => {
            let mut calls = tick.registry.slow_calls(usize::MAX);
            calls.retain(|call| call.outcome == CallOutcome::Aborted);
            calls
        }
        "slow_statements" => return of_statement(statements?, tick.unix_ms),
        _ if rule.starts_with("burn_") => tick.registry.failed_calls(CALLS),
        _ => return None,
    };
    let is_recent = |call: &SlowCall| tick.unix_ms.saturating_sub(call.at_unix_ms) <= RECENT_MS;
    calls.into_iter().filter(is_recent).find_map(|call| call.trace_id)
}

/// Returns the calls of the route that the detail names.
fn named_in(detail: &str, mut calls: Vec<SlowCall>) -> Vec<SlowCall> {
    calls.retain(|call| {
        let name = format!("{} {}", call.method, call.route);
        let after = detail.split_once(&name).map(|(_, after)| after);
        // Excludes a longer route with the same beginning.
        after.is_some_and(|after| !after.starts_with(|next: char| next.is_alphanumeric() || "/{}-_.".contains(next)))
    });
    calls
}

fn of_statement(statements: &Queries, unix_ms: u64) -> Option<String> {
    let slow = statements.slow(usize::MAX);
    let mut recent = slow.iter().filter(|slow| unix_ms.saturating_sub(slow.at_unix_ms) <= RECENT_MS);
    recent.find_map(|slow| slow.trace.map(|trace| format!("{:032x}", trace.trace_id())))
}
