//! Reminders of schedules.

use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "reminders.lead",
        "TIDEGATE_REMINDERS_LEAD",
        Some("15m"),
        "how long before an occurrence of a schedule its reminder is sent",
    ),
    setting(
        "reminders.horizon",
        "TIDEGATE_REMINDERS_HORIZON",
        Some("1h"),
        "how long before sending it a reminder is prepared",
    ),
    setting(
        "reminders.email",
        "TIDEGATE_REMINDERS_EMAIL",
        Some("off"),
        "`on`: attendees with a mail address get a mail with each reminder",
    ),
    setting(
        "reminders.per_tenant_day",
        "TIDEGATE_REMINDERS_PER_TENANT_DAY",
        Some("1000"),
        "maximum number of reminders, and of mails for them, per tenant and day (UTC); no further ones are sent",
    ),
];

/// Reminders of occurrences that are about to begin.
#[derive(Debug, Clone, Copy)]
pub struct ReminderSettings {
    /// How long before an occurrence its reminder is sent.
    pub lead: Duration,
    /// How long before sending it a reminder is prepared.
    pub horizon: Duration,
    /// Whether attendees that are mail addresses get a mail.
    pub email: bool,
    /// Maximum number of reminders, and of mails for them, per tenant and day.
    pub per_tenant_day: u32,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn reminders(raw: &Reader<'_>) -> Result<ReminderSettings, SettingsError> {
    Ok(ReminderSettings {
        lead: raw.duration("reminders.lead", Duration::ZERO, 7 * DAY)?,
        horizon: raw.duration("reminders.horizon", Duration::from_secs(300), DAY)?,
        email: raw.switch("reminders.email")?,
        per_tenant_day: raw.count("reminders.per_tenant_day", 1..=1_000_000)?,
    })
}
