//! What an evaluation says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// The state of a service or of one of its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Fit.
    Healthy,
    /// It works, but a limit is exceeded or near.
    Degraded,
    /// It should not get traffic.
    Unhealthy,
    /// Too little is known.
    Unknown,
}

impl Health {
    /// `healthy`, `degraded`, `unhealthy` or `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the status of `application/health+json` (draft-inadarei-api-health-check): `pass`,
    /// `warn` or `fail`. Answer the first two with 200, and `fail` with 503.
    pub const fn check_status(self) -> &'static str {
        match self {
            Self::Healthy => "pass",
            Self::Degraded | Self::Unknown => "warn",
            Self::Unhealthy => "fail",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the state is as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// The component it concerns, or `overall`.
    pub component: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
    /// The value seen, where there is a finite one.
    pub observed: Option<f64>,
    /// The threshold it is held against, where there is a finite one.
    pub threshold: Option<f64>,
}

/// One reading as judged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Component {
    /// The reading's name.
    pub name: Cow<'static, str>,
    /// Its own state, without hysteresis: unknown if it cannot be judged, unhealthy from twice the
    /// threshold, degraded above the threshold, else healthy.
    pub state: Health,
    /// 100 up to half of the threshold, 70 at the threshold, 0 from twice the threshold; `None` if
    /// unknown.
    pub score: Option<u8>,
    /// The value seen, if finite.
    pub observed: Option<f64>,
    /// The threshold, if finite.
    pub threshold: Option<f64>,
    /// The unit of both.
    pub unit: Option<&'static str>,
    /// How many samples the value rests on.
    pub samples: Option<u64>,
    /// Whether the reading was given as critical.
    pub critical: bool,
    /// Whether it exceeds its threshold, or did and is not clear of it yet. Alerts use it. Not part
    /// of the JSON.
    pub held: bool,
}

/// The result of one evaluation.
///
/// It serializes as the body of `application/health+json`: `status` (`pass`, `warn`, `fail`),
/// `output`, `checks` by component, and beside these the members `health`, `score` and `reasons`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthReport {
    /// The state, with hysteresis.
    pub status: Health,
    /// The score of this evaluation, without hysteresis; `None` when nothing could be judged.
    pub score: Option<u8>,
    /// Never empty; the gravest first.
    pub reasons: Vec<Reason>,
    /// Every reading as judged, in the order given.
    pub components: Vec<Component>,
}

impl Serialize for HealthReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut checks: BTreeMap<&str, Vec<&Component>> = BTreeMap::new();
        for component in &self.components {
            checks.entry(&component.name).or_default().push(component);
        }
        let mut body = serializer.serialize_struct("HealthReport", 6)?;
        body.serialize_field("status", self.status.check_status())?;
        body.serialize_field("health", &self.status)?;
        body.serialize_field("score", &self.score)?;
        body.serialize_field("output", &self.reasons.first().map(|reason| &reason.message))?;
        body.serialize_field("reasons", &self.reasons)?;
        body.serialize_field("checks", &checks)?;
        body.end()
    }
}

impl Serialize for Component {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut check = serializer.serialize_struct("Component", 7)?;
        check.serialize_field("status", self.state.check_status())?;
        check.serialize_field("score", &self.score)?;
        check.serialize_field("observedValue", &self.observed)?;
        check.serialize_field("observedUnit", &self.unit)?;
        check.serialize_field("threshold", &self.threshold)?;
        check.serialize_field("samples", &self.samples)?;
        check.serialize_field("critical", &self.critical)?;
        check.end()
    }
}
