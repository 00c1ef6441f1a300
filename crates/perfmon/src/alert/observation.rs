//! What alerts are judged from.

use std::borrow::Cow;

use crate::health::report::{Health, HealthReport};
use crate::request::trace_context::TraceContext;

/// What is known of a rule at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// The id of the rule it is about.
    pub rule: Cow<'a, str>,
    /// Which of several things under this rule, such as an endpoint; empty where there is but one. Rule and subject
    /// together are one alert. What is longer than 256 bytes is cut.
    pub subject: Cow<'a, str>,
    /// Whether the rule is breached; `None` where too little is known. That neither fires nor resolves.
    pub breached: Option<bool>,
    /// The value seen.
    pub value: f64,
    /// The threshold it is held against.
    pub threshold: f64,
    /// What a reader should know beside the numbers, with secrets masked already. What is longer than 1,024 bytes is cut.
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

    /// What a reader should know beside the numbers.
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
    /// One observation for each component, under its name, and `health`, which is breached while the whole is
    /// unhealthy, with the score's distance from 100 as its value. A component is breached until it is clear of its
    /// threshold ([`Component::held`](crate::Component::held)), so that one that hovers there makes one alert.
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
