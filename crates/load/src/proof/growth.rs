//! Whether processes grow while they run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Check;
use crate::topology::Usage;

/// Time after which a process has the memory that it needs. From then on it does not grow.
const MEMORY_SETTLED: Duration = Duration::from_secs(240);
/// Most growth of the memory of a settled process.
const MEMORY_FACTOR: f64 = 1.25;
/// Time after which a process has its pools of connections. Short enough for a run of a minute.
const DESCRIPTORS_SETTLED: Duration = Duration::from_secs(15);
/// Time whose lowest number of descriptors counts: a burst of connections is not a leak.
const WINDOW: Duration = Duration::from_secs(10);
/// Minimum number of readings of which the lowest counts. There are none while a fault is handled,
/// so that the remaining descriptors of an ending process do not count.
const READINGS: usize = 3;
/// Most growth of that number: connections of pools, and idle ones of the proxy.
const DESCRIPTORS: u64 = 32;

/// Readings of each process, by its pid.
#[derive(Default)]
pub(super) struct Growth(BTreeMap<u32, Readings>);

/// Name of a process, and its readings by the time since the first one.
struct Readings {
    name: String,
    began: Duration,
    by_time: Vec<(Duration, Usage)>,
}

impl Growth {
    /// Adds a reading. `at` is the time since the start of the run.
    pub(super) fn record(&mut self, pid: u32, name: &str, at: Duration, usage: Usage) {
        let new = || Readings { name: name.to_owned(), began: at, by_time: Vec::new() };
        let readings = self.0.entry(pid).or_insert_with(new);
        readings.by_time.push((at.saturating_sub(readings.began), usage));
    }

    /// Checks of the memory and of the descriptors of all processes of a run of this length.
    pub(super) fn checks(&self, length: Duration) -> [Check; 2] {
        let (judged, grown) = self.judge(|readings| {
            let (first, last) = readings.memory()?;
            let is_grown = last as f64 > MEMORY_FACTOR * first as f64;
            Some(is_grown.then(|| format!("{} → {} MiB", first >> 20, last >> 20)))
        });
        let memory = Check::timing(
            format!(
                "memory: {} of {judged} processes that ran for {} s or longer have grown since then{}",
                grown.len(),
                MEMORY_SETTLED.as_secs(),
                listed(&grown)
            ),
            grown.is_empty(),
        );
        // A run below a minute has parts in the same proportion.
        let (settled, window) = (DESCRIPTORS_SETTLED.min(length / 4), WINDOW.min(length / 6));
        let (judged, grown) = self.judge(|readings| {
            let (first, last) = readings.descriptors(settled, window)?;
            Some((last > first + DESCRIPTORS).then(|| format!("{first} → {last}")))
        });
        let descriptors = Check::count(
            format!(
                "descriptors: {} of {judged} processes have over {DESCRIPTORS} more at their end than {} s after \
                 their start{}",
                grown.len(),
                settled.as_secs(),
                listed(&grown)
            ),
            grown.is_empty() && judged > 0,
        );
        [memory, descriptors]
    }

    /// Returns the number of processes that ran long enough for `judge`, and the growth of those
    /// that are too large.
    fn judge(&self, judge: impl Fn(&Readings) -> Option<Option<String>>) -> (usize, Vec<String>) {
        let judged: Vec<_> = self.0.values().filter_map(|readings| Some((&readings.name, judge(readings)?))).collect();
        let count = judged.len();
        (count, judged.into_iter().filter_map(|(name, grown)| Some(format!("{name} {}", grown?))).collect())
    }
}

fn listed(grown: &[String]) -> String {
    if grown.is_empty() { String::new() } else { format!(": {}", grown.join(", ")) }
}

impl Readings {
    /// Returns the bytes when the process was settled, and at its end. `None` if it ended before.
    fn memory(&self) -> Option<(u64, u64)> {
        let settled = self.by_time.iter().find(|(at, _)| *at >= MEMORY_SETTLED)?;
        Some((settled.1.rss_bytes, self.by_time.last()?.1.rss_bytes))
    }

    /// The lowest number of descriptors in a window that begins with the first reading at `settled`
    /// or later, and in one before the end. A window with fewer than [`READINGS`] readings takes in
    /// those next to it. `None` if the process ended before both are over.
    fn descriptors(&self, settled: Duration, window: Duration) -> Option<(u64, u64)> {
        let begins = self.by_time.iter().position(|(at, _)| *at >= settled)?;
        let readings = &self.by_time[begins..];
        let (begin, end) = (readings.first()?.0, readings.last()?.0);
        let first = readings.iter().take_while(|(at, _)| *at <= begin + window).count().max(READINGS);
        let last = readings.iter().rev().take_while(|(at, _)| *at + window >= end).count().max(READINGS);
        // A reading on the border is in both.
        if end < begin + 2 * window || first + last > readings.len() + 1 {
            return None;
        }
        let lowest = |readings: &[(Duration, Usage)]| readings.iter().map(|(_, usage)| usage.descriptors).min();
        Some((lowest(&readings[..first])?, lowest(&readings[readings.len() - last..])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A process that is read each second, with descriptors and MiB by the second.
    fn read(growth: &mut Growth, pid: u32, seconds: u64, descriptors: fn(u64) -> u64, mib: fn(u64) -> u64) {
        for second in 0..=seconds {
            read_once(growth, pid, second, descriptors(second), mib(second));
        }
    }

    fn read_once(growth: &mut Growth, pid: u32, second: u64, descriptors: u64, mib: u64) {
        let usage = Usage { cpu_seconds: 0.0, rss_bytes: mib << 20, descriptors };
        growth.record(pid, &format!("api{pid}"), Duration::from_secs(100 + second), usage);
    }

    /// A process of a run of a minute that is read in these seconds alone.
    fn descriptors_in(seconds: impl IntoIterator<Item = u64>, descriptors: fn(u64) -> u64) -> Check {
        let mut growth = Growth::default();
        seconds.into_iter().for_each(|second| read_once(&mut growth, 1, second, descriptors(second), 100));
        let [_, check] = growth.checks(MINUTE);
        check
    }

    fn descriptors_of(seconds: u64, descriptors: fn(u64) -> u64) -> Check {
        descriptors_in(0..=seconds, descriptors)
    }

    fn memory_of(seconds: u64, mib: fn(u64) -> u64) -> Check {
        let mut growth = Growth::default();
        read(&mut growth, 1, seconds, |_| 40, mib);
        let [check, _] = growth.checks(MINUTE);
        check
    }

    #[test]
    fn a_leak_of_descriptors_breaks_a_count_in_a_run_of_a_minute() {
        let check = descriptors_of(60, |second| 40 + second);
        assert!(!check.held && !check.is_timing, "{check:?}");
        assert_eq!(
            check.says,
            "descriptors: 1 of 1 processes have over 32 more at their end than 15 s after their start: api1 55 → 90"
        );
    }

    #[test]
    fn pools_that_fill_and_bursts_of_connections_are_no_leak() {
        assert!(descriptors_of(60, |second| if second < 15 { second } else { 60 }).held);
        assert!(descriptors_of(60, |second| if second % 9 < 5 { 400 } else { 40 }).held);
        assert!(descriptors_of(60, |second| if second == 60 { 400 } else { 40 }).held);
    }

    #[test]
    fn the_growth_that_is_allowed_is_the_last_that_holds() {
        assert!(descriptors_of(60, |second| if second > 40 { 72 } else { 40 }).held);
        assert!(!descriptors_of(60, |second| if second > 40 { 73 } else { 40 }).held);
    }

    #[test]
    fn a_run_in_which_no_process_can_be_judged_does_not_hold() {
        let check = descriptors_of(34, |_| 40);
        assert!(!check.held && check.says.starts_with("descriptors: 0 of 0 processes"), "{check:?}");
        assert!(descriptors_of(35, |_| 40).held);
        let [_, none] = Growth::default().checks(MINUTE);
        assert!(!none.held);
    }

    #[test]
    fn a_process_that_began_anew_is_another_one_and_each_is_named() {
        let mut growth = Growth::default();
        read(&mut growth, 1, 40, |_| 30, |_| 100);
        read(&mut growth, 2, 40, |second| 30 + 5 * second, |_| 100);
        read(&mut growth, 3, 5, |second| 30 + 50 * second, |_| 100);
        let [_, check] = growth.checks(MINUTE);
        assert!(check.says.starts_with("descriptors: 1 of 2 processes"), "{check:?}");
        assert!(check.says.ends_with(": api2 105 → 180"), "{check:?}");
    }

    #[test]
    fn a_process_is_judged_though_a_fault_took_all_of_its_first_window() {
        // There are no readings from 15 s to 25 s, nor up to the second window.
        for second_reading in [26, 40] {
            let seconds = || (0..15).chain(second_reading..=60);
            let check = descriptors_in(seconds(), |_| 40);
            assert!(check.held && check.says.starts_with("descriptors: 0 of 1 processes"), "{check:?}");
            let check = descriptors_in(seconds(), |second| 40 + 4 * second);
            assert!(!check.held && check.says.starts_with("descriptors: 1 of 1 processes"), "{check:?}");
        }
        let check = descriptors_in((0..15).chain(26..=60), |second| 40 + 4 * second);
        assert!(check.says.ends_with(": api1 144 → 240"), "{check:?}");
    }

    #[test]
    fn a_process_without_readings_for_two_windows_is_not_judged() {
        for seconds in [(0..15).chain(41..=60), (0..17).chain(60..=60), (0..0).chain(10..=44)] {
            let check = descriptors_in(seconds, |_| 40);
            assert!(!check.held && check.says.starts_with("descriptors: 0 of 0 processes"), "{check:?}");
        }
        assert!(!descriptors_in([0, 15, 60], |_| 40).held);
    }

    #[test]
    fn one_reading_between_faults_is_no_window() {
        // The burst at 15 s would hide the leak, the burst at 60 s would be one.
        let check = descriptors_in((0..=15).chain(26..=60), |second| if second == 15 { 400 } else { 40 + 4 * second });
        assert!(!check.held && check.says.ends_with(": api1 144 → 240"), "{check:?}");
        assert!(descriptors_in((0..=44).chain([60]), |second| if second == 60 { 400 } else { 40 }).held);
    }

    #[test]
    fn a_stair_is_no_leak_before_it_is_too_high() {
        let stair = |second: u64| 40 + 8 * (second / 12);
        let check = descriptors_of(60, stair);
        assert!(check.held && check.says.starts_with("descriptors: 0 of 1 processes"), "{check:?}");
        assert!(!descriptors_of(60, |second| 40 + 12 * (second / 12)).held);
    }

    #[test]
    fn a_process_that_a_fault_has_restarted_begins_anew() {
        let mut growth = Growth::default();
        let mut record = |pid, second, descriptors| {
            let usage = Usage { cpu_seconds: 0.0, rss_bytes: 100 << 20, descriptors };
            growth.record(pid, "api1", Duration::from_secs(second), usage);
        };
        (0..25).for_each(|second| record(1, second, 40));
        (30..=70).for_each(|second| record(2, second, if second < 45 { second } else { 90 }));
        let [_, check] = growth.checks(MINUTE);
        assert!(check.held && check.says.starts_with("descriptors: 0 of 1 processes"), "{check:?}");
    }

    #[test]
    fn a_shorter_run_is_judged_by_shorter_parts() {
        let mut growth = Growth::default();
        read(&mut growth, 1, 12, |second| 40 + 20 * second, |_| 100);
        let [_, check] = growth.checks(Duration::from_secs(12));
        assert!(!check.held && check.says.ends_with(": api1 100 → 240"), "{check:?}");
    }

    #[test]
    fn memory_that_grows_after_the_first_minutes_breaks_a_check_of_sizes() {
        let check = memory_of(300, |second| if second < 250 { 100 } else { 126 });
        assert!(!check.held && check.is_timing, "{check:?}");
        assert!(check.says.ends_with("for 240 s or longer have grown since then: api1 100 → 126 MiB"), "{check:?}");
        assert!(memory_of(300, |second| if second < 250 { 100 } else { 125 }).held);
        assert!(memory_of(300, |second| if second < 230 { 100 } else { 900 }).held);
        assert!(memory_of(60, |second| 100 + 10 * second).held);
    }
}
