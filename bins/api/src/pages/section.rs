//! The sections of the board, as pages show them.

use serde_json::Value;

use crate::app::App;

/// The section of that name, its lists of at most `most`; null where there is none.
pub(super) fn told(app: &App, name: &str, most: usize) -> Value {
    let sections = app.node().telemetry.board().sections();
    sections.iter().find(|section| section.name() == name).map_or(Value::Null, |section| section.json(most))
}

/// One of its lists.
pub(super) fn items<'a>(told: &'a Value, list: &str) -> &'a [Value] {
    told[list].as_array().map_or(&[], Vec::as_slice)
}
