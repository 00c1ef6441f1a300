//! The list of all settings. Each group has its rows in a file of its own.

use crate::cache::classes;
use crate::setting::Setting;
use crate::{
    alerts, cache, callers, database, email, files, http_server, limits, log, notifications, otlp, performance,
    process, queues, redis, reminders, tls, tokens,
};

/// Settings of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The subject, as a heading.
    pub title: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
}

const fn group(title: &'static str, settings: &'static [Setting]) -> Group {
    Group { title, settings }
}

/// Every group, in the order in which they are shown.
pub const GROUPS: &[Group] = &[
    group("Process", process::SETTINGS),
    group("TLS", tls::SETTINGS),
    group("Tokens", tokens::SETTINGS),
    group("Callers", callers::SETTINGS),
    group("Log", log::SETTINGS),
    group("HTTP server", http_server::SETTINGS),
    group("Cache", cache::SETTINGS),
    group("Classes of the cache", classes::SETTINGS),
    group("Rate limits", limits::SETTINGS),
    group("Queues and jobs", queues::SETTINGS),
    group("Files", files::SETTINGS),
    group("Reminders", reminders::SETTINGS),
    group("Mail", email::SETTINGS),
    group("Notifications and webhooks", notifications::SETTINGS),
    group("Performance and health", performance::SETTINGS),
    group("Alerts", alerts::SETTINGS),
    group("OpenTelemetry", otlp::SETTINGS),
    group("Redis", redis::SETTINGS),
    group("Database", database::SETTINGS),
];

/// Every setting, in the order in which they are shown.
pub const CATALOGUE: &[Setting] = &joined();

const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].settings.len();
        group += 1;
    }
    count
};

/// An operator reads them all. Give a new one as an option of a setting that is there.
const MAX_SETTINGS: usize = 85;
const _: () = assert!(COUNT <= MAX_SETTINGS, "there are more settings than an operator reads");

const fn joined() -> [Setting; COUNT] {
    let mut all = [GROUPS[0].settings[0]; COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].settings.len() {
            all[at] = GROUPS[group].settings[row];
            at += 1;
            row += 1;
        }
        group += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::CATALOGUE;

    #[test]
    fn keys_and_variables_are_unique() {
        let keys: HashSet<_> = CATALOGUE.iter().map(|setting| setting.key).collect();
        let variables: HashSet<_> = CATALOGUE.iter().map(|setting| setting.variable).collect();
        assert_eq!(keys.len(), CATALOGUE.len());
        assert_eq!(variables.len(), CATALOGUE.len());
    }
}
