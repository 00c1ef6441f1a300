//! Computes which times run now, and the next time.

use std::time::Duration;

use super::missed::CatchUp;
use super::schedule::Schedule;
use super::timetable::Timetable;
use tidegate_queue_broker::Timestamp;

/// Most runs of one schedule that are enqueued in one step. The rest follows in the next step.
const AT_ONCE: usize = 500;
/// The clock's resolution.
const TICK: Duration = Duration::from_millis(1);

/// The times that run now, and the next time.
///
/// Two schedulers that run at different moments may plan differently. But each time has one job id,
/// so a time that both plan runs once. The schedule moves only past times that ran, or that its
/// catch-up policy skips.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// In ascending order.
    pub(super) runs: Vec<Timestamp>,
    pub(super) next: Option<Timestamp>,
}

impl Plan {
    /// Plans a schedule that is due since `due`.
    pub(super) fn new(schedule: &Schedule, timetable: &Timetable, due: Timestamp, now: Timestamp) -> Self {
        let in_time = |time: &Timestamp| schedule.until.is_none_or(|end| *time <= end);
        let following = |time: &Timestamp| timetable.next(due, *time).filter(in_time);
        // The oldest time that is late but not missed.
        let oldest = now.before(schedule.grace);
        let late = if due >= oldest { Some(due) } else { following(&oldest.before(TICK)) };

        let mut runs = Vec::new();
        if due < oldest {
            let one_is_late = late.is_some_and(|time| time <= now);
            let most = match schedule.catch_up {
                CatchUp::Skip => 0,
                CatchUp::Once => usize::from(!one_is_late),
                CatchUp::All { at_most } => usize::try_from(at_most).unwrap_or(usize::MAX),
            };
            // The end of the schedule may be before the grace.
            let end = schedule.until.map_or(oldest, |until| oldest.min(until.after(TICK)));
            runs = timetable.latest(due, end, most);
        }
        let mut next = late;
        while let Some(time) = next.filter(|time| *time <= now && runs.len() < AT_ONCE) {
            runs.push(time);
            next = following(&time);
        }
        Self { runs, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cron::Recurrence;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;
    /// Start of a minute.
    const DUE: i64 = 1_700_000_040_000;

    fn minutely() -> Schedule {
        Schedule::new("s", Recurrence::cron("* * * * *", "UTC"), "q", "k")
    }

    fn plan(schedule: &Schedule, now: i64) -> (Vec<i64>, Option<i64>) {
        let timetable = schedule.timetable().unwrap();
        let at = Timestamp::from_unix_ms;
        let plan = Plan::new(schedule, &timetable, at(DUE), at(DUE + now));
        let minutes = |time: Timestamp| (time.unix_ms() - DUE) / MINUTE;
        (plan.runs.into_iter().map(minutes).collect(), plan.next.map(minutes))
    }

    #[test]
    fn late_times_run_under_each_policy() {
        for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All { at_most: 1 }] {
            let schedule = minutely().catch_up(catch_up);
            assert_eq!(plan(&schedule, 0), (vec![0], Some(1)));
            assert_eq!(plan(&schedule, MINUTE - 1), (vec![0], Some(1)));
            assert_eq!(plan(&schedule, MINUTE), (vec![0, 1], Some(2)));
        }
    }

    #[test]
    fn missed_times_follow_the_policy() {
        let schedule = minutely().grace(Duration::from_secs(5));
        let hour = 60 * MINUTE;
        assert_eq!(plan(&schedule, hour + 10_000), (vec![], Some(61)));
        assert_eq!(plan(&schedule, hour), (vec![60], Some(61)));
        let once = schedule.clone().catch_up(CatchUp::Once);
        assert_eq!(plan(&once, hour + 10_000), (vec![60], Some(61)));
        assert_eq!(plan(&once, hour), (vec![60], Some(61)), "the late one stands for the missed ones");
        let three = schedule.clone().catch_up(CatchUp::All { at_most: 3 });
        assert_eq!(plan(&three, hour + 10_000), (vec![58, 59, 60], Some(61)));
        assert_eq!(plan(&three, hour), (vec![57, 58, 59, 60], Some(61)));
        let all = schedule.catch_up(CatchUp::All { at_most: 500 });
        assert_eq!(plan(&all, hour + 10_000).0, (0..=60).collect::<Vec<_>>());
    }

    #[test]
    fn an_end_is_kept() {
        let end = Timestamp::from_unix_ms(DUE + 2 * MINUTE);
        let schedule = minutely().until(end).catch_up(CatchUp::All { at_most: 500 });
        assert_eq!(plan(&schedule, 2 * MINUTE), (vec![0, 1, 2], None));
        assert_eq!(plan(&schedule, 900 * MINUTE), (vec![0, 1, 2], None));
        assert_eq!(plan(&schedule.catch_up(CatchUp::Once), 900 * MINUTE), (vec![2], None));
    }

    #[test]
    fn a_long_grace_is_worked_off_in_steps() {
        let mut schedule = Schedule::new("s", Recurrence::cron("* * * * * *", "UTC"), "q", "k");
        schedule.grace = Duration::from_secs(86_400);
        let timetable = schedule.timetable().unwrap();
        let at = Timestamp::from_unix_ms;
        let first = Plan::new(&schedule, &timetable, at(DUE), at(DUE + 1_000_000));
        assert_eq!(first.runs.len(), AT_ONCE);
        let second = Plan::new(&schedule, &timetable, first.next.unwrap(), at(DUE + 1_000_000));
        assert_eq!(second.runs.len(), AT_ONCE);
        assert_eq!(second.runs[0], at(first.runs[AT_ONCE - 1].unix_ms() + 1000));
    }

    proptest! {
        /// For any moments at which two schedulers run, together they run each time that is not
        /// missed. Of the missed times, each of them runs at most as many as the policy allows.
        #[test]
        fn runs_are_times_and_none_in_time_is_lost(
            looks in prop::collection::vec(0i64..4_000_000, 1..12),
            policy in 0usize..3,
            grace in 0u64..600,
            every in 1_000u64..900_000,
            interval in any::<bool>(),
        ) {
            let policy = [CatchUp::Skip, CatchUp::Once, CatchUp::All { at_most: 4 }][policy];
            let recurrence = if interval {
                Recurrence::Every(Duration::from_millis(every))
            } else {
                Recurrence::cron("*/3 * * * *", "UTC")
            };
            let schedule = Schedule::new("s", recurrence, "q", "k").grace(Duration::from_secs(grace)).catch_up(policy);
            let timetable = schedule.timetable().unwrap();
            let start = Timestamp::from_unix_ms(1_700_000_000_000);
            let mut due = timetable.first(start).unwrap();
            let mut expected: Vec<_> = std::iter::successors(Some(due), |time| timetable.next(due, *time))
                .take_while(|time| time.unix_ms() < start.unix_ms() + 5_000_000).collect();
            let mut now = start.unix_ms();
            for look in looks {
                now = (start.unix_ms() + look).max(now);
                let moment = Timestamp::from_unix_ms(now);
                while due <= moment {
                    let plan = Plan::new(&schedule, &timetable, due, moment);
                    let oldest = moment.before(schedule.grace);
                    let passed: Vec<_> = expected.iter().copied().take_while(|time| *time <= moment).collect();
                    let passed: Vec<_> = passed.into_iter().take(passed_limit(&plan, &expected)).collect();
                    let (missed, late): (Vec<_>, Vec<_>) = passed.iter().partition(|time| **time < oldest);
                    let caught: Vec<_> = match policy {
                        CatchUp::Skip => vec![],
                        CatchUp::Once if late.is_empty() => missed.last().copied().into_iter().collect(),
                        CatchUp::Once => vec![],
                        CatchUp::All { .. } => missed[missed.len().saturating_sub(4)..].to_vec(),
                    };
                    prop_assert_eq!(&plan.runs, &[caught, late].concat());
                    let next = plan.next.unwrap();
                    prop_assert!(next > due);
                    expected.retain(|time| *time >= next);
                    due = next;
                }
            }
        }
    }

    /// Number of expected times before the plan's next one.
    fn passed_limit(plan: &Plan, expected: &[Timestamp]) -> usize {
        expected.iter().take_while(|time| plan.next.is_none_or(|next| **time < next)).count()
    }
}
