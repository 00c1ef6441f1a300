//! Schedules: each time makes one job, for any number of schedulers, wherever they stop, and during
//! changes.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "cron/changing.rs"]
mod changing;
#[path = "cron/outages.rs"]
mod outages;
#[path = "support/steps.rs"]
mod steps;
#[path = "cron/storm.rs"]
mod storm;
mod support;
#[path = "cron/unsteady.rs"]
mod unsteady;

use support::Bench;

#[tokio::test]
async fn two_schedulers_a_thousand_virtual_ticks_none_twice_none_missed() {
    for seed in 0..tidegate_testkit::scale(3, 500) {
        storm::run(Bench::memory(), u64::try_from(seed).unwrap(), 1_000).await;
    }
}

macro_rules! on_each_broker {
    ($($group:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        mod memory { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::Bench::memory()).await;
            }
        )*)* }
        #[cfg(feature = "sqlite")]
        mod sqlite { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::Bench::sqlite().await).await;
            }
        )*)*
            #[tokio::test]
            async fn two_schedulers_many_virtual_ticks_none_twice_none_missed() {
                crate::storm::run(crate::Bench::sqlite().await, 99, tidegate_testkit::scale(100, 1_000)).await;
            }
        }
        #[cfg(feature = "redis")]
        mod redis { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::Bench::redis().await).await;
            }
        )*)*
            #[tokio::test]
            async fn two_schedulers_many_virtual_ticks_none_twice_none_missed() {
                crate::storm::run(crate::Bench::redis().await, 77, tidegate_testkit::scale(100, 1_000)).await;
            }
        }
    };
}

on_each_broker![
    outages: [
        missed_times_follow_the_policy,
        dying_between_the_two_steps_repeats_and_loses_nothing,
        a_scheduler_that_was_suspended_makes_no_second_job,
        a_clock_set_back_a_little_repeats_nothing,
        a_clock_that_was_far_ahead_does_not_silence_a_schedule,
        a_pause_of_hours_after_reading_the_clock_is_no_set_back,
        an_unreadable_schedule_holds_back_no_other,
        a_thousand_schedules_cost_one_read_while_nothing_is_due,
    ],
    changing: [
        a_change_of_the_payload_keeps_the_next_time,
        runs_due_before_a_change_use_the_old_schedule,
        a_pause_leaves_nothing_to_catch_up_with,
        removed_and_put_anew_amid_a_tick_it_is_another_schedule,
        runs_that_must_not_overlap_are_skipped_until_the_last_is_over,
        a_run_out_of_turn_leaves_the_times_alone,
        a_schedule_ends,
        everyone_may_change_at_once,
        bad_schedules_are_refused_by_name_and_place,
    ],
];
