//! The guarantees of every broker: one list of functions that runs on each.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "conformance/groups.rs"]
mod groups;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/operating.rs"]
mod operating;
#[path = "conformance/queueing.rs"]
mod queueing;
#[path = "conformance/records.rs"]
mod records;
#[path = "conformance/settings.rs"]
mod settings;
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
        a_bulk_keeps_its_order_whatever_its_delays,
        due_delays_wake_a_waiter,
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
        reclaim_does_not_wait_if_no_job_was_leased,
        a_clock_that_jumps_back_does_not_strand_a_lease,
        a_lease_renewed_right_after_the_clock_jumped_back_ends_in_its_time,
        a_poison_job_dies_with_its_history,
        a_long_history_keeps_what_was_last,
        a_job_that_gets_further_each_time_is_no_poison,
        a_revived_job_starts_from_nothing,
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
        several_queues_are_read_at_once,
        finished_jobs_are_removed_by_id,
        workers_are_known_while_seen,
        workers_are_lost_after_two_leases,
        a_queue_is_drained_in_bounded_steps,
        all_dead_jobs_are_retried_in_bounded_steps,
    ],
    keys: [
        keys_of_odd_characters_stay_apart,
        a_unique_key_is_free_once_its_job_has_ended,
        a_key_held_for_a_time_is_held_exactly_so_long,
        a_replacement_takes_place_and_due_time_a_debounce_begins_anew,
        a_batch_is_as_if_one_after_the_other,
        a_repeated_id_is_stored_if_its_first_job_was_refused,
        a_revived_job_does_not_take_its_unique_key_again,
        jobs_of_one_ordering_key_run_one_after_the_other,
        a_job_that_comes_forward_keeps_its_due_time_and_priority,
        a_revived_job_waits_behind_the_active_one,
        a_line_is_intact_after_trimming_and_replacing,
    ],
    groups: [
        a_group_counts_its_jobs_by_current_state,
        a_group_is_kept_until_it_is_forgotten,
        replaced_and_refused_jobs_are_counted_rightly,
        a_group_takes_no_job_of_another_queue_and_none_once_it_is_sealed,
    ],
    settings: [
        a_queue_has_settings_from_the_first,
        no_more_run_than_allowed,
        the_end_of_a_run_wakes_a_waiter_of_a_full_queue,
        no_more_begin_in_a_time_than_allowed,
        a_future_token_wakes_a_waiter,
        a_change_of_the_rate_keeps_the_tokens_that_fit,
        a_rate_outlives_jumps_of_the_clock,
    ],
    records: [
        a_checkpoint_stays_with_the_job,
        a_log_keeps_its_last_lines_and_goes_with_its_job,
        a_lease_carries_expiry_and_trace,
        events_record_each_change,
        each_event_is_read_once_after_the_clock_jumped_back,
        an_event_cursor_too_old_or_unreadable_goes_on_at_the_oldest_kept,
        documents_change_by_compare_and_set,
        one_of_many_writers_of_a_document_wins,
    ],
];
