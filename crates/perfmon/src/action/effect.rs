//! The effect of a change.

use crate::advice::{Signals, Symptom};

/// Number of minutes before and after a change that are compared.
pub(super) const MINUTES: u64 = 5;
/// Relative increase of a symptom up to which it did not become worse.
const SLACK: f64 = 0.05;
/// Figures of all requests may vary by more than the figure that the change was made for.
const SLACK_OF_ALL: f64 = 0.25;
/// Error rate below which a change did no harm.
const LEAST_ERRORS: f64 = 0.01;

/// The figures by which a change is judged, over some minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    symptom: Option<f64>,
    p99: Option<f64>,
    errors: Option<f64>,
}

/// The judgement of the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Not worse.
    Fine,
    /// Worse, and which figure.
    Worse(&'static str),
    /// There is no data.
    Unseen,
}

impl Figures {
    /// The figures of the minutes from `first` on, before `end`.
    pub(super) fn of(symptom: &Symptom, minutes: &[Signals], first: u64, end: u64) -> Self {
        let middle = |figure: &dyn Fn(&Signals) -> Option<f64>| {
            let within = minutes.iter().filter(|signals| (first..end).contains(&signals.minute));
            let mut values: Vec<f64> = within.filter_map(figure).filter(|value| value.is_finite()).collect();
            values.sort_unstable_by(f64::total_cmp);
            // The worse of the middle two values, so that random variation does not decide.
            values.get(values.len() / 2).copied()
        };
        Self {
            symptom: middle(&|signals| symptom.of(signals)),
            p99: middle(&|signals| signals.api?.p99),
            errors: middle(&|signals| {
                let api = signals.api.filter(|api| api.requests > 0)?;
                Some(api.errors as f64 / api.requests as f64)
            }),
        }
    }

    /// Compares the figures before the change with those after it.
    pub(super) fn until(self, after: Self) -> Effect {
        let is_worse = |before: Option<f64>, after: Option<f64>, slack: f64, least: f64| {
            before.zip(after).is_some_and(|(before, after)| after > before * (1.0 + slack) && after > least)
        };
        if is_worse(self.p99, after.p99, SLACK_OF_ALL, 0.0) {
            return Effect::Worse("the API's P99");
        }
        if is_worse(self.errors, after.errors, SLACK_OF_ALL, LEAST_ERRORS) {
            return Effect::Worse("the API's share of errors");
        }
        match self.symptom.zip(after.symptom) {
            None => Effect::Unseen,
            Some(_) if is_worse(self.symptom, after.symptom, SLACK, 0.0) => Effect::Worse("the symptom itself"),
            Some(_) => Effect::Fine,
        }
    }
}
