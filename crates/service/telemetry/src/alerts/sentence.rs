//! Describes an alert in a sentence for operators, with units.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use tidegate_model::alert_rules::LIMITS;
use tidegate_model::alert_rules::standing_rules;
use tidegate_perfmon::{Alert, BurnRate, Phase};

use super::notice::Notice;

/// Rules whose value is a share.
const SHARES: [&str; 6] = ["aborted", "cache_misses", "error_rate", "failing_api", "pool_in_use", "slow_statements"];
/// Rules whose value is a duration in seconds.
const TIMES: [&str; 5] = ["p99", "pool_stuck", "pool_wait", "slow_api", "slow_query"];
/// Rules that are either breached or not, whose value has no further information.
const STATES: [&str; 5] =
    ["health", "job_store_full", "job_store_unreachable", "queues_without_live_worker", "redis_unavailable"];

/// Built-in rules whose detail is only a remark. The detail of any other rule, of [`LIMITS`] or of
/// the operator, is the whole sentence.
static REMARKED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let rules = standing_rules(&BurnRate::standard(OBJECTIVE)).into_iter().map(|rule| rule.id.into_owned());
    rules.filter(|id| LIMITS.iter().all(|limit| limit.id != id)).collect()
});
/// Any objective, since the names of the rules do not depend on it.
const OBJECTIVE: f64 = 0.999;

/// Returns for example `error_rate` or `tenant_anomaly of acme`.
pub(super) fn name(alert: &Alert) -> String {
    match alert.subject.as_str() {
        "" => alert.rule.clone(),
        subject => format!("{} of {subject}", alert.rule),
    }
}

/// Returns a short title, for example `error_rate is firing`.
pub(super) fn title(alert: &Alert) -> String {
    let what = match alert.phase {
        Phase::Pending | Phase::Firing => "is firing",
        Phase::Resolved | Phase::Withdrawn => "is resolved",
        Phase::Expired => "has expired",
    };
    format!("{} {what}", name(alert))
}

/// Returns the title, the values and the remark.
pub(super) fn summary(alert: &Alert) -> String {
    let title = title(alert);
    match alert.phase {
        Phase::Pending | Phase::Firing => match (figures(alert), remark(alert)) {
            (None, "") => title,
            (None, remark) => format!("{title}: {remark}"),
            (Some(figures), "") => format!("{title}: {figures}"),
            (Some(figures), remark) => format!("{title}: {figures} ({remark})"),
        },
        Phase::Resolved | Phase::Withdrawn => format!("{title}{}", lasted(alert)),
        Phase::Expired => format!("{title}{}: nothing is known of it any more", lasted(alert)),
    }
}

/// Returns for example `Reported by tidegate-api 7c0f6b0e on node-1.`
pub(super) fn source(notice: &Notice) -> String {
    format!("Reported by {}.", notice.source.name())
}

fn figures(alert: &Alert) -> Option<String> {
    let rule = alert.rule.as_str();
    let is_sentence = !alert.detail.is_empty() && !REMARKED.contains(rule);
    if is_sentence || STATES.contains(&rule) || !alert.value.is_finite() || !alert.threshold.is_finite() {
        return None;
    }
    let [value, threshold] = [alert.value, alert.threshold].map(|number| figure(rule, number));
    Some(format!("{value} exceeds the threshold of {threshold}"))
}

fn figure(rule: &str, number: f64) -> String {
    if SHARES.contains(&rule) {
        return format!("{} %", short(number * 100.0));
    }
    if TIMES.contains(&rule) {
        return if number < 1.0 { format!("{} ms", short(number * 1_000.0)) } else { format!("{} s", short(number)) };
    }
    if rule.starts_with("burn_") {
        return format!("{}×", short(number));
    }
    short(number)
}

/// Formats with two decimal places, without trailing zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns the part of the detail that does not repeat the values. Health writes `rule: values
/// (remark)`.
fn remark(alert: &Alert) -> &str {
    let detail = alert.detail.as_str();
    let Some(own) = detail.strip_prefix(alert.rule.as_str()).and_then(|rest| rest.strip_prefix(": ")) else {
        return detail;
    };
    if !own.contains(" threshold of ") {
        return own;
    }
    own.split_once(" (").and_then(|(_, remark)| remark.strip_suffix(')')).unwrap_or_default()
}

fn lasted(alert: &Alert) -> String {
    let (Some(fired), Some(ended)) = (alert.fired_at_unix_ms, alert.ended_at_unix_ms) else { return String::new() };
    let seconds = Duration::from_secs(ended.saturating_sub(fired) / 1_000);
    format!(" after {}", humantime::format_duration(seconds.max(Duration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use super::super::test_alert::alert;
    use super::*;

    fn firing(rule: &str, value: f64, threshold: f64, detail: &str) -> String {
        let mut alert = alert(rule, "");
        (alert.value, alert.threshold) = (value, threshold);
        detail.clone_into(&mut alert.detail);
        summary(&alert)
    }

    #[test]
    fn figures_have_units_and_stand_once_in_the_sentence() {
        let health = "error_rate: 0.5 exceeds the threshold of 0.05 (10 of 20 responses within 11s)";
        for (rule, value, threshold, detail, sentence) in [
            (
                "error_rate",
                0.5,
                0.05,
                health,
                "error_rate is firing: 50 % exceeds the threshold of 5 % (10 of 20 responses within 11s)",
            ),
            ("pool_wait", 0.25, 0.05, "", "pool_wait is firing: 250 ms exceeds the threshold of 50 ms"),
            (
                "p99",
                2.5,
                1.0,
                "p99: 2.5 s exceeds the threshold of 1 s",
                "p99 is firing: 2.5 s exceeds the threshold of 1 s",
            ),
            ("burn_1h", 15.0, 14.4, "", "burn_1h is firing: 15× exceeds the threshold of 14.4×"),
            (
                "redis_unavailable",
                1.0,
                0.5,
                "redis_unavailable: 1 exceeds the threshold of 0.5",
                "redis_unavailable is firing",
            ),
            ("health", f64::NAN, 50.0, "p99: 2.5 s", "health is firing: p99: 2.5 s"),
            ("queue_length", 12.0, 10.0, "", "queue_length is firing: 12 exceeds the threshold of 10"),
        ] {
            assert_eq!(firing(rule, value, threshold, detail), sentence);
        }
    }

    #[test]
    fn a_detail_that_is_the_sentence_stands_alone() {
        for (rule, value, threshold, detail) in [
            ("few_hits", 0.5, 0.8, "tidegate_redis_hit_ratio: 50 %, below 80 % for 10 minutes"),
            ("redis_memory", 0.95, 0.9, "memory limit in use on Redis 10.0.0.1: 95 %, above 90 % for 90 seconds"),
        ] {
            assert_eq!(firing(rule, value, threshold, detail), format!("{rule} is firing: {detail}"));
        }
    }

    #[test]
    fn an_end_says_how_long_it_lasted_and_names_the_subject() {
        let mut alert = alert("tenant_anomaly", "acme");
        alert.phase = Phase::Resolved;
        (alert.fired_at_unix_ms, alert.ended_at_unix_ms) = (Some(1_000), Some(91_500));
        assert_eq!(summary(&alert), "tenant_anomaly of acme is resolved after 1m 30s");
        alert.phase = Phase::Expired;
        assert_eq!(summary(&alert), "tenant_anomaly of acme has expired after 1m 30s: nothing is known of it any more");
    }
}
