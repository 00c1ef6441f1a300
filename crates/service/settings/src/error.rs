//! What is wrong with a setting.

use std::path::PathBuf;

use crate::source::Source;

/// An invalid setting. The message names the setting and its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("settings file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The settings file is not TOML.
    #[error("settings file {path} is not valid TOML: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        reason: String,
    },
    /// The settings file has an unknown key.
    #[error("settings file {path}: unknown setting `{key}`{hint}", path = path.display(), hint = did_you_mean(*.nearest))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The most similar known key.
        nearest: Option<&'static str>,
    },
    /// A variable is named like a setting but is unknown.
    #[error("unknown environment variable {name}{hint}", hint = nearest.map_or_else(String::new, |known| format!(" (did you mean {known}?)")))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The most similar known variable.
        nearest: Option<&'static str>,
    },
    /// A setting of an older version.
    #[error("{name} is no longer a setting: {instead}")]
    Retired {
        /// The variable, or the file and the key.
        name: String,
        /// Advice on what to set in its place.
        instead: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("{setting} ({origin}): {reason}")]
    Invalid {
        /// The setting's key.
        setting: &'static str,
        /// Environment variable, file or default.
        origin: Source,
        /// The fault, and what a valid value looks like.
        reason: String,
    },
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!(" (did you mean `{key}`?)"))
}
