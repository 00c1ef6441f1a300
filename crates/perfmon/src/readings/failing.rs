//! Which of several endpoints fails most.

use crate::health::config::HealthConfig;
use crate::health::reading::{Evidence, Reading};
use crate::health::wording::duration;
use crate::readings::excess::{FewSamples, Share, worst_window};
use crate::series::interval::Interval;
use crate::time::window::Window;

/// The endpoint that fails most: the one with the highest share of errors that chance does not
/// explain, or else the highest share with enough samples, or else the one with most samples.
pub(crate) struct Failing<'a> {
    config: &'a HealthConfig,
    worst: Option<Candidate>,
}

struct Candidate {
    share: Share,
    window: Window,
    evidence: Evidence,
    name: String,
}

/// How much is known of an endpoint, and how bad that is.
#[derive(PartialEq, PartialOrd)]
struct Rank {
    exceeds: bool,
    is_known: bool,
    value: f64,
    samples: u64,
}

impl<'a> Failing<'a> {
    pub(crate) fn new(config: &'a HealthConfig) -> Self {
        Self { config, worst: None }
    }

    pub(crate) fn consider(&mut self, long: &Interval, short: &[(Window, Interval)], name: impl Fn() -> String) {
        let config = self.config;
        let share = |of: &Interval| Share { over: of.errors(), count: of.responses(), limit: config.error_rate };
        let windows = || std::iter::once((config.window, long)).chain(short.iter().map(|(window, of)| (*window, of)));
        let shares = windows().map(|(window, of)| (share(of), share(of).value(), window));
        let (worst, evidence) = worst_window(shares, config.min_samples, FewSamples::Count);
        let Some((window, of)) = windows().nth(worst) else { return };
        let share = share(of);
        let rank = |share: Share, evidence| rank(share, evidence, config.min_samples);
        let is_worse = |worst: &Candidate| rank(share, evidence) > rank(worst.share, worst.evidence);
        if self.worst.as_ref().is_none_or(is_worse) {
            self.worst = Some(Candidate { share, window, evidence, name: name() });
        }
    }

    /// `failing_api`.
    pub(crate) fn reading(self) -> Reading {
        let limit = self.config.error_rate;
        let Some(Candidate { share, window, evidence, name }) = self.worst else {
            return Reading::new("failing_api", 0.0, limit).share().samples(0);
        };
        let Share { over, count, .. } = share;
        Reading::new("failing_api", share.value(), limit)
            .subject(format!("error rate of {name}{}", when(window, self.config)))
            .share()
            .samples(count)
            .evidence(evidence)
            .detail(format!("{over} of {count} responses failed"))
    }
}

fn rank(share: Share, evidence: Evidence, min_samples: u64) -> Rank {
    let is_known = share.count >= min_samples || evidence == Evidence::Beyond;
    let exceeds = is_known && evidence != Evidence::Chance && share.value() > share.limit;
    Rank { exceeds, is_known, value: if is_known { share.value() } else { 0.0 }, samples: share.count }
}

/// Returns the window in words, or nothing for the long window.
pub(crate) fn when(window: Window, config: &HealthConfig) -> String {
    if window == config.window { String::new() } else { format!(" within {}", duration(window.longest())) }
}
