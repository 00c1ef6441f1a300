//! Settings for tests.

use super::{RawSettings, Settings, SettingsError};

/// The defaults, and over them these variables.
///
/// # Errors
///
/// When one of them can't be used.
pub fn check_with(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
    RawSettings::load(None, environment)?.check()
}
