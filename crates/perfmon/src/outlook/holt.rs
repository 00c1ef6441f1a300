//! Holt's linear trend, damped, in the error-correction form of Gardner and `McKenzie` (1985).

/// How fast level and trend follow, and how fast the trend dies away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) level: f64,
    pub(super) trend: f64,
    /// The part of the trend that is left a minute later; 1 is Holt's own method.
    pub(super) damping: f64,
}

/// The estimate for the current minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) level: f64,
    pub(super) trend: f64,
}

impl Pace {
    /// From slow to fast.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        const LEVELS: [f64; 6] = [0.02, 0.05, 0.12, 0.3, 0.6, 0.95];
        const TRENDS: [f64; 4] = [0.0, 0.02, 0.1, 0.3];
        const DAMPINGS: [f64; 4] = [0.8, 0.95, 0.99, 1.0];
        LEVELS.into_iter().flat_map(|level| {
            TRENDS
                .into_iter()
                .flat_map(move |trend| DAMPINGS.into_iter().map(move |damping| Self { level, trend, damping }))
        })
    }

    /// The state a minute later; without a value, as foreseen.
    pub(super) fn next(self, state: State, value: Option<f64>) -> State {
        let foreseen = state.level + self.damping * state.trend;
        let error = value.map_or(0.0, |value| value - foreseen);
        State {
            level: foreseen + self.level * error,
            trend: self.damping * state.trend + self.level * self.trend * error,
        }
    }

    /// How many minutes' worth of trend lie ahead, by minute: φ, φ + φ², …
    pub(super) fn reach(self, minutes: usize) -> Vec<f64> {
        let mut left = 1.0;
        let mut sum = 0.0;
        (0..minutes)
            .map(|_| {
                left *= self.damping;
                sum += left;
                sum
            })
            .collect()
    }
}
