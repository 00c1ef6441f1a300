//! The guarantees of the cache for all tiers. One suite runs over L1 alone, bounded in entries and
//! in bytes, and over two nodes that share an L2, followed by tracking and over a channel, on one
//! server and in a cluster.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod expiring;
mod ground;
mod invalidating;
mod keeping;
mod lifetimes;
mod loading;
mod storing;

/// Creates a test of each case over each arrangement. Arrangements that are slow to start run all
/// cases in one test.
macro_rules! suite {
    ($($room:ident: $($case:ident),+;)+) => {
        mod entries {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$room::$case(crate::ground::Ground::of_entries()).await;
            })+)+
        }
        mod bytes {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$room::$case(crate::ground::Ground::of_bytes()).await;
            })+)+
        }
        #[cfg(feature = "json")]
        mod redis {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$room::$case(crate::ground::Ground::on_redis(|tier| tier).await).await;
            })+)+
        }
        #[cfg(feature = "json")]
        mod published {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let published = tidegate_cache::RedisTier::published;
                crate::$room::$case(crate::ground::Ground::on_redis(published).await).await;
            })+)+
        }
        #[cfg(feature = "json")]
        mod cluster {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn all_operations_agree() {
                let cluster = tidegate_testkit::redis::Cluster::start().await;
                let mut cases = 0;
                $($({
                    cases += 1;
                    let ground = crate::ground::Ground::at(&cluster.url(), &format!("tg{cases}"), |tier| tier).await;
                    crate::$room::$case(ground).await;
                })+)+
                assert!(cases > 20);
            }
        }
    };
}

suite! {
    storing: nothing_is_a_miss, what_is_set_is_found_by_all, the_last_one_set_is_found, many_are_set_and_found_in_order,
        any_key_is_itself_alone, a_value_may_be_empty_or_long;
    loading: what_one_loads_all_find, thousands_of_callers_make_one_load, a_batch_asks_once_for_all_that_is_missing,
        that_there_is_nothing_is_remembered, an_error_stores_nothing, a_caller_that_leaves_stops_no_load,
        what_was_set_during_a_load_stays;
    invalidating: a_key_is_gone_for_all, many_keys_are_gone_for_all, a_tag_takes_its_own_alone, a_class_takes_its_own_alone,
        a_pattern_takes_what_it_matches_alone, clearing_takes_everything, several_at_once, nothing_may_be_invalidated,
        what_a_load_brings_too_late_is_not_kept, what_a_batch_brings_too_late_is_not_kept;
    expiring: what_is_expired_is_loaded_by_the_next_read, what_is_expired_serves_while_loads_fail,
        what_is_expired_spares_whoever_can_wait, without_a_grace_to_expire_is_to_invalidate, a_load_from_before_makes_nothing_fresh,
        to_expire_reaches_its_keys_alone;
    keeping: what_a_loader_does_not_want_kept_is_not, what_a_load_finds_not_to_be_kept_takes_the_old_value_along,
        what_is_set_not_to_be_kept_invalidates, whoever_joins_a_load_has_what_is_not_kept,
        what_was_set_during_a_load_that_keeps_nothing_stays, a_class_without_a_lifetime_keeps_what_has_one_of_its_own;
    lifetimes: what_has_expired_is_loaded_anew, a_loader_may_shorten_a_life, what_is_stale_is_served_while_loads_fail,
        what_still_holds_is_fresh_again;
}
