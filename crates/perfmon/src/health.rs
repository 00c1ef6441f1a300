//! Readings made into a report.

pub(crate) mod config;
mod hysteresis;
mod latch;
pub(crate) mod reading;
pub(crate) mod report;
mod score;
pub(crate) mod wording;

use std::time::Duration;

use crate::health::config::HealthConfig;
use crate::health::hysteresis::{BETTER_AFTER, Hysteresis, MARGIN, WORSE_AFTER};
use crate::health::latch::Latch;
use crate::health::reading::{Evidence, Reading};
use crate::health::report::{Component, Health, HealthReport, Reason};
use crate::health::score::{Flags, Part};
use crate::health::wording::{Wording, duration};

/// Minimum score of a value that may exceed its threshold only because of random variation, so that
/// it does not degrade health.
const MAYBE: f64 = 80.0;

/// Evaluates readings and remembers the state between evaluations.
///
/// A component scores 100 up to half of its threshold, 70 at its threshold, and 0 from twice the
/// threshold. The overall score is the lower of two values: the weighted mean, and the worst
/// critical component plus 10. The state is healthy from 80 and unhealthy below 50. It is at least
/// degraded while any threshold is exceeded.
///
/// Apart from that, a worse state is reported after two evaluations in a row, or at once below 20
/// points. A better state is reported after three evaluations that exceed its limit by 10 points.
/// For this purpose a breach lasts until the reading is 10 points better than at its threshold
/// (five sixths of the threshold), or has been unknown for 60 evaluations.
///
/// A share ([`Registry::readings`](crate::Registry::readings)) may exceed its threshold by so few
/// samples that chance explains it. It is then reported with its reason, scores at least 80, and
/// does not count as a breach.
///
/// Evaluate at a steady pace, every few seconds, and serve the last report to clients: hysteresis
/// counts evaluations.
#[derive(Debug)]
pub struct HealthMonitor {
    min_samples: u64,
    stale_after: Duration,
    hysteresis: Hysteresis,
    latch: Latch,
}

impl HealthMonitor {
    /// A monitor that has seen nothing yet; its first evaluation is believed at once.
    pub fn new(config: &HealthConfig) -> Self {
        Self {
            min_samples: config.min_samples,
            stale_after: config.stale_after,
            hysteresis: Hysteresis::default(),
            latch: Latch::default(),
        }
    }

    /// Judges readings. No readings, or none that can be judged, is unknown.
    pub fn evaluate(&mut self, readings: impl IntoIterator<Item = Reading>) -> HealthReport {
        let mut judged: Vec<Judged> = readings.into_iter().map(|reading| self.judge(reading)).collect();
        let parts: Vec<Part> = judged.iter().filter_map(|judged| judged.part).collect();
        for judged in &judged {
            // What may be chance raises nothing, and ends nothing either.
            let score = judged.part.map(|part| if judged.is_chance { score::AT_THRESHOLD } else { part.score });
            self.latch.observe(&judged.component.name, score, judged.breached);
        }
        let latched = self.latch.turn();
        for Judged { component, .. } in &mut judged {
            component.held = self.latch.holds(&component.name);
        }
        let flags = Flags {
            latched,
            breached: judged.iter().any(|judged| judged.breached),
            critical_unknown: judged.iter().any(|judged| judged.component.critical && judged.part.is_none()),
        };
        let score = score::overall(&parts);
        let seen = score::state(score, flags);
        let status = self.hysteresis.observe(score, flags);

        let mut scored: Vec<(Option<u8>, Reason)> = Vec::new();
        let mut components = Vec::with_capacity(judged.len());
        for Judged { component, reason, .. } in judged {
            scored.extend(reason.map(|reason| (component.score, reason)));
            components.push(component);
        }
        // Scores ascending, then the unknown.
        scored.sort_by_key(|(score, _)| score.map_or(u8::MAX, |score| score));
        let mut reasons: Vec<Reason> = scored.into_iter().map(|(_, reason)| reason).collect();
        reasons.extend(self.why_held(status, seen, score));
        if reasons.is_empty() {
            reasons.push(overall(match components.len() {
                0 => "no reading was given".to_owned(),
                1 => "the only reading is within half of its threshold".to_owned(),
                all => format!("all {all} readings are within half of their thresholds"),
            }));
        }
        HealthReport { status, score, reasons, components }
    }

    fn judge(&self, reading: Reading) -> Judged {
        let Reading { name, subject, observed, threshold, critical, samples, weight, .. } = reading;
        let Reading { unit, wording, detail, age, evidence, .. } = reading;
        let few = samples.filter(|&samples| samples < self.min_samples && evidence != Evidence::Beyond);
        let is_stale = age > self.stale_after;
        let score = if few.is_some() || is_stale { None } else { score::component(observed, threshold) };
        let is_chance = evidence == Evidence::Chance && score.is_some() && observed > threshold;
        let score = if is_chance { score.map(|score| score.max(MAYBE)) } else { score };
        let breached = score.is_some() && observed > threshold && !is_chance;
        let finite = |value: f64| value.is_finite().then_some(value);
        // A condition is a sentence that may be false, so only its name can be unknown.
        let unknown = match &subject {
            Some(subject) if wording != Wording::Condition => format!("{subject} is unknown"),
            _ => format!("{name} is unknown"),
        };
        let subject = subject.as_ref().unwrap_or(&name);
        let [value, limit] = [observed, threshold].map(|number| wording.figure(number, unit));
        let message = match (few, score) {
            _ if is_stale => {
                let [age, most] = [Duration::from_secs(age.as_secs()), self.stale_after].map(duration);
                Some(format!("{unknown}: it was read {age} ago, which is longer than {most}"))
            }
            (Some(samples), _) => {
                Some(format!("{unknown}: there are {samples} samples, and {} are needed", self.min_samples))
            }
            (None, None) if observed.is_nan() && threshold.is_nan() => Some(unknown),
            (None, None) => Some(format!("{unknown}: {observed} cannot be compared with a threshold of {threshold}")),
            (None, Some(_)) if breached && wording == Wording::Condition => Some(subject.to_string()),
            (None, Some(_)) if breached => Some(format!("{subject} is {value}, above {limit}")),
            (None, Some(_)) if is_chance => {
                Some(format!("{subject} is {value}, above {limit}, but so few samples may be chance"))
            }
            (None, Some(score)) if score < 100.0 => Some(format!("{subject} is {value}, near its limit of {limit}")),
            (None, Some(_)) => None,
        };
        let reason = message.map(|message| Reason {
            component: name.clone(),
            message: match detail {
                Some(detail) => format!("{message} ({detail})"),
                None => message,
            },
            observed: finite(observed),
            threshold: finite(threshold),
        });
        let state = match score {
            None => Health::Unknown,
            Some(score) if score <= 0.0 => Health::Unhealthy,
            Some(_) if breached => Health::Degraded,
            Some(_) => Health::Healthy,
        };
        let component = Component {
            name,
            state,
            score: score.map(score::whole),
            observed: finite(observed),
            threshold: finite(threshold),
            unit,
            samples,
            critical,
            held: false,
        };
        Judged { component, reason, breached, is_chance, part: score.map(|score| Part { score, weight, critical }) }
    }

    /// Explains why the reported state differs from the state of the latest evaluation.
    fn why_held(&self, status: Health, seen: Health, score: Option<u8>) -> Option<Reason> {
        if status == seen {
            return None;
        }
        let score = score.map(|score| format!(" with {score} points")).unwrap_or_default();
        let mut message = format!(
            "the last evaluation is {seen}{score}, but the state stays {status} until {WORSE_AFTER} evaluations in a \
             row are worse or {BETTER_AFTER} are better by {MARGIN} points"
        );
        let latched = self.latch.names().collect::<Vec<_>>();
        match *latched {
            [] => {}
            [one] => message.push_str(&format!("; {one} is not clear of its threshold yet")),
            _ => message.push_str(&format!("; {} are not clear of their thresholds yet", latched.join(", "))),
        }
        Some(overall(message))
    }
}

struct Judged {
    component: Component,
    reason: Option<Reason>,
    breached: bool,
    is_chance: bool,
    part: Option<Part>,
}

fn overall(message: String) -> Reason {
    Reason { component: "overall".into(), message, observed: None, threshold: None }
}
