//! Which processes live, as far as their reports show it.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::AlertReport;

/// Reports of a process whose beat stood still for so long count no more. A process moves it every
/// five seconds.
const LASTS: Duration = Duration::from_secs(30);
/// Reports that were not looked at for longer may have moved meanwhile.
const GAP: Duration = Duration::from_secs(12);

/// The beat of each process, and when it moved last, by the clock of the process that looks.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    beats: HashMap<String, (i64, Duration)>,
    looked_at: Option<Duration>,
}

impl Sightings {
    /// The reports of processes that live. After a while without a look, such as an outage of the
    /// database, all of them do.
    pub(super) fn live(&mut self, now: Duration, mut reports: Vec<AlertReport>) -> Vec<AlertReport> {
        if self.looked_at.replace(now).is_none_or(|before| now.saturating_sub(before) > GAP) {
            self.beats.clear();
        }
        let mut beats: HashMap<String, i64> = HashMap::new();
        for report in &reports {
            let beat = beats.entry(report.source.instance.clone()).or_insert(report.beat);
            *beat = report.beat.max(*beat);
        }
        self.beats.retain(|process, (seen, _)| beats.get(process) == Some(seen));
        for (process, beat) in beats {
            self.beats.entry(process).or_insert((beat, now));
        }
        reports.retain(|report| {
            let moved = self.beats.get(&report.source.instance);
            moved.is_some_and(|(_, at)| now.saturating_sub(*at) < LASTS)
        });
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::alerts::test_alert::{alert, process};

    fn report(instance: &str, beat: i64) -> AlertReport {
        let (source, alert) = (process(instance), alert("p99", ""));
        AlertReport { source, alert, is_firing: true, is_direct: false, beat }
    }

    fn live(sightings: &mut Sightings, second: u64, beats: &[(&str, i64)]) -> Vec<String> {
        let reports = beats.iter().map(|(process, beat)| report(process, *beat)).collect();
        let live = sightings.live(Duration::from_secs(second), reports);
        live.into_iter().map(|report| report.source.instance).collect()
    }

    #[test]
    fn a_process_whose_beat_stands_still_for_thirty_seconds_is_gone_until_it_moves() {
        let mut sightings = Sightings::default();
        let beat = |second: u64| i64::try_from(second / 5).unwrap();
        for second in (0..30).step_by(5) {
            assert_eq!(live(&mut sightings, second, &[("a", 7), ("b", beat(second))]), ["a", "b"], "{second}");
        }
        assert_eq!(live(&mut sightings, 30, &[("a", 7), ("b", 6)]), ["b"]);
        assert_eq!(live(&mut sightings, 35, &[("a", 8), ("b", 7)]), ["a", "b"]);
    }

    #[test]
    fn after_an_outage_of_the_database_every_process_gets_the_time_to_move_its_beat() {
        let mut sightings = Sightings::default();
        assert_eq!(live(&mut sightings, 0, &[("a", 1)]), ["a"]);
        assert_eq!(live(&mut sightings, 600, &[("a", 1)]), ["a"]);
        for second in (610..630).step_by(10) {
            assert_eq!(live(&mut sightings, second, &[("a", 1)]), ["a"]);
        }
        assert_eq!(live(&mut sightings, 630, &[("a", 1)]), Vec::<String>::new());
    }
}
