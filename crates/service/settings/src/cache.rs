//! The in-process cache, and its warm-up.

pub(crate) mod classes;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting("cache.size", "TIDEGATE_CACHE_SIZE", Some("256MiB"), "memory of the in-process cache"),
    setting(
        "cache.warm_up",
        "TIDEGATE_CACHE_WARM_UP",
        Some("1000, concurrency=4"),
        "maximum number of hot keys that the API remembers, in data_dir and on Redis, and loads at its next start (0: none), and number of keys that it loads concurrently",
    ),
];

/// Cache warm-up of the API before its first request.
#[derive(Debug, Clone, Copy)]
pub struct WarmUpSettings {
    /// Maximum number of hot keys that are remembered and loaded. 0 to switch the warm-up off.
    pub keys: usize,
    /// Number of concurrent loads.
    pub concurrency: usize,
}

pub(crate) fn size(raw: &Reader<'_>) -> Result<u64, SettingsError> {
    raw.size("cache.size", 1 << 20..=1 << 40)
}

pub(crate) fn warm_up(raw: &Reader<'_>) -> Result<WarmUpSettings, SettingsError> {
    let options = raw.options("cache.warm_up")?;
    Ok(WarmUpSettings { keys: options.count("", 0..=100_000)?, concurrency: options.count("concurrency", 1..=64)? })
}

#[cfg(test)]
mod tests {
    use crate::test_ground::check_with;

    #[test]
    fn by_default_a_start_is_warm() {
        assert_eq!(check_with(&[]).unwrap().warm_up.keys, 1_000);
    }
}
