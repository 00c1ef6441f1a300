//! What every broker promises: one list of functions, run on each.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/operating.rs"]
mod operating;
#[path = "conformance/queueing.rs"]
mod queueing;
mod support;

macro_rules! conformance {
    ($($group:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        mod memory { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::support::Bench::memory()).await;
            }
        )*)* }
        #[cfg(feature = "sqlite")]
        mod sqlite { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::support::Bench::sqlite().await).await;
            }
        )*)* }
        #[cfg(feature = "redis")]
        mod redis { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::support::Bench::redis().await).await;
            }
        )*)* }
    };
}

conformance![
    queueing: [
        an_unknown_queue_is_empty,
        a_job_is_done_once,
        priority_goes_before_age,
        the_same_id_is_one_job,
        eight_thousand_due_at_once_are_promoted,
        delays_wake_who_waits,
        a_waiter_is_woken_by_an_enqueue,
        bad_queue_names_are_refused,
    ],
    leases: [
        a_failure_is_delayed_and_remembered,
        a_snooze_burns_nothing,
        a_release_keeps_the_place,
        a_crashed_workers_lease_is_reclaimed_and_its_ack_superseded,
        a_heartbeat_keeps_the_lease,
        a_pause_of_maintenance_is_not_the_death_of_workers,
        a_clock_that_jumps_back_does_not_strand_a_lease,
        a_poison_job_dies_with_its_history,
        a_job_that_gets_further_each_time_is_no_poison,
        progress_needs_the_lease,
        batches_answer_in_order,
    ],
    operating: [
        a_dead_job_can_be_retried,
        cancelling_reaches_waiting_and_running_jobs,
        a_cancelled_run_does_not_come_back,
        a_paused_queue_leases_nothing,
        pages_hold_each_job_once,
        finished_jobs_are_trimmed,
        counts_and_totals_add_up,
        workers_are_known_while_seen,
    ],
];
