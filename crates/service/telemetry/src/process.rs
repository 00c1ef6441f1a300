//! Resources of the process: processor, memory, descriptors, threads, and the load of its runtime.
//!
//! The process's values are read from `/proc`, so only Linux has them. The runtime's values exist
//! everywhere.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde::Serialize;
use serde_json::Value;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_perfmon::Reading;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::exposition::Family;
use super::sources::{Named, Section, Sources};

/// Above this share of its descriptor limit, a process is about to refuse connections.
pub(super) const DESCRIPTORS: f64 = 0.8;
/// Cgroup version 1 reports a number of at least this size, rounded to pages, if there is no limit.
#[cfg(target_os = "linux")]
const NO_LIMIT: u64 = 1 << 62;
/// Interval between two readings for the health report.
const SPACING: Duration = Duration::from_secs(10);

/// The system's values for this process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct ProcessReading {
    /// Processor time since the start, in user and kernel mode.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    /// Memory limit of the cgroup. `None` if it has no limit or there is no cgroup.
    pub(super) memory_limit_bytes: Option<u64>,
    pub(super) open_descriptors: u64,
    /// `None` if there is no limit.
    pub(super) max_descriptors: Option<u64>,
    pub(super) threads: u64,
    /// In milliseconds since the Unix epoch, with the precision of the system.
    pub(super) started_at_unix_ms: u64,
}

/// The runtime's values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct RuntimeReading {
    workers: u64,
    /// Number of tasks that have not ended.
    tasks: u64,
    /// Number of tasks in the global queue, outside the workers' own queues.
    queued: u64,
    /// Total time for which the workers were not parked.
    busy_seconds: f64,
}

impl ProcessReading {
    /// `None` if the system does not report it.
    #[cfg(target_os = "linux")]
    #[expect(clippy::cast_precision_loss, reason = "ticks of a processor, shown as seconds")]
    pub(super) fn take() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let (stat, descriptors) = (process.stat().ok()?, Descriptors::of(&process)?);
        let a_second = procfs::ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / a_second,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            memory_limit_bytes: memory_limit(),
            open_descriptors: descriptors.open,
            max_descriptors: descriptors.most,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            started_at_unix_ms: boot_time()? * 1_000
                + stat.starttime.saturating_mul(1_000) / procfs::ticks_per_second(),
        })
    }

    /// `None` if the system does not report it.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn take() -> Option<Self> {
        None
    }
}

impl RuntimeReading {
    fn of(runtime: &Handle) -> Self {
        let metrics = runtime.metrics();
        let workers = metrics.num_workers();
        Self {
            workers: workers as u64,
            tasks: metrics.num_alive_tasks() as u64,
            queued: metrics.global_queue_depth() as u64,
            busy_seconds: (0..workers).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum(),
        }
    }
}

/// File descriptors of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptors {
    open: u64,
    /// `None` if there is no limit.
    most: Option<u64>,
}

impl Descriptors {
    /// Since Linux 6.2 the directory reports its number of entries. Before, all of them are listed,
    /// which is slower the more there are.
    #[cfg(target_os = "linux")]
    fn take() -> Option<Self> {
        Self::of(&procfs::process::Process::myself().ok()?)
    }

    #[cfg(not(target_os = "linux"))]
    fn take() -> Option<Self> {
        None
    }

    #[cfg(target_os = "linux")]
    fn of(process: &procfs::process::Process) -> Option<Self> {
        let most = match process.limits().ok()?.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(most) => Some(most),
            procfs::process::LimitValue::Unlimited => None,
        };
        let told = std::fs::metadata("/proc/self/fd").ok().map(|directory| directory.len()).filter(|open| *open > 0);
        let open = match told {
            Some(open) => open,
            None => process.fd_count().ok()? as u64,
        };
        Some(Self { open, most })
    }

    #[expect(clippy::cast_precision_loss, reason = "no process has 2⁵³ descriptors")]
    fn reading(self) -> Option<Reading> {
        let most = self.most? as f64;
        let reading = Reading::new("open_descriptors", self.open as f64, most * DESCRIPTORS);
        Some(reading.subject("number of open file descriptors").unit("descriptors"))
    }
}

/// Boot time of the machine, in seconds since the Unix epoch. Cached, since it does not change and
/// requires reading all of `/proc/stat`.
#[cfg(target_os = "linux")]
fn boot_time() -> Option<u64> {
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    *AT.get_or_init(|| procfs::boot_time_secs().ok())
}

/// Returns the lowest memory limit of this process's cgroup and its parents.
#[cfg(target_os = "linux")]
fn memory_limit() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let (root, file, group) = own.lines().find_map(|line| {
        // `7:memory:/group` in version 1, `0::/group` in version 2.
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => Some(("/sys/fs/cgroup", "memory.max", group)),
            _ if controllers.split(',').any(|one| one == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group))
            }
            _ => None,
        }
    })?;
    let around = std::path::Path::new(group).ancestors();
    let limit = |group: &std::path::Path| {
        let within = group.strip_prefix("/").ok()?;
        let text = std::fs::read_to_string(std::path::Path::new(root).join(within).join(file)).ok()?;
        text.trim().parse::<u64>().ok().filter(|bytes| *bytes < NO_LIMIT)
    };
    around.filter_map(limit).min()
}

/// Registers the resources of the process, and of the runtime in which this is called.
pub(super) fn register(sources: &Sources) {
    let runtime = Handle::current();
    sources.section(Arc::new(ProcessSection(runtime.clone())));
    sources.figures(move || {
        Box::new(ProcessFigures { process: ProcessReading::take(), runtime: RuntimeReading::of(&runtime) })
    });
    let seen: Mutex<Option<(Instant, Option<Descriptors>)>> = Mutex::new(None);
    sources.readings([Named::warning("open_descriptors")], move || {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, descriptors) = match *seen {
            Some(fresh) if fresh.0.elapsed() < SPACING => fresh,
            _ => *seen.insert((Instant::now(), Descriptors::take())),
        };
        descriptors.and_then(Descriptors::reading).map(|reading| reading.taken_ago(at.elapsed())).into_iter().collect()
    });
}

struct ProcessSection(Handle);

impl Section for ProcessSection {
    fn name(&self) -> &'static str {
        "process"
    }

    fn json(&self, _: usize) -> Value {
        serde_json::json!({ "process": ProcessReading::take(), "runtime": RuntimeReading::of(&self.0) })
    }
}

/// The names without a prefix are the same in all Prometheus client libraries.
#[derive(Debug)]
struct ProcessFigures {
    process: Option<ProcessReading>,
    runtime: RuntimeReading,
}

impl Collector for ProcessFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let mut family = Family::new(encoder, "tidegate_build_info", "1 for the running version", MetricType::Gauge)?;
        family.gauge(&[("version", &THIS_PROCESS.version)], 1)?;
        if let Some(process) = &self.process {
            let help = "CPU time in user and kernel mode";
            Family::new(encoder, "process_cpu_seconds", help, MetricType::Counter)?
                .single_seconds(process.cpu_seconds)?;
            let mut gauge = |name, help, value| Family::new(encoder, name, help, MetricType::Gauge)?.single(value);
            gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes)?;
            gauge("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes)?;
            gauge("process_open_fds", "Open file descriptors", process.open_descriptors)?;
            if let Some(most) = process.max_descriptors {
                gauge("process_max_fds", "Maximum number of open file descriptors", most)?;
            }
            gauge("process_threads", "Threads", process.threads)?;
            let help = "Start time of the process since the Unix epoch";
            let name = "process_start_time_seconds";
            let seconds = Duration::from_millis(process.started_at_unix_ms).as_secs_f64();
            Family::new(encoder, name, help, MetricType::Gauge)?.fraction(&[], seconds)?;
        }
        let mut gauge = |name, help, value| Family::new(encoder, name, help, MetricType::Gauge)?.single(value);
        gauge("tidegate_runtime_workers", "Worker threads of the runtime", self.runtime.workers)?;
        gauge("tidegate_runtime_tasks", "Tasks that are alive", self.runtime.tasks)?;
        gauge("tidegate_runtime_queued_tasks", "Tasks in the global queue of the runtime", self.runtime.queued)?;
        let help = "Busy time of all worker threads";
        Family::new(encoder, "tidegate_runtime_busy_seconds", help, MetricType::Counter)?
            .single_seconds(self.runtime.busy_seconds)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_reports_the_resources_of_the_process() {
        let before = ProcessReading::take().unwrap();
        let files: Vec<_> = (0..10).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = ProcessReading::take().unwrap();
        assert!(after.open_descriptors >= before.open_descriptors + 10, "{after:?}");
        assert!(after.resident_bytes >= before.resident_bytes + (48 << 20), "{before:?} {after:?}");
        assert!(after.threads >= 1 && after.cpu_seconds >= before.cpu_seconds);
        let now = tidegate_base::clock::unix_ms();
        assert!((now - 600_000..now + 1_000).contains(&after.started_at_unix_ms), "{after:?} at {now}");
        assert!(after.virtual_bytes >= after.resident_bytes, "{after:?}");
        drop((files, block));
    }

    #[test]
    fn descriptors_are_exceeded_above_four_in_five() {
        let expected = Reading::new("open_descriptors", 81.0, 80.0);
        let expected = expected.subject("number of open file descriptors").unit("descriptors");
        assert_eq!(Descriptors { open: 81, most: Some(100) }.reading(), Some(expected));
        assert!(Descriptors { open: 80, most: None }.reading().is_none());
    }
}
