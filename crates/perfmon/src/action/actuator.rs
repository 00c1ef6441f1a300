//! A number that may be set while the service runs.

use std::ops::RangeInclusive;

use crate::mask::mask;

/// Sets one number of the running service. It must not block: it is called from the tick.
pub trait Actuator: Send + Sync {
    /// Name by which advice refers to it, such as `cache:schedules`.
    fn name(&self) -> &str;

    /// Returns the value in force.
    fn now(&self) -> f64;

    /// Returns the lowest and the highest allowed value.
    fn bounds(&self) -> RangeInclusive<f64>;

    /// Returns the step of which values are multiples, such as 1 for integers. 0 allows any value.
    fn grain(&self) -> f64 {
        0.0
    }

    /// Puts a value into force. From then on `now` returns it, or the value it was rounded to.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the reason. The value is then unchanged.
    fn set(&self, to: f64) -> Result<(), Refused>;
}

/// Why an actuator was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// Creates a refusal with a reason for people. The first 200 characters are kept. The reason is
    /// shown, so secrets are removed from it as by [`mask`](crate::mask()).
    pub fn new(reason: &str) -> Self {
        Self(mask(reason).chars().take(200).collect())
    }
}

/// Largest change at once, relative to the value.
const STEP: f64 = 0.25;

/// Returns the value after multiplication by a factor: within a step, within the bounds, a multiple
/// of the grain. `None` if that is the current value, or if the numbers cannot be calculated with.
pub(super) fn step(actuator: &dyn Actuator, factor: f64) -> Option<f64> {
    let (now, bounds, grain) = (actuator.now(), actuator.bounds(), actuator.grain());
    let (least, most) = (*bounds.start(), *bounds.end());
    if !(now.is_finite() && now > 0.0 && factor.is_finite() && least <= most && bounds.contains(&now)) {
        return None;
    }
    let wanted = (now * factor.clamp(1.0 - STEP, 1.0 + STEP)).clamp(least, most);
    // Towards the present value, so that no rounding makes the step longer.
    let to = match grain > 0.0 {
        true if wanted > now => (wanted / grain + 1e-9).floor() * grain,
        true => (wanted / grain - 1e-9).ceil() * grain,
        false => wanted,
    };
    let is_a_step = bounds.contains(&to) && (to - now) * (factor - 1.0) > 0.0;
    is_a_step.then_some(to)
}
