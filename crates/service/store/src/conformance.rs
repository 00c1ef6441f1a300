//! Tests of the store's guarantees, on both databases.

use super::ground::Ground;

/// On SQLite each scenario is a separate test. On PostgreSQL all scenarios share one server, since
/// starting it takes longer than most of them run.
macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        mod on_sqlite {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    super::super::$module::tests::$name(&Ground::files()).await;
                }
            )*
        }

        #[tokio::test]
        async fn everything_is_the_same_on_postgresql() {
            let ground = Ground::server().await;
            $(
                eprintln!("{}", stringify!($name));
                super::$module::tests::$name(&ground).await;
            )*
        }
    };
}

scenarios![
    alerts::a_receiver_never_goes_back,
    alerts::a_silence_is_kept_replaced_and_lifted,
    alerts::an_unreadable_alert_is_named_and_can_be_removed,
    alerts::lost_reports_are_noticed_and_written_anew,
    alerts::of_processes_that_want_to_send_one_does,
    alerts::reports_of_a_dead_process_are_removed_unless_it_writes_again,
    alerts::the_reports_that_were_written_last_are_read_first,
    alerts::reports_are_each_processs_own,
    analytics::a_batch_of_views_counts_once,
    analytics::a_kind_of_a_newer_version_is_left_out,
    analytics::an_import_counts_what_it_brought_in_with_each_chunk,
    analytics::days_are_told_apart_and_old_ones_go,
    analytics::what_is_read_is_what_was_done_however_it_is_rolled,
    imports::a_given_up_import_says_why_to_its_tenant_until_it_is_begun_again,
    imports::a_removed_import_takes_its_rejects_along_and_leaves_its_schedules,
    imports::an_import_goes_on_where_the_last_commit_stands,
    imports::of_two_workers_at_one_position_only_one_takes_the_step,
    imports::of_uploads_that_begin_together_no_two_get_the_last_place,
    imports::a_repeated_id_begins_a_new_import_once_the_earlier_one_is_closed,
    imports::places_are_counted_until_they_are_given_back_or_the_import_is_over,
    keys::a_key_is_listed_and_revoked_by_its_own_tenant_alone,
    keys::a_tenant_has_so_many_keys_and_no_more,
    preferences::preferences_are_a_users_and_go_with_it,
    preferences::preferences_are_written_through_the_cache_of_their_process,
    notifications::numbers_have_no_holes_and_one_source_is_told_once,
    notifications::two_processes_take_turns,
    notifications::what_is_old_goes_from_the_front,
    notifications::what_one_process_tells_is_heard_in_each_at_once,
    notifications::whoever_comes_back_goes_on_and_is_told_of_gaps,
    schedules::a_key_makes_one_schedule_and_goes_with_it,
    reminders::a_schedule_that_came_without_a_time_is_looked_at,
    reminders::a_schedule_that_is_changed_or_deleted_takes_its_reminders_along,
    reminders::a_send_that_dies_in_the_middle_leaves_the_reminder_to_be_sent,
    reminders::a_tenant_has_so_many_reminders_and_mails_on_a_day,
    reminders::however_many_prepare_and_send_it_a_reminder_is_one,
    reminders::schedules_are_due_from_their_start_on_until_they_are_over,
    reports::sums_are_those_of_the_span_however_it_is_cut,
    runs::a_file_is_its_tenants_alone_and_ends_with_its_time,
    runs::a_pair_of_files_is_entered_together,
    runs::a_snapshot_is_of_one_moment,
    runs::of_runs_that_come_together_no_two_get_the_last_place,
    runs::of_two_runs_of_a_job_only_the_first_has_its_files_entered,
    schedules::a_schedule_is_created_read_replaced_and_deleted,
    schedules::pages_hold_every_schedule_once_in_order_of_start_and_id,
    schedules::the_newest_schedules_come_first,
    sessions::a_session_ends_by_logout_a_new_password_or_with_its_user,
    sessions::of_too_many_sessions_the_oldest_end_and_those_over_are_removed,
    tenants::a_change_that_is_refused_leaves_the_plan_and_the_lock,
    tenants::a_key_leads_to_its_tenant_and_an_id_is_given_once,
    tenants::no_change_of_a_plan_is_lost_to_another_at_the_same_time,
    tenants::pages_hold_every_tenant_once_by_id,
    users::an_address_is_one_users_of_its_tenant_and_may_be_in_two,
    users::of_fifty_users_at_once_as_many_as_there_are_seats_are_created,
    users::pages_hold_every_user_once,
    webhooks::a_webhook_is_created_listed_disabled_and_deleted,
];
