//! One setting, as the catalogue lists it.

/// One setting: its names, its default and its meaning.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Key in the settings file. A dot opens a table.
    pub key: &'static str,
    /// Environment variable, which overrides the file.
    pub variable: &'static str,
    /// Default value. `None` if the setting is not set by default.
    pub default: Option<&'static str>,
    /// Description for `--help` and `--print-settings`.
    pub meaning: &'static str,
    /// Whether its value is masked wherever settings are shown.
    pub is_secret: bool,
}

pub(crate) const fn setting(
    key: &'static str,
    variable: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Setting {
    Setting { key, variable, default, meaning, is_secret: false }
}

pub(crate) const fn secret(key: &'static str, variable: &'static str, meaning: &'static str) -> Setting {
    Setting { key, variable, default: None, meaning, is_secret: true }
}
