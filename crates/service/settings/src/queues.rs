//! Which queues a process serves, and with which settings.

use std::time::Duration;

use tidegate_model::queues::{ALL, QUEUES, ServedQueue};

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "queues",
        "TIDEGATE_QUEUES",
        Some("all"),
        "queues whose jobs the process runs, separated by commas, or `all`; jobs of a queue that no process serves wait",
    ),
    setting(
        "queue.analytics_concurrency",
        "TIDEGATE_QUEUE_ANALYTICS_CONCURRENCY",
        Some("1"),
        "maximum number of analytics jobs that one process runs at a time",
    ),
    setting("queue.analytics_timeout", "TIDEGATE_QUEUE_ANALYTICS_TIMEOUT", Some("10m"), "timeout of one analytics run"),
    setting("analytics.keep", "TIDEGATE_ANALYTICS_KEEP", Some("400d"), "how long a day's figures are kept"),
    setting(
        "queue.import_concurrency",
        "TIDEGATE_QUEUE_IMPORT_CONCURRENCY",
        Some("2"),
        "maximum number of imports that one process runs at a time",
    ),
    setting("queue.lease", "TIDEGATE_QUEUE_LEASE", Some("15s"), "how long a job stays assigned to a dead worker"),
    setting("queue.grace", "TIDEGATE_QUEUE_GRACE", Some("10s"), "how long a shutdown lets running jobs continue"),
    setting("import.chunk", "TIDEGATE_IMPORT_CHUNK", Some("500"), "number of lines per transaction of an import"),
    setting("import.pause", "TIDEGATE_IMPORT_PAUSE", Some("0s"), "pause between two transactions of an import"),
    setting(
        "import.max_rejects",
        "TIDEGATE_IMPORT_MAX_REJECTS",
        Some("10000"),
        "maximum number of rejected lines per import; one more stops it",
    ),
    setting(
        "import.max_pending",
        "TIDEGATE_IMPORT_MAX_PENDING",
        Some("20"),
        "maximum number of uploading, waiting or running imports per tenant; further ones get a 429",
    ),
    setting(
        "queue.export_concurrency",
        "TIDEGATE_QUEUE_EXPORT_CONCURRENCY",
        Some("1"),
        "maximum number of exports that one process runs at a time",
    ),
    setting("export.timeout", "TIDEGATE_EXPORT_TIMEOUT", Some("1h"), "timeout of one run of an export"),
    setting(
        "queue.report_concurrency",
        "TIDEGATE_QUEUE_REPORT_CONCURRENCY",
        Some("1"),
        "maximum number of reports that one process creates at a time",
    ),
    setting("report.timeout", "TIDEGATE_REPORT_TIMEOUT", Some("1h"), "timeout of one run of a report"),
    setting(
        "queue.backup_concurrency",
        "TIDEGATE_QUEUE_BACKUP_CONCURRENCY",
        Some("1"),
        "maximum number of backups that one process runs at a time",
    ),
    setting("backup.timeout", "TIDEGATE_BACKUP_TIMEOUT", Some("1h"), "timeout of one run of a backup"),
    setting("import.timeout", "TIDEGATE_IMPORT_TIMEOUT", Some("6h"), "timeout of one run of an import"),
    setting(
        "queue.email_concurrency",
        "TIDEGATE_QUEUE_EMAIL_CONCURRENCY",
        Some("4"),
        "maximum number of mails that one process sends at a time",
    ),
    setting("queue.email_timeout", "TIDEGATE_QUEUE_EMAIL_TIMEOUT", Some("2m"), "timeout of one run of a mail job"),
    setting(
        "queue.notification_concurrency",
        "TIDEGATE_QUEUE_NOTIFICATION_CONCURRENCY",
        Some("8"),
        "maximum number of notices that one process writes at a time",
    ),
    setting(
        "queue.notification_timeout",
        "TIDEGATE_QUEUE_NOTIFICATION_TIMEOUT",
        Some("2m"),
        "timeout of one run of a notice job",
    ),
    setting(
        "queue.schedule_concurrency",
        "TIDEGATE_QUEUE_SCHEDULE_CONCURRENCY",
        Some("4"),
        "maximum number of reminder and schedule jobs that one process runs at a time",
    ),
    setting(
        "queue.schedule_timeout",
        "TIDEGATE_QUEUE_SCHEDULE_TIMEOUT",
        Some("10m"),
        "timeout of one run of a reminder or schedule job",
    ),
    setting(
        "queue.webhook_concurrency",
        "TIDEGATE_QUEUE_WEBHOOK_CONCURRENCY",
        Some("8"),
        "maximum number of concurrent webhook requests per process, of which one tenant gets at most a quarter",
    ),
    setting(
        "queue.webhook_timeout",
        "TIDEGATE_QUEUE_WEBHOOK_TIMEOUT",
        Some("2m"),
        "timeout of one run of a webhook job",
    ),
    setting(
        "queue.partitions",
        "TIDEGATE_QUEUE_PARTITIONS",
        Some("1"),
        "number of Redis Cluster slots over which the jobs of one queue are spread; the same for all processes",
    ),
];

/// Settings of job execution.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Number of cluster slots over which one queue is spread on Redis.
    pub partitions: u16,
    /// The queues that a worker of the process serves, with their settings.
    pub served: Vec<ServedQueue>,
    /// How long a job stays assigned to a dead worker before another worker takes it.
    pub lease: Duration,
    /// How long a shutdown lets running jobs continue before it releases them.
    pub grace: Duration,
    /// Number of lines per transaction of an import.
    pub import_chunk: usize,
    /// Pause between two of these transactions.
    pub import_pause: Duration,
    /// Maximum number of rejected lines per import. One more stops it.
    pub import_max_rejects: u64,
    /// Maximum number of waiting or running imports per tenant, including uploads in progress.
    pub import_max_pending: u32,
}

const LEAST_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Ten years.
const MOST_KEPT: Duration = Duration::from_secs(3_660 * 24 * 3600);

pub(crate) fn queue(raw: &Reader<'_>) -> Result<QueueSettings, SettingsError> {
    Ok(QueueSettings {
        partitions: raw.count("queue.partitions", 1..=256)?,
        served: served(raw)?,
        lease: raw.duration("queue.lease", Duration::from_secs(1), Duration::from_secs(3600))?,
        grace: raw.duration("queue.grace", Duration::ZERO, Duration::from_secs(3600))?,
        import_chunk: raw.count("import.chunk", 1..=500)?,
        import_pause: raw.duration("import.pause", Duration::ZERO, Duration::from_secs(60))?,
        import_max_rejects: raw.count("import.max_rejects", 0..=1_000_000)?,
        import_max_pending: raw.count("import.max_pending", 1..=100_000)?,
    })
}

pub(crate) fn analytics_keep(raw: &Reader<'_>) -> Result<Duration, SettingsError> {
    raw.duration("analytics.keep", Duration::from_secs(24 * 3600), MOST_KEPT)
}

/// Settings of queues that are not served are checked too.
fn served(raw: &Reader<'_>) -> Result<Vec<ServedQueue>, SettingsError> {
    let names = raw.required("queues", &format!("`all`, or some of {}", QUEUES.join(", ")), chosen)?;
    let mut served = Vec::new();
    for queue in ALL {
        let concurrency = raw.count(queue.concurrency, 1..=64)?;
        let timeout = raw.duration(queue.timeout, LEAST_TIMEOUT, MOST_TIMEOUT)?;
        if names.contains(&queue.name) {
            served.push(ServedQueue { queue, concurrency, timeout });
        }
    }
    Ok(served)
}

fn chosen(text: &str) -> Option<Vec<&'static str>> {
    if text == "all" {
        return Some(QUEUES.to_vec());
    }
    text.split(',').map(|name| QUEUES.iter().find(|known| **known == name.trim()).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_chosen_by_name() {
        assert_eq!(chosen("all"), Some(QUEUES.to_vec()));
        assert_eq!(chosen(" import "), Some(vec!["import"]));
        for bad in ["", "import,", "imports", "all,import"] {
            assert_eq!(chosen(bad), None, "{bad:?}");
        }
    }
}
