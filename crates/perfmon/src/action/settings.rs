//! Settings of automatic changes.

/// The settings of [`Actions`](super::Actions). The bounds of a step, of a day and of the time
/// between changes are fixed: see the module.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether anything is changed at all; false.
    pub enabled: bool,
    /// The least confidence of an advice that is followed; 0.6.
    pub confidence: f64,
    /// How many entries the journal keeps; 200.
    pub journal: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: false, confidence: 0.6, journal: 200 }
    }
}
