//! CPU time, memory and descriptors of a process.

use procfs::process::Process;
use serde::Serialize;

/// Resources of a process and of its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU seconds since the start, with those of children that have ended.
    pub cpu_seconds: f64,
    /// Resident memory in bytes. Pages that several processes share count in each.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Reads the figures of a process. `None` if it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let mut usage = Self::of_one(&process)?;
        let stat = process.stat().ok()?;
        usage.cpu_seconds += seconds(u64::try_from(stat.cutime + stat.cstime).unwrap_or_default());
        let children = process.task_main_thread().and_then(|task| task.children()).unwrap_or_default();
        // A child that ends meanwhile is in the next reading of its parent.
        for child in children.into_iter().filter_map(Self::of) {
            usage.cpu_seconds += child.cpu_seconds;
            usage.rss_bytes += child.rss_bytes;
            usage.descriptors += child.descriptors;
        }
        Some(usage)
    }

    /// Returns the figures of this process, without its child processes.
    pub(super) fn of_this_process() -> Option<Self> {
        Self::of_one(&Process::myself().ok()?)
    }

    fn of_one(process: &Process) -> Option<Self> {
        let stat = process.stat().ok()?;
        // It has ended and its parent has not waited for it: it has no memory and no descriptors.
        if matches!(stat.state, 'Z' | 'X') {
            return None;
        }
        Some(Self {
            cpu_seconds: seconds(stat.utime + stat.stime),
            rss_bytes: stat.rss * procfs::page_size(),
            descriptors: process.fd_count().unwrap_or_default() as u64,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^52")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use tidegate_testkit::poll_until;

    use super::Usage;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_process_has_memory_and_descriptors_and_one_that_is_gone_has_none() {
        let own = Usage::of(std::process::id()).expect("this process runs");
        assert!(own.rss_bytes > 1 << 20 && own.descriptors >= 3, "{own:?}");
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[tokio::test]
    async fn a_process_that_has_ended_has_no_figures_before_its_parent_waits_for_it() {
        let mut child = Command::new("true").spawn().expect("`true` can be run");
        let ended = poll_until(LONG, async || Usage::of(child.id()).is_none().then_some(())).await;
        child.wait().expect("a child can be waited for");
        ended.expect("it has figures though it has ended");
    }
}
