//! Finds out which processes are alive from their reports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tidegate_store::AlertReport;

/// Reports whose beat has not changed for this long do not count any more. A process changes it
/// every five seconds.
const LASTS: Duration = Duration::from_secs(30);
/// If reports were not read for longer than this, their beats may have changed in between.
const GAP: Duration = Duration::from_secs(12);

/// The beat of each process, by the clock of the process that reads.
#[derive(Debug)]
pub(super) struct Sightings {
    /// The process that reads. It is alive.
    own: String,
    beats: HashMap<String, Heartbeat>,
    looked_at: Option<Duration>,
}

#[derive(Debug)]
struct Heartbeat {
    number: i64,
    moved_at: Duration,
    /// Whether a change was seen. Before that, the process may be dead.
    is_proven: bool,
}

/// The reports that count.
#[derive(Debug, Default)]
pub(super) struct LiveReports {
    pub(super) reports: Vec<AlertReport>,
    /// Processes that are certainly alive. Reports of the others keep a firing alert, but do not
    /// start one.
    pub(super) proven: BTreeSet<String>,
    /// Dead processes with their last beat.
    pub(super) dead: BTreeMap<String, i64>,
}

impl Sightings {
    pub(super) fn new(own: &str) -> Self {
        Self { own: own.to_owned(), beats: HashMap::new(), looked_at: None }
    }

    /// Finds the processes that are alive. After the first read, or the first one after a pause
    /// such as an outage of the database, each process gets time to change its beat.
    pub(super) fn look(&mut self, now: Duration, mut reports: Vec<AlertReport>) -> LiveReports {
        let was_absent = self.looked_at.replace(now).is_none_or(|before| now.saturating_sub(before) > GAP);
        if was_absent {
            self.beats.clear();
        }
        let mut numbers: HashMap<&str, i64> = HashMap::new();
        for report in &reports {
            let number = numbers.entry(&report.source.instance).or_insert(report.beat);
            *number = report.beat.max(*number);
        }
        self.beats.retain(|process, beat| numbers.get(process.as_str()) == Some(&beat.number));
        for (process, number) in numbers {
            let is_proven = !was_absent || process == self.own;
            self.beats.entry(process.to_owned()).or_insert(Heartbeat { number, moved_at: now, is_proven });
        }
        let mut living = LiveReports::default();
        for (process, beat) in &self.beats {
            if now.saturating_sub(beat.moved_at) >= LASTS {
                living.dead.insert(process.clone(), beat.number);
            } else if beat.is_proven {
                living.proven.insert(process.clone());
            }
        }
        reports.retain(|report| !living.dead.contains_key(&report.source.instance));
        LiveReports { reports, ..living }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::test_alert::{alert, process};

    fn report(instance: &str, beat: i64) -> AlertReport {
        let (source, alert) = (process(instance), alert("p99", ""));
        AlertReport { source, alert, is_firing: true, is_direct: false, beat }
    }

    fn look(sightings: &mut Sightings, second: u64, beats: &[(&str, i64)]) -> LiveReports {
        let reports = beats.iter().map(|(process, beat)| report(process, *beat)).collect();
        sightings.look(Duration::from_secs(second), reports)
    }

    fn live(sightings: &mut Sightings, second: u64, beats: &[(&str, i64)]) -> Vec<String> {
        let live = look(sightings, second, beats).reports;
        live.into_iter().map(|report| report.source.instance).collect()
    }

    #[test]
    fn a_process_whose_beat_stands_still_for_thirty_seconds_is_gone_until_it_moves() {
        let mut sightings = Sightings::new("own");
        let beat = |second: u64| i64::try_from(second / 5).unwrap();
        for second in (0..30).step_by(5) {
            assert_eq!(live(&mut sightings, second, &[("a", 7), ("b", beat(second))]), ["a", "b"], "{second}");
        }
        let gone = look(&mut sightings, 30, &[("a", 7), ("b", 6)]);
        assert_eq!((gone.reports.len(), gone.dead), (1, BTreeMap::from([("a".to_owned(), 7)])));
        let back = look(&mut sightings, 35, &[("a", 8), ("b", 7)]);
        assert!(back.reports.len() == 2 && back.proven.len() == 2 && back.dead.is_empty(), "{back:?}");
    }

    #[test]
    fn after_an_outage_of_the_database_every_process_gets_the_time_to_move_its_beat() {
        let mut sightings = Sightings::new("own");
        assert_eq!(live(&mut sightings, 0, &[("a", 1)]), ["a"]);
        assert_eq!(live(&mut sightings, 600, &[("a", 1)]), ["a"]);
        for second in (610..630).step_by(10) {
            assert_eq!(live(&mut sightings, second, &[("a", 1)]), ["a"]);
        }
        assert_eq!(live(&mut sightings, 630, &[("a", 1)]), Vec::<String>::new());
    }

    #[test]
    fn a_process_is_proven_when_its_beat_was_seen_to_move_or_it_came_since() {
        let mut sightings = Sightings::new("own");
        let mut proven = |second, beats: &[(&str, i64)]| Vec::from_iter(look(&mut sightings, second, beats).proven);
        assert_eq!(proven(0, &[("a", 1), ("own", 1)]), ["own"]);
        assert_eq!(proven(5, &[("a", 1), ("own", 1)]), ["own"]);
        assert_eq!(proven(10, &[("a", 2), ("b", 1), ("own", 1)]), ["a", "b", "own"]);
        assert_eq!(proven(60, &[("a", 3), ("b", 1), ("own", 1)]), ["own"], "they may have died meanwhile");
        assert_eq!(proven(65, &[("a", 4), ("b", 1), ("own", 1)]), ["a", "own"]);
    }
}
