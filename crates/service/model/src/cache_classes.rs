//! TTL classes of the application's cache that the library does not declare.

use std::time::Duration;

use tidegate_cache::TtlClass;

/// Schedules, and first pages of them: 2 hours.
pub const SCHEDULE: TtlClass = TtlClass::new("schedule", Duration::from_hours(2));

/// Preferences of users: 7 days.
pub const PREFERENCES: TtlClass = TtlClass::new("preferences", Duration::from_hours(7 * 24));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_as_promised() {
        let hour = Duration::from_secs(3600);
        for (class, name, ttl) in [(SCHEDULE, "schedule", 2 * hour), (PREFERENCES, "preferences", 7 * 24 * hour)] {
            assert_eq!((class.name(), class.ttl()), (name, ttl));
        }
    }
}
