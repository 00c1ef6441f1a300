//! The log: its filter and its format.

use tidegate_base::similar::most_like;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting("log", "RUST_LOG", Some("info,fred=off"), "log filter"),
    setting(
        "log_format",
        "TIDEGATE_LOG_FORMAT",
        Some("text"),
        "`text`: readable lines; `json`: one JSON object per line, for log collectors",
    ),
];

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Returns a word of a log filter that is almost a level. `None` if there is none. The filter would
/// take that word for the name of a module, and log only that module.
pub fn misspelt_level(filter: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
    let words = filter.split(',').map(|word| word.trim().to_lowercase());
    words.filter(|word| !LEVELS.contains(&&**word) && word != "warning").find_map(|word| {
        let level = most_like(&word, LEVELS.into_iter())?;
        Some(format!("`{word}` is no level: did you mean `{level}`?"))
    })
}

/// Returns the log filter.
pub(crate) fn filter(raw: &Reader<'_>) -> Result<String, SettingsError> {
    let filter = raw.required("log", "a filter such as info,tidegate=debug", |text| {
        tracing_subscriber::EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
    })?;
    misspelt_level(&filter).map_or(Ok(filter), |fault| Err(raw.invalid("log", fault)))
}

pub(crate) fn format(raw: &Reader<'_>) -> Result<LogFormat, SettingsError> {
    raw.required("log_format", "`text` or `json`", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    })
}
