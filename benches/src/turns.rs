//! Two sides of a comparison that take turns, so that both have the same machine.

use crate::time::{ClockId, processor_time};

/// How one side's time compares to another's.
pub struct Comparison {
    /// The middle time of a step of ours, in seconds.
    pub ours: f64,
    /// The middle time of a step of theirs, in seconds.
    pub theirs: f64,
    /// Quartiles of the ratios of neighbouring rounds: below 1 ours is faster.
    pub ratios: [f64; 3],
}

impl Comparison {
    /// Lets both sides work this number of rounds of `steps` each, in turns. Measures this thread's
    /// processor time, to which other work on the machine adds nothing.
    ///
    /// # Panics
    ///
    /// Without rounds or steps.
    pub fn in_turns(rounds: usize, steps: u32, ours: impl FnMut(u32), theirs: impl FnMut(u32)) -> Self {
        Self::in_turns_after(|| {}, rounds, steps, ours, theirs)
    }

    /// [`in_turns`](Self::in_turns), and does something before each round that is not measured.
    ///
    /// # Panics
    /// Without rounds or steps.
    pub fn in_turns_after(
        mut before: impl FnMut(),
        rounds: usize,
        steps: u32,
        mut ours: impl FnMut(u32),
        mut theirs: impl FnMut(u32),
    ) -> Self {
        assert!(rounds > 0 && steps > 0, "nothing to measure");
        let mut times: Vec<(f64, f64)> = Vec::with_capacity(rounds);
        for round in 0..=rounds {
            before();
            // The first side alternates, so that neither always finds the other's data in the
            // caches.
            let pair = if round % 2 == 0 {
                let first = time(&mut ours, steps);
                (first, time(&mut theirs, steps))
            } else {
                let first = time(&mut theirs, steps);
                (time(&mut ours, steps), first)
            };
            // The round before the first warms up.
            if round > 0 {
                times.push(pair);
            }
        }
        let [_, ours, _] = quartiles(times.iter().map(|pair| pair.0));
        let [_, theirs, _] = quartiles(times.iter().map(|pair| pair.1));
        let ratios = quartiles(times.iter().map(|pair| pair.0 / pair.1));
        Self { ours: ours / f64::from(steps), theirs: theirs / f64::from(steps), ratios }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, middle, high] = self.ratios;
        write!(f, "{:.1} ns beside {:.1} ns: ", self.ours * 1e9, self.theirs * 1e9)?;
        write!(f, "ratio {middle:.2} ({low:.2} to {high:.2})")
    }
}

/// Returns the lower quartile, the median and the upper quartile.
///
/// # Panics
///
/// Without values.
pub fn quartiles(values: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|nth| values[(values.len() - 1) * nth / 4])
}

fn time(work: &mut impl FnMut(u32), steps: u32) -> f64 {
    let begun = processor_time(ClockId::ThreadCPUTime);
    work(steps);
    (processor_time(ClockId::ThreadCPUTime) - begun).as_secs_f64()
}
