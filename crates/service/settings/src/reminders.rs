//! Reminders of schedules.

use std::time::Duration;

use super::SettingsError;
use super::reader::Reader;

/// How tenants are reminded of what is about to begin.
#[derive(Debug, Clone, Copy)]
pub struct ReminderSettings {
    /// How long before an occurrence its reminder is sent.
    pub lead: Duration,
    /// How long before it is sent a reminder is prepared.
    pub horizon: Duration,
    /// Whether attendees that are addresses get a mail.
    pub email: bool,
    /// Reminders, and mails of them, that a tenant may have on a day.
    pub per_tenant_day: u32,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn reminders(raw: &Reader<'_>) -> Result<ReminderSettings, SettingsError> {
    Ok(ReminderSettings {
        lead: raw.duration("reminders.lead", Duration::ZERO, 7 * DAY)?,
        horizon: raw.duration("reminders.horizon", Duration::from_secs(300), DAY)?,
        email: raw.switch("reminders.email")?,
        per_tenant_day: raw.count("reminders.per_tenant_day", 1..=1_000_000)?,
    })
}
