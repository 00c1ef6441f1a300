//! Which queues a process serves, and with which settings.

use std::time::Duration;

use tidegate_model::queues::{ALL, QUEUES, ServedQueue};

use super::SettingsError;
use super::reader::Reader;

const LEAST_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Settings of queues that are not served are checked too.
pub(super) fn served(raw: &Reader<'_>) -> Result<Vec<ServedQueue>, SettingsError> {
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
