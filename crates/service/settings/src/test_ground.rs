//! Settings for tests.

use crate::{RawSettings, Settings, SettingsError};

/// Checks the defaults with these variables on top.
///
/// # Errors
///
/// If one of them is invalid.
pub fn check_with(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
    RawSettings::load(None, environment)?.check()
}
