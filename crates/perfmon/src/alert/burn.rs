//! How fast the errors that an objective allows are used up.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::burn_log::{BurnLog, LONGEST, MINUTES_REACH, Outcomes};
use super::observation::Observation;
use super::rule::{AlertRule, Severity, as_millis};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Pairs of windows of one objective.
const MOST_WINDOWS: usize = 16;

/// An objective, and how fast its error budget may burn before an alert fires, over several windows
/// (as in the Google SRE workbook, chapter 5).
///
/// A burn rate of 1 uses up the budget exactly by the end of the objective's period. A pair of
/// windows is breached when both burn faster than its factor. The long window shows that the loss
/// is significant, the short one that it is still going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnRate {
    /// The share of responses that should be good, as 0.999.
    pub objective: f64,
    /// With fewer responses in the short window, too little is known; 20.
    #[serde(default = "twenty")]
    pub min_samples: u64,
    /// With fewer failures in the long window there is no breach, however small the number of
    /// responses is; 5.
    #[serde(default = "five")]
    pub min_bad: u64,
    /// The pairs of windows.
    pub windows: Vec<BurnWindow>,
}

/// A long and a short window that must both burn faster than a factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnWindow {
    /// The id of its alert rule.
    pub rule: Cow<'static, str>,
    /// How much its alert matters.
    pub severity: Severity,
    /// The burn rate above which it is breached.
    pub factor: f64,
    /// Whole minutes up to 6 hours, or whole hours up to 3 days.
    #[serde(rename = "long_ms", with = "as_millis")]
    pub long: Duration,
    /// The same, and shorter.
    #[serde(rename = "short_ms", with = "as_millis")]
    pub short: Duration,
}

/// Why a [`BurnRate`] can't serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BurnRateError {
    /// An objective without a budget, or without a meaning.
    #[error("an objective is above 0 and below 1, not {given}")]
    Objective {
        /// The given value.
        given: f64,
    },
    /// A factor that can't be exceeded, even when every response fails, or that is none.
    #[error("`factor` of `{rule}` is above 0 and below {most}, where every response fails, not {given}")]
    Factor {
        /// The rule.
        rule: String,
        /// The given value.
        given: f64,
        /// The burn rate of a total outage.
        most: f64,
    },
    /// A window that isn't kept.
    #[error(
        "the windows of `{rule}` are whole minutes up to 6 h or whole hours up to 72 h, the short one shorter; not \
         {long:?} and {short:?}"
    )]
    Window {
        /// The rule.
        rule: String,
        /// The long window.
        long: Duration,
        /// The short window.
        short: Duration,
    },
    /// `min_samples` or `min_bad` of zero: silence would be a verdict.
    #[error("`{setting}` is at least 1")]
    Zero {
        /// The field.
        setting: &'static str,
    },
    /// More than 16 pairs.
    #[error("there are {given} pairs of windows; 16 are the most")]
    TooMany {
        /// How many.
        given: usize,
    },
}

/// One pair of windows, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BurnReading {
    /// The id of its alert rule.
    pub rule: String,
    /// The burn rate above which it is breached.
    pub factor: f64,
    /// Burn rate over the long window. If the process is younger, the time before its start counts
    /// as good, with the request rate that is known.
    pub long: f64,
    /// Burn rate over the short window.
    pub short: f64,
    /// Whether both are above the factor; `None` if too little is known. That is with few
    /// responses, or if the process is younger than the short window. It is also if the process is
    /// younger than the long window and only that window could show that all is well.
    pub breached: Option<bool>,
    /// The figures behind it, for people.
    pub detail: String,
}

impl BurnRate {
    /// The pairs of the workbook: 14.4 × over 1 hour and 5 minutes and 6 × over 6 hours and 30
    /// minutes are critical, 1 × over 3 days and 6 hours is a warning. Of 30 days they use up 2 %,
    /// 5 % and 10 % of the budget.
    pub fn standard(objective: f64) -> Self {
        let window = |rule, severity, factor, long, short| BurnWindow {
            rule: Cow::Borrowed(rule),
            severity,
            factor,
            long,
            short,
        };
        Self {
            objective,
            min_samples: twenty(),
            min_bad: five(),
            windows: vec![
                window("burn_1h", Severity::Critical, 14.4, HOUR, 5 * MINUTE),
                window("burn_6h", Severity::Critical, 6.0, 6 * HOUR, 30 * MINUTE),
                window("burn_3d", Severity::Warning, 1.0, 72 * HOUR, 6 * HOUR),
            ],
        }
    }

    /// Checks that it can be evaluated. An invalid one is still evaluated: as unknown, or as far as
    /// the log reaches.
    ///
    /// # Errors
    ///
    /// The first thing that can't.
    pub fn check(&self) -> Result<(), BurnRateError> {
        if !(self.objective > 0.0 && self.objective < 1.0) {
            return Err(BurnRateError::Objective { given: self.objective });
        }
        for (setting, given) in [("min_samples", self.min_samples), ("min_bad", self.min_bad)] {
            if given == 0 {
                return Err(BurnRateError::Zero { setting });
            }
        }
        if self.windows.len() > MOST_WINDOWS {
            return Err(BurnRateError::TooMany { given: self.windows.len() });
        }
        let most = 1.0 / self.budget();
        for BurnWindow { rule, factor, long, short, .. } in &self.windows {
            let rule = || rule.chars().take(64).collect();
            if !(*factor > 0.0 && *factor < most) {
                return Err(BurnRateError::Factor { rule: rule(), given: *factor, most });
            }
            if !is_kept(*long) || !is_kept(*short) || short >= long {
                return Err(BurnRateError::Window { rule: rule(), long: *long, short: *short });
            }
        }
        Ok(())
    }

    /// Returns the alert rules of its windows. They fire and resolve at once: the short window is
    /// their hysteresis.
    pub fn rules(&self) -> Vec<AlertRule> {
        self.windows.iter().map(|window| AlertRule::new(window.rule.clone(), window.severity)).collect()
    }

    /// Judges every pair of windows by what a log holds.
    pub fn evaluate(&self, log: &BurnLog) -> Vec<BurnReading> {
        self.windows.iter().map(|window| self.judge(window, log)).collect()
    }

    fn judge(&self, BurnWindow { rule, factor, long, short, .. }: &BurnWindow, log: &BurnLog) -> BurnReading {
        let (in_long, in_short) = (log.window(*long), log.window(*short));
        let age = log.age();
        // An hour of which five minutes are known had at least a twelfth of their rate.
        let known = (age.as_secs_f64() / long.as_secs_f64()).min(1.0);
        let over_long = self.rate(in_long) * known;
        let over_short = self.rate(in_short);
        let breached = if age < *short || in_short.total < self.min_samples || !over_long.is_finite() {
            None
        } else if over_short <= *factor {
            Some(false)
        } else if over_long > *factor && in_long.bad >= self.min_bad {
            Some(true)
        } else if age >= *long {
            Some(false)
        } else {
            None
        };
        let limit = if breached == Some(true) { "both above" } else { "with a limit of" };
        let detail = format!(
            "burn rate of the error budget is {over_long:.2} over {} and {over_short:.2} over {}, {limit} {factor} ({} of \
             {} and {} of {} responses failed)",
            in_words(*long),
            in_words(*short),
            in_long.bad,
            in_long.total,
            in_short.bad,
            in_short.total
        );
        BurnReading {
            rule: rule.clone().into_owned(),
            factor: *factor,
            long: over_long,
            short: over_short,
            breached,
            detail,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is compared with factors far coarser than 2⁻⁵³")]
    fn rate(&self, Outcomes { total, bad }: Outcomes) -> f64 {
        if total == 0 { 0.0 } else { bad.min(total) as f64 / total as f64 / self.budget() }
    }

    fn budget(&self) -> f64 {
        // 1 − 0.999 is a hair above 0.001.
        ((1.0 - self.objective) * 1e12).round() / 1e12
    }
}

impl BurnReading {
    /// Returns it as an observation for alerts.
    pub fn observation(&self) -> Observation<'_> {
        Observation::new(&*self.rule, self.breached, self.long, self.factor).detail(&*self.detail)
    }
}

fn is_kept(window: Duration) -> bool {
    let unit = if window <= MINUTES_REACH { MINUTE } else { HOUR };
    window >= MINUTE && window <= LONGEST && window.as_nanos().is_multiple_of(unit.as_nanos())
}

fn in_words(window: Duration) -> String {
    match window.as_secs() / 60 {
        minutes if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

const fn twenty() -> u64 {
    20
}

const fn five() -> u64 {
    5
}
