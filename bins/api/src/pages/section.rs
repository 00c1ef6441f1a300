//! The registered sections, as pages show them.

use serde_json::Value;

use tidegate_web::app::App;

/// Returns the section with that name, with at most `most` items per list. Null if there is none.
pub(super) fn told(app: &App, name: &str, most: usize) -> Value {
    let sections = app.node().telemetry.sources().sections();
    sections.iter().find(|section| section.name() == name).map_or(Value::Null, |section| section.json(most))
}

/// Returns one of its lists.
pub(super) fn items<'a>(told: &'a Value, list: &str) -> &'a [Value] {
    told[list].as_array().map_or(&[], Vec::as_slice)
}
