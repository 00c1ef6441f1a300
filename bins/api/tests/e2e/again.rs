//! The main job with queue, limits and shared cache on Redis: the tests of the embedded default,
//! run on each arrangement of servers.

/// Tests of other modules, on that backend.
macro_rules! again {
    ($backend:ident in $parent:ident: $($module:ident { $($test:ident)* })*) => {
        $(mod $module {
            $(
                #[test]
                fn $test() {
                    crate::backend::on(crate::backend::Backend::$backend, crate::$parent::$module::$test);
                }
            )*
        })*
    };
    ($backend:ident: $($module:ident { $($test:ident)* })*) => {
        $(mod $module {
            $(
                #[test]
                fn $test() {
                    crate::backend::on(crate::backend::Backend::$backend, crate::$module::$test);
                }
            )*
        })*
    };
}

/// The main features, which must work on any backend: imports, kills, reads, limits, several
/// processes, pages, shutdown.
macro_rules! the_main_job {
    ($backend:ident) => {
        again! {
            $backend:
            imports {
                ten_thousand_lines_arrive_and_each_bad_one_is_named
                an_import_killed_again_and_again_goes_on_where_it_stood
                an_accepted_import_outlives_a_kill_in_the_moment_of_its_answer
                a_stopped_api_gives_its_import_back_and_goes_on_after_the_restart
                a_stopped_api_finishes_an_import_within_its_grace
            }
            reads {
                one_schedule_comes_from_the_tables_and_then_from_the_cache
                what_the_client_has_already_is_answered_304_without_body
                an_update_is_seen_by_the_next_read
                a_creation_is_seen_by_the_next_list
                a_deletion_is_seen_by_the_next_read
                what_is_not_there_is_cached_too_and_stays_right
            }
            limits {
                a_free_tenant_gets_sixty_requests_and_then_a_reason
                of_two_hundred_at_once_exactly_sixty_pass_and_the_refused_are_free
                of_fifty_at_once_those_that_api_refuses_cost_their_tenant_nothing
                another_tier_counts_at_once_and_keeps_what_was_used
            }
            numbers {
                performance_has_every_request_under_its_route
                the_queue_counts_its_jobs_by_what_became_of_them
            }
            processes {
                two_workers_share_the_imports
                a_killed_worker_is_replaced_by_the_other_within_its_lease
                an_update_in_one_api_is_seen_by_the_next_read_in_the_other
                what_one_api_creates_and_deletes_is_listed_and_gone_in_the_other
                a_change_of_tier_in_one_api_binds_the_next_request_in_the_other
                a_purge_in_one_api_reaches_the_other_and_only_what_it_names
            }
            fleet {
                three_apis_and_four_workers_do_ten_imports_between_them
                of_two_hundred_at_once_over_three_apis_exactly_sixty_pass
                a_plan_and_a_block_in_one_api_bind_in_the_others_at_once
            }
        }
    };
}

mod on_redis_single {
    the_main_job!(RedisSingle);

    again! {
        RedisSingle:
        notifications {
            a_notice_is_heard_on_each_instance_and_streams_go_on_elsewhere_after_a_kill
        }
    }

    /// Every route of the queues.
    mod queues {
        again! {
            RedisSingle in queues:
            create {
                a_job_is_as_it_was_described_and_its_payload_stays_inside
                a_delayed_job_waits_for_its_time_and_a_past_time_is_now
                a_unique_key_is_held_until_its_job_is_over_and_the_holder_is_named
                jobs_of_an_ordering_key_wait_for_one_another
                every_wrong_field_is_named_and_nothing_is_enqueued
            }
            repeated {
                a_key_makes_one_job_and_another_body_is_refused
                of_twenty_at_once_with_one_key_one_job_is_made
                an_id_of_the_clients_is_known_or_another_jobs
                a_key_makes_one_bulk_whatever_is_sent_with_it_again
            }
            batches {
                a_key_makes_one_batch_and_another_body_is_refused
                a_batch_takes_no_job_that_it_would_not_count
            }
            bulk {
                a_thousand_arrive_in_their_order
                one_bad_entry_is_named_and_none_is_enqueued
                existing_jobs_are_reported
                on_several_partitions_a_bulk_lies_in_one
            }
            jobs {
                only_a_delayed_job_is_promoted
                a_cancel_that_is_sent_again_changes_nothing
                what_is_not_there_is_not_found
                a_job_without_a_log_has_an_empty_one
                a_list_is_read_page_by_page
            }
            actions {
                a_queue_is_drained_in_steps_and_then_cleaned
                all_dead_jobs_are_tried_again
            }
            settings {
                settings_are_kept_and_shown
                events_are_read_from_where_the_reader_was
            }
            cron {
                a_schedule_is_made_read_changed_and_removed
                a_schedule_is_paused_resumed_and_run_out_of_turn
                a_node_with_a_worker_runs_what_is_due
            }
            overview {
                rates_and_lengths_follow_what_comes
                runs_are_timed_and_counted_by_kind_and_outcome
                kinds_that_no_handler_knows_wait_for_one_and_make_no_labels
            }
        }
    }

    /// The named limiters.
    mod limiters {
        again! {
            RedisSingle in limiters:
            decisions {
                a_service_gets_yes_or_no_and_a_retry_time
                a_tenants_quota_is_checked_by_its_id
            }
            changes {
                another_quota_counts_at_once_and_what_was_charged_stays
                a_key_is_blocked_unblocked_and_reset
            }
            identity {
                no_secret_becomes_a_key
            }
            lists {
                listed_addresses_are_never_counted_or_always_refused
            }
        }
    }

    /// Tests that do not depend on the arrangement of Redis.
    mod more {
        again! {
            RedisSingle:
            imports {
                an_ndjson_import_goes_on_after_a_kill
                another_tenant_sees_nothing_of_an_import
            }
            reads {
                a_page_comes_from_the_tables_and_then_from_the_cache
                responses_say_whether_a_client_may_cache_them
            }
            limits {
                each_tenant_has_its_own_limit
                a_tenants_own_limit_per_day_binds_and_is_named
                a_reset_forgets_what_was_used
                an_address_is_blocked_after_a_hundred_wrong_keys
                a_block_ends_by_itself
                the_limit_in_front_refuses_a_flood_and_never_a_probe
            }
            processes {
                a_worker_that_hung_finds_its_import_in_other_hands
                readers_in_one_api_never_fall_behind_a_writer_in_the_other
                what_a_reader_saw_in_one_api_is_not_unseen_in_the_writers_own
                rows_of_a_worker_are_in_the_next_list_of_a_warm_api
                health_is_degraded_while_no_worker_serves_the_queue
            }
        }
    }
}

mod on_sentinel {
    the_main_job!(RedisSentinel);
}

mod on_cluster {
    the_main_job!(RedisCluster);
}
