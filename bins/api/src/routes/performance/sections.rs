//! All sections: those of the API itself, then the registered ones.

use std::sync::Arc;

use serde_json::{Map, Value};
use tidegate_telemetry::{Section, Table};

use super::query::{CheckedQuery, EXPORT, unknown};
use super::{builtin, flat};
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

/// The parts that one request may see.
pub(super) struct Sections(Vec<Arc<dyn Section>>);

impl Sections {
    pub(super) fn of(app: &App, query: &CheckedQuery) -> Self {
        let mut all = builtin::sections(&app.node().telemetry, query);
        all.extend(app.node().telemetry.sources().sections());
        Self(all)
    }

    pub(super) fn find(&self, name: &str) -> Result<&dyn Section, Problem> {
        let found = self.0.iter().find(|section| section.name() == name).map(Arc::as_ref);
        found.ok_or_else(|| {
            let known = self.0.iter().map(|section| section.name()).chain([EXPORT]);
            unknown("type", "bad-type", name, known)
        })
    }

    pub(super) fn json(&self, limit: usize) -> Map<String, Value> {
        self.0.iter().map(|section| (section.name().to_owned(), section.json(limit))).collect()
    }

    pub(super) fn tables(&self, limit: usize) -> impl Iterator<Item = (&'static str, Table)> + '_ {
        self.0.iter().map(move |section| (section.name(), table(section.as_ref(), limit)))
    }
}

/// Returns a section as rows: its own, or else each of its figures under its path.
pub(super) fn table(section: &dyn Section, limit: usize) -> Table {
    section.table(limit).unwrap_or_else(|| flat::table(&section.json(limit)))
}
