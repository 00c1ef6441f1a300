//! The guarantees of every store: one list of functions, executed with each.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "conformance/batches.rs"]
mod batches;
#[path = "conformance/ledgers.rs"]
mod ledgers;
#[path = "conformance/locks.rs"]
mod locks;
#[path = "conformance/once.rs"]
mod once;
#[path = "conformance/partitions.rs"]
mod partitions;
#[path = "conformance/queues.rs"]
mod queues;
#[path = "conformance/semaphores.rs"]
mod semaphores;
#[path = "conformance/stocks.rs"]
mod stocks;
mod support;
#[path = "conformance/versions.rs"]
mod versions;

macro_rules! conformance {
    ($($group:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        mod memory { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::support::Bench::memory()).await;
            }
        )*)* }
        #[cfg(feature = "redis")]
        mod on_redis { $($(
            #[tokio::test]
            async fn $name() {
                crate::$group::$name(crate::support::Bench::redis().await).await;
            }
        )*)* }
    };
}

conformance![
    locks: [
        a_lock_has_one_holder,
        names_are_locks_of_their_own,
        tokens_grow,
        a_dropped_guard_releases,
        a_dead_holders_lock_is_free_after_its_lease,
        a_late_release_leaves_the_next_holder_alone,
        a_repeat_takes_no_second_lock,
        a_renewed_lock_stays_held,
        the_holder_is_told_that_it_lost_the_lock,
        without_renewal_it_is_lost_after_its_lease,
        many_tasks_never_overlap,
    ],
    queues: [
        waiters_are_served_in_the_order_in_which_they_came,
        who_does_not_wait_does_not_overtake,
        a_dead_waiter_holds_nobody_up_for_long,
        a_waiter_gives_up_in_time_and_leaves_the_queue,
        a_cancelled_waiter_leaves_the_queue,
        a_waiter_gets_the_lock_of_a_dead_holder,
    ],
    semaphores: [
        a_semaphore_has_so_many_permits,
        a_lock_and_a_semaphore_of_one_name_are_two,
        the_permits_of_the_dead_come_back,
        many_tasks_share_three_permits,
    ],
    once: [
        the_first_does_it_and_the_others_get_its_result,
        a_result_may_be_any_bytes,
        who_comes_meanwhile_is_told_when_to_come_back,
        a_failed_attempt_is_begun_anew,
        a_dead_attempt_is_succeeded_and_its_result_refused,
        a_late_result_counts_if_nobody_has_taken_over,
        a_result_is_forgotten_after_its_time,
        of_twenty_at_once_one_starts,
        repeated_steps_change_nothing,
    ],
    stocks: [
        what_is_confirmed_is_sold,
        what_is_released_is_available_again,
        all_or_nothing_is_reserved,
        the_same_id_gets_the_same_answer,
        an_id_names_one_thing,
        an_expired_reservation_cannot_be_confirmed,
        abandoned_reservations_return_before_anybody_is_told_that_it_is_sold_out,
        a_sweep_is_bounded,
        ids_are_forgotten_after_the_horizon,
        of_a_hundred_at_once_as_many_get_it_as_there_are,
        quantities_are_checked,
        a_removed_stock_is_gone,
    ],
    ledgers: [
        a_transfer_moves_both_sides,
        the_same_id_moves_once,
        no_account_goes_below_zero,
        unknown_accounts_are_refused,
        an_old_token_is_refused,
        a_refused_transfer_may_be_tried_again,
        ids_of_postings_are_forgotten_after_the_horizon,
        amounts_are_checked,
        the_sum_never_changes,
    ],
    versions: [
        each_posting_makes_a_new_version,
        a_posting_on_another_version_is_a_conflict,
        a_repetition_is_answered_whatever_the_version_is_by_now,
        an_update_decides_on_what_is_there,
        an_update_that_decides_against_it_changes_nothing,
        a_repeated_update_posts_once,
        an_update_that_always_meets_a_change_gives_up,
        many_updates_at_once_lose_none,
    ],
    batches: [
        each_entry_of_a_batch_is_answered_by_itself,
        an_id_twice_in_a_batch_posts_once,
        a_batch_may_be_longer_than_a_step,
        wrong_entries_leave_the_others_alone,
    ],
    partitions: [
        a_transfer_between_partitions_moves_both_sides,
        a_transfer_between_partitions_moves_once,
        an_unknown_taker_in_another_partition_changes_nothing,
        a_full_account_in_another_partition_changes_nothing,
        what_is_in_transit_keeps_its_room,
        no_account_of_a_partition_goes_below_zero,
        the_number_of_partitions_is_kept,
        a_batch_spreads_over_partitions,
        a_transfer_that_a_dead_process_left_is_completed,
        a_transfer_that_a_dead_process_left_is_returned_when_it_cannot_arrive,
        a_later_transfer_completes_an_old_one,
        a_credit_that_comes_late_is_taken_once,
        a_sweep_of_transfers_is_bounded,
        totals_add_up_beyond_the_largest_balance,
        the_sum_over_partitions_never_changes,
    ],
];
