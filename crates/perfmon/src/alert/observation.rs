//! What alerts are judged from.

use std::borrow::Cow;

use crate::health::report::{Health, HealthReport};
use crate::request::trace_context::TraceContext;

/// The state of a rule at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// The id of the rule it is about.
    pub rule: Cow<'a, str>,
    /// The subject under this rule, such as an endpoint; empty if there is only one. Rule and
    /// subject identify an alert. It is cut after 256 bytes.
    pub subject: Cow<'a, str>,
    /// Whether the rule is breached; `None` if too little is known. `None` neither fires nor
    /// resolves.
    pub breached: Option<bool>,
    /// The value seen.
    pub value: f64,
    /// The threshold it is held against.
    pub threshold: f64,
    /// Text for people beside the numbers, with secrets already masked. It is cut after 1,024
    /// bytes.
    pub detail: Cow<'a, str>,
    /// A trace that shows it, in 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl<'a> Observation<'a> {
    /// An observation without a subject, detail or trace.
    pub fn new(rule: impl Into<Cow<'a, str>>, breached: Option<bool>, value: f64, threshold: f64) -> Self {
        let empty = Cow::Borrowed("");
        Self { rule: rule.into(), subject: empty.clone(), breached, value, threshold, detail: empty, trace_id: None }
    }

    /// Which of several things under this rule.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Cow<'a, str>>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets text for people beside the numbers.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'a, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// A trace that shows it.
    #[must_use]
    pub fn trace(mut self, trace: Option<TraceContext>) -> Self {
        self.trace_id = trace.map(|trace| format!("{:032x}", trace.trace_id()));
        self
    }
}

impl HealthReport {
    /// Returns one observation for each component, under its name. It adds `health`, which is
    /// breached while the whole is unhealthy; its value is the score's distance from 100. A
    /// component is breached until it is clear of its threshold
    /// ([`Component::held`](crate::Component::held)), so a component that hovers there causes one
    /// alert.
    pub fn observations(&self) -> Vec<Observation<'_>> {
        let message = |name: &str| {
            let reason = self.reasons.iter().find(|reason| reason.component == name);
            reason.map_or("", |reason| reason.message.as_str())
        };
        let breached = |state, held| match state {
            Health::Unknown => None,
            Health::Healthy | Health::Degraded | Health::Unhealthy => Some(held),
        };
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let components = self.components.iter().map(|component| {
            let (observed, threshold) = (number(component.observed), number(component.threshold));
            Observation::new(&*component.name, breached(component.state, component.held), observed, threshold)
                .detail(message(&component.name))
        });
        let whole = match self.status {
            Health::Unknown => None,
            status => Some(status == Health::Unhealthy),
        };
        let lost = self.score.map_or(f64::NAN, |score| f64::from(100 - score.min(100)));
        let first = self.reasons.first().map_or("", |reason| reason.message.as_str());
        components.chain([Observation::new("health", whole, lost, 50.0).detail(first)]).collect()
    }
}
