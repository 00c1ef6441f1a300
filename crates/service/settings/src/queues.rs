//! Which queues a process serves, and with which settings.

use std::time::Duration;

use tidegate_model::queues::{ALL, QUEUES, ServedQueue};

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

const CONCURRENCY: &str = "queue.concurrency";
const TIMEOUT: &str = "queue.timeout";

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "queues",
        "TIDEGATE_QUEUES",
        Some("all"),
        "queues whose jobs the process runs, separated by commas, or `all`; jobs of a queue that no process serves wait",
    ),
    setting("analytics.keep", "TIDEGATE_ANALYTICS_KEEP", Some("400d"), "how long a day's figures are kept"),
    setting("queue.lease", "TIDEGATE_QUEUE_LEASE", Some("15s"), "how long a job stays assigned to a dead worker"),
    setting("queue.grace", "TIDEGATE_QUEUE_GRACE", Some("10s"), "how long a shutdown lets running jobs continue"),
    setting(
        "queue.partitions",
        "TIDEGATE_QUEUE_PARTITIONS",
        Some("1"),
        "number of Redis Cluster slots over which the jobs of one queue are spread; the same for all processes",
    ),
    setting(
        CONCURRENCY,
        "TIDEGATE_QUEUE_CONCURRENCY",
        Some("analytics=1, backup=1, email=4, export=1, import=2, notification=8, report=1, schedule=4, webhook=8"),
        "maximum number of jobs of a queue that one process runs at a time; a number alone is for each queue",
    ),
    setting(
        TIMEOUT,
        "TIDEGATE_QUEUE_TIMEOUT",
        Some(
            "analytics=10m, backup=1h, email=2m, export=1h, import=6h, notification=2m, report=1h, schedule=10m, webhook=2m",
        ),
        "timeout of one run of a job of a queue; a time alone is for each queue",
    ),
    setting(
        "import",
        "TIDEGATE_IMPORT",
        Some("chunk=500, pause=0s, max_rejects=10000, max_pending=20"),
        "imports: lines per transaction, pause between two of them, rejected lines per import before it stops, and uploading, waiting or running imports per tenant before a 429",
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
    let imports = raw.options("import")?;
    Ok(QueueSettings {
        partitions: raw.count("queue.partitions", 1..=256)?,
        served: served(raw)?,
        lease: raw.duration("queue.lease", Duration::from_secs(1), Duration::from_secs(3600))?,
        grace: raw.duration("queue.grace", Duration::ZERO, Duration::from_secs(3600))?,
        import_chunk: imports.count("chunk", 1..=500)?,
        import_pause: imports.duration("pause", Duration::ZERO, Duration::from_secs(60))?,
        import_max_rejects: imports.count("max_rejects", 0..=1_000_000)?,
        import_max_pending: imports.count("max_pending", 1..=100_000)?,
    })
}

pub(crate) fn analytics_keep(raw: &Reader<'_>) -> Result<Duration, SettingsError> {
    raw.duration("analytics.keep", Duration::from_secs(24 * 3600), MOST_KEPT)
}

/// Settings of queues that are not served are checked too.
fn served(raw: &Reader<'_>) -> Result<Vec<ServedQueue>, SettingsError> {
    let names = raw.required("queues", &format!("`all`, or some of {}", QUEUES.join(", ")), chosen)?;
    let (numbers, timeouts) = (raw.options_or_one(CONCURRENCY)?, raw.options_or_one(TIMEOUT)?);
    let mut served = Vec::new();
    for queue in ALL {
        let concurrency = numbers.count(queue.name, 1..=64)?;
        let timeout = timeouts.duration(queue.name, LEAST_TIMEOUT, MOST_TIMEOUT)?;
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
    use crate::test_ground::check_with;

    #[test]
    fn every_queue_has_its_options() {
        for key in [CONCURRENCY, TIMEOUT] {
            let row = SETTINGS.iter().find(|row| row.key == key).unwrap();
            let names = row.default.unwrap().split(", ").map(|option| option.split_once('=').unwrap().0);
            assert_eq!(names.collect::<Vec<_>>(), QUEUES, "{key}");
        }
    }

    #[test]
    fn one_number_is_for_each_queue() {
        let served = |text| check_with(&[("TIDEGATE_QUEUE_CONCURRENCY", text)]).map(|all| all.queue.served);
        assert!(served("7").unwrap().iter().all(|queue| queue.concurrency == 7));
        let numbers = |text| served(text).unwrap().iter().map(|queue| queue.concurrency).collect::<Vec<_>>();
        assert_eq!(numbers("import=5, email=1"), [1, 1, 1, 1, 5, 8, 1, 4, 8]);
        assert!(served("import=0").unwrap_err().to_string().contains("`import`: `0` is not a whole number"));
    }

    #[test]
    fn queues_are_chosen_by_name() {
        assert_eq!(chosen("all"), Some(QUEUES.to_vec()));
        assert_eq!(chosen(" import "), Some(vec!["import"]));
        for bad in ["", "import,", "imports", "all,import"] {
            assert_eq!(chosen(bad), None, "{bad:?}");
        }
    }
}
