//! A trace that shows what an alert is about.

use tidegate_perfmon::{CallOutcome, Queries, SlowCall};

use crate::telemetry::Beat;

/// An older call than this is of something else.
const RECENT_MS: u64 = 60_000;
/// Calls that are looked at for one that has a trace.
const CALLS: usize = 20;

/// The newest call of the last minute that failed, was slow or was given up, as the rule asks, and had a trace; of a rule about statements the
/// slowest statement of the last minute.
pub(super) fn of(rule: &str, beat: &Beat<'_>, statements: Option<&Queries>) -> Option<String> {
    let calls = match rule {
        "error_rate" | "failing_api" => beat.registry.failed_calls(CALLS),
        "p99" | "slow_api" => beat.registry.slow_calls(CALLS),
        "aborted" => {
            let mut calls = beat.registry.slow_calls(usize::MAX);
            calls.retain(|call| call.outcome == CallOutcome::Aborted);
            calls
        }
        "slow_statements" | "slow_query" | "database_time" => return of_statement(statements?, beat.unix_ms),
        _ if rule.starts_with("burn_") => beat.registry.failed_calls(CALLS),
        _ => return None,
    };
    let is_recent = |call: &SlowCall| beat.unix_ms.saturating_sub(call.at_unix_ms) <= RECENT_MS;
    calls.into_iter().filter(is_recent).find_map(|call| call.trace_id)
}

fn of_statement(statements: &Queries, unix_ms: u64) -> Option<String> {
    let slow = statements.slow(usize::MAX);
    let mut recent = slow.iter().filter(|slow| unix_ms.saturating_sub(slow.at_unix_ms) <= RECENT_MS);
    recent.find_map(|slow| slow.trace.map(|trace| format!("{:032x}", trace.trace_id())))
}
