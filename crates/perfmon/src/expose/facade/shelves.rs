//! The series of a bridge, by name.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Unit;

use super::figure::BridgedFigure;
use super::scale::Scale;
use super::series::{Count, Level, Samples};

#[derive(Default)]
pub(super) struct Shelves {
    pub(super) series: HashMap<(String, Labels), Handle>,
    /// By the name that a library gave.
    pub(super) families: HashMap<String, Family>,
    /// By the name that is shown.
    pub(super) shown: HashMap<String, Shown>,
    pub(super) described: HashMap<String, Described>,
}

/// Names and values, in the order of names.
pub(super) type Labels = Vec<(String, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) scale: Scale,
    /// As it is shown.
    pub(super) name: String,
}

pub(super) struct Shown {
    pub(super) kind: Kind,
    /// The name that the library gave.
    pub(super) given: String,
}

pub(super) struct Described {
    pub(super) unit: Option<Unit>,
    pub(super) help: String,
}

#[derive(Clone)]
pub(super) enum Handle {
    Counter(Arc<Count>),
    Gauge(Arc<Level>),
    Histogram(Arc<Samples>),
}

impl Shelves {
    /// Returns the family for a name that a library uses, whether it exists yet or not; `None` if
    /// the name already has another kind.
    pub(super) fn family(&self, kind: Kind, given: &str) -> Option<Family> {
        let family = self.families.get(given).cloned().unwrap_or_else(|| {
            let unit = self.described.get(given).and_then(|described| described.unit);
            let (scale, name) = match kind {
                Kind::Counter => (Scale::Plain, given.strip_suffix("_total").unwrap_or(given).to_owned()),
                Kind::Gauge => (Scale::Plain, given.to_owned()),
                Kind::Histogram => {
                    let scale = Scale::of(unit, given);
                    (scale, scale.named(given))
                }
            };
            Family { kind, scale, name }
        });
        let is_other = self.shown.get(&family.name).is_some_and(|shown| shown.kind != kind);
        (family.kind == kind && !is_other).then_some(family)
    }

    pub(super) fn help(&self, name: &str) -> &str {
        let described = self.shown.get(name).and_then(|shown| self.described.get(&shown.given));
        described.map_or("", |described| described.help.as_str())
    }
}

impl Handle {
    pub(super) fn figure(&self) -> BridgedFigure {
        match self {
            Self::Counter(count) => BridgedFigure::Counter(count.get()),
            Self::Gauge(level) => BridgedFigure::Gauge(level.get()),
            Self::Histogram(samples) => samples.figure(),
        }
    }
}
