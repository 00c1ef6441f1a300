//! A trace that shows what an alert is about.

use tidegate_perfmon::SlowCall;

use crate::telemetry::Beat;

/// An older call than this is of something else.
const RECENT_MS: u64 = 60_000;
/// Calls that are looked at for one that has a trace.
const CALLS: usize = 20;

/// The newest call of the last minute that failed, or was slow, as the rule asks, and had a trace.
pub(super) fn of(rule: &str, beat: &Beat<'_>) -> Option<String> {
    let calls = match rule {
        "error_rate" => beat.registry.failed_calls(CALLS),
        "p99" | "slow_api" => beat.registry.slow_calls(CALLS),
        _ if rule.starts_with("burn_") => beat.registry.failed_calls(CALLS),
        _ => return None,
    };
    let is_recent = |call: &SlowCall| beat.unix_ms.saturating_sub(call.at_unix_ms) <= RECENT_MS;
    calls.into_iter().filter(is_recent).find_map(|call| call.trace_id)
}
