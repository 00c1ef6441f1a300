//! Lifetimes of cached values, and when expired ones are served: one setting per class.

use std::fmt;
use std::time::Duration;

use humantime::{format_duration, parse_duration};
use tidegate_cache::TtlClass;
use tidegate_model::cache_classes;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Maximum time that a reader or a load may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "cache.schedule",
        "TIDEGATE_CACHE_SCHEDULE",
        Some("ttl=2h, grace=1h, soft_timeout=250ms, refresh_ahead=5m, early_refresh=on, sliding=off, wait=10s"),
        "cached schedules: options separated by commas; an option that is not named keeps its default",
    ),
    setting(
        "cache.tenant",
        "TIDEGATE_CACHE_TENANT",
        Some("ttl=10m, grace=1h, soft_timeout=250ms, refresh_ahead=1m, early_refresh=on, sliding=off, wait=10s"),
        "cached tenants and their keys; options as for cache.schedule",
    ),
    setting(
        "cache.session",
        "TIDEGATE_CACHE_SESSION",
        Some("ttl=24h, grace=1h, soft_timeout=250ms, refresh_ahead=0s, early_refresh=on, sliding=off, wait=10s"),
        "cached sessions of users; options as for cache.schedule",
    ),
    setting(
        "cache.preferences",
        "TIDEGATE_CACHE_PREFERENCES",
        Some("ttl=7d, grace=1d, soft_timeout=250ms, refresh_ahead=0s, early_refresh=on, sliding=off, wait=10s"),
        "cached preferences of users; options as for cache.schedule",
    ),
];

/// Settings of the cache classes.
#[derive(Debug, Clone, Copy)]
pub struct CacheClasses {
    /// Schedules and their first pages.
    pub schedule: ClassSettings,
    /// Tenants and the digests of their keys.
    pub tenant: ClassSettings,
    /// Sessions of users.
    pub session: ClassSettings,
    /// Preferences of users.
    pub preferences: ClassSettings,
}

impl CacheClasses {
    /// Returns the settings of the class with that name.
    pub fn of(&self, class: &str) -> Option<&ClassSettings> {
        [&self.schedule, &self.tenant, &self.session, &self.preferences].into_iter().find(|known| known.name == class)
    }
}

/// Settings of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassSettings {
    /// Name of the class.
    pub name: &'static str,
    /// Lifetime of a value.
    pub ttl: Duration,
    /// How long after its expiry a value is served while the database fails or is slow.
    pub grace: Duration,
    /// How long a reader waits for the database before it gets the expired value.
    pub soft_timeout: Duration,
    /// How long before its expiry a read reloads the value in the background. Zero to switch that
    /// off.
    pub refresh_ahead: Duration,
    /// Whether reads near the expiry reload a value at random, earlier if its load is slow.
    pub early_refresh: bool,
    /// Maximum lifetime if the lifetime counts from the last read. `None` if it counts from the
    /// load.
    pub sliding: Option<Duration>,
    /// Maximum wait for another process that is loading the same value.
    pub wait: Duration,
}

impl ClassSettings {
    /// Returns the cache class with these settings.
    pub fn class(&self) -> TtlClass {
        let class = TtlClass::new(self.name, self.ttl)
            .grace(self.grace)
            .soft_timeout(self.soft_timeout)
            .refresh_ahead(self.refresh_ahead)
            .early_refresh(if self.early_refresh { 100 } else { 0 })
            .load_wait(self.wait);
        self.sliding.map_or(class, |cap| class.sliding(cap))
    }

    /// Applies `text`, comma-separated options, on top of these settings.
    fn laid_over(mut self, text: &str) -> Result<Self, String> {
        for option in text.split(',').map(str::trim) {
            let (name, value) =
                option.split_once('=').ok_or_else(|| format!("`{option}` is not an option such as ttl=2h"))?;
            let (name, value) = (name.trim(), value.trim());
            let time = |least: Duration, most: Duration| {
                let wanted = || {
                    format!(
                        "`{name}` must be a time from {} to {}, such as 30s or 2h, and not `{value}`",
                        format_duration(least),
                        format_duration(most)
                    )
                };
                parse_duration(value).ok().filter(|time| (least..=most).contains(time)).ok_or_else(wanted)
            };
            match name {
                "ttl" => self.ttl = time(Duration::from_secs(1), LONGEST)?,
                "grace" => self.grace = time(Duration::ZERO, LONGEST)?,
                "soft_timeout" => self.soft_timeout = time(Duration::ZERO, LONGEST_WAIT)?,
                "refresh_ahead" => self.refresh_ahead = time(Duration::ZERO, LONGEST)?,
                "early_refresh" => {
                    self.early_refresh = match value {
                        "on" => true,
                        "off" => false,
                        _ => return Err(format!("`{name}` must be `on` or `off`, and not `{value}`")),
                    };
                }
                "sliding" => {
                    self.sliding = if value == "off" { None } else { Some(time(Duration::from_secs(1), LONGEST)?) };
                }
                "wait" => self.wait = time(Duration::ZERO, LONGEST_WAIT)?,
                _ => {
                    return Err(format!(
                        "there is no option `{name}`; there are ttl, grace, soft_timeout, refresh_ahead, \
                         early_refresh, sliding and wait"
                    ));
                }
            }
        }
        match self.sliding {
            Some(cap) if cap < self.ttl => Err(format!(
                "`sliding` is the cap of a lifetime that reads prolong, and so not below `ttl`, {}",
                format_duration(self.ttl)
            )),
            _ => Ok(self),
        }
    }
}

/// Writes the options as in a setting.
impl fmt::Display for ClassSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sliding = self.sliding.map_or_else(|| "off".to_owned(), |cap| format_duration(cap).to_string());
        write!(
            f,
            "ttl={}, grace={}, soft_timeout={}, refresh_ahead={}, early_refresh={}, sliding={sliding}, wait={}",
            format_duration(self.ttl),
            format_duration(self.grace),
            format_duration(self.soft_timeout),
            format_duration(self.refresh_ahead),
            if self.early_refresh { "on" } else { "off" },
            format_duration(self.wait)
        )
    }
}

pub(crate) fn classes(raw: &Reader<'_>) -> Result<CacheClasses, SettingsError> {
    Ok(CacheClasses {
        schedule: class(raw, cache_classes::SCHEDULE.name(), "cache.schedule")?,
        tenant: class(raw, "tenant", "cache.tenant")?,
        session: class(raw, TtlClass::SESSION.name(), "cache.session")?,
        preferences: class(raw, cache_classes::PREFERENCES.name(), "cache.preferences")?,
    })
}

/// An option that is not named keeps its default.
fn class(raw: &Reader<'_>, name: &'static str, key: &'static str) -> Result<ClassSettings, SettingsError> {
    let nothing = ClassSettings {
        name,
        ttl: Duration::ZERO,
        grace: Duration::ZERO,
        soft_timeout: Duration::ZERO,
        refresh_ahead: Duration::ZERO,
        early_refresh: false,
        sliding: None,
        wait: Duration::ZERO,
    };
    let wrong = |reason| raw.invalid(key, reason);
    let default = nothing.laid_over(raw.default(key)).map_err(wrong)?;
    raw.text(key).map_or(Ok(default), |(text, _)| default.laid_over(text)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn by_default_reads_are_served_stale_while_the_database_fails() {
        let classes = check_with(&[]).unwrap().cache_classes;
        for class in [classes.schedule, classes.tenant, classes.session, classes.preferences] {
            assert!(class.grace >= HOUR && class.soft_timeout > Duration::ZERO, "{class}");
            assert_eq!((class.sliding, class.wait), (None, Duration::from_secs(10)), "{class}");
        }
        assert_eq!(classes.schedule.ttl, 2 * HOUR);
    }

    #[test]
    fn an_option_that_is_not_named_keeps_its_default() {
        let default = check_with(&[]).unwrap().cache_classes.schedule;
        let variables = [("TIDEGATE_CACHE_SCHEDULE", "ttl=10m, sliding = 1h,early_refresh=off")];
        let set = check_with(&variables).unwrap().cache_classes.schedule;
        let wanted = ClassSettings { ttl: HOUR / 6, sliding: Some(HOUR), early_refresh: false, ..default };
        assert_eq!(set, wanted);
        assert_eq!(default.laid_over(&set.to_string()), Ok(set), "what is shown can be set");
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (text, reason) in [
            ("ttl=0s", "`ttl` must be a time from 1s"),
            ("ttl=soon", "and not `soon`"),
            ("life=1h", "no option `life`"),
            ("2h", "not an option such as ttl=2h"),
            ("ttl=1h,", "not an option"),
            ("early_refresh=yes", "`on` or `off`"),
            ("wait=3m", "from 0s to 2m"),
            ("sliding=1h", "not below `ttl`, 2h"),
        ] {
            let error = check_with(&[("TIDEGATE_CACHE_SCHEDULE", text)]).unwrap_err().to_string();
            assert!(error.contains("cache.schedule") && error.contains(reason), "{text}: {error}");
        }
    }
}
