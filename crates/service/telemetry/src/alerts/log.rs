//! Logs a transition.

use tidegate_perfmon::{Phase, Severity, Transition};

pub(super) fn line(step: &Transition) {
    let alert = &step.alert;
    // A macro, since the level of an event must be constant.
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                rule = alert.rule,
                subject = alert.subject,
                severity = alert.severity.name(),
                value = alert.value,
                threshold = alert.threshold,
                detail = alert.detail,
                seq = step.seq,
                $message
            )
        };
    }
    match (alert.phase, alert.severity) {
        (Phase::Firing, Severity::Critical) => line!(error, "alert: firing"),
        (Phase::Firing, _) => line!(warn, "alert: firing"),
        (Phase::Expired, _) => line!(warn, "alert: expired, its state is unknown"),
        _ => line!(info, "alert: resolved"),
    }
}
