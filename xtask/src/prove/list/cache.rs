//! Proofs of the cache.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof(
        "cache-churn",
        "10,000,000 operations on a full cache whose keys come again: its bytes stay within a tenth of what they were at a quarter",
        "tidegate-cache",
        "churn",
        "memory_is_bounded_under_key_reuse_at_capacity",
    ),
    proof(
        "write-behind-killed",
        "two nodes that write and flush killed 200 times: no value lost or turned back, increments add up exactly",
        "tidegate-cache",
        "write_behind",
        "killed::two_nodes_lose_nothing_turn_nothing_back_and_count_exactly",
    )
    .with(&["json,write-behind"]),
    proof(
        "write-behind-failover",
        "writes and increments through Sentinels and 5 failovers: none turned back, none counted twice",
        "tidegate-cache",
        "write_behind",
        "topologies::through_sentinel_and_over_failovers_nothing_is_counted_twice_or_turned_back",
    )
    .with(&["json,write-behind"]),
    proof(
        "write-through",
        "100,000 storms of writes and reads at once on one key: the cache ends with the store's value, or none",
        "tidegate-cache",
        "write_through",
        "concurrent_writes_leave_no_older_value",
    ),
    proof(
        "write-through-nodes",
        "10,000 such storms on two nodes over Redis",
        "tidegate-cache",
        "write_through",
        "shared::concurrent_writes_on_two_nodes_leave_no_older_value",
    )
    .with(&["json"]),
    proof(
        "cache-warm-up",
        "a restart with warm-up: nine tenths of the old process's hits over the first 10,000 Zipf reads of 100,000 keys",
        "tidegate-cache",
        "warm_up",
        "a_restart_with_warm_up_has_nine_tenths_of_the_old_hits",
    ),
    proof(
        "cache-interleavings",
        "100,000 interleavings of loads, writes and invalidations on 3 nodes: an overtaken value stays readable nowhere",
        "tidegate-cache",
        "l2",
        "interleaving::a_load_overtaken_by_an_invalidation_leaves_its_value_on_no_node",
    )
    .with(&["json"]),
    proof(
        "cache-prompt",
        "10,000 writes on one node: gone from the other one's L1 within 5 ms (P99)",
        "tidegate-cache",
        "l2",
        "promptness::a_write_on_one_node_is_seen_on_the_other_within_milliseconds",
    )
    .with(&["json"]),
    proof(
        "cache-flush",
        "after FLUSHALL nothing old is served beyond two heartbeats",
        "tidegate-cache",
        "l2",
        "promptness::flushed_values_are_served_for_two_heartbeats_at_most",
    )
    .with(&["json"]),
    proof(
        "cache-untracked",
        "the same after all connections were killed",
        "tidegate-cache",
        "l2",
        "promptness::values_changed_without_tracking_are_served_for_two_heartbeats_at_most",
    )
    .with(&["json"]),
    proof(
        "cache-burst",
        "the same behind a burst of 10,000 changes",
        "tidegate-cache",
        "l2",
        "promptness::a_burst_of_ten_thousand_is_over_within_two_heartbeats",
    )
    .with(&["json"]),
    proof(
        "cache-failover",
        "the same after a failover by Sentinels, ordered or forced by a kill, within 1.5 s of when they agree and the old primary has let go; \
         within 6 s more where it hangs and nobody asks it anything",
        "tidegate-cache",
        "l2",
        "promptness::values_changed_in_a_failover_are_served_for_two_heartbeats_at_most",
    )
    .with(&["json"]),
    proof(
        "cache-lost-generation",
        "a tag's generation deleted behind the cache's back: noticed within two heartbeats, and from then on nothing old is read",
        "tidegate-cache",
        "l2",
        "promptness::a_lost_generation_of_a_tag_brings_nothing_back",
    )
    .with(&["json"]),
    proof(
        "cache-hung",
        "Redis stopped: one read waits for the time-out, later ones 100 µs at most, hits as ever",
        "tidegate-cache",
        "l2",
        "outage::a_redis_that_hangs_slows_down_one_read",
    )
    .with(&["json"]),
    proof(
        "cache-tag",
        "a tag of 1,000,000 entries is invalidated in one round trip",
        "tidegate-cache",
        "l2",
        "round_trips::a_tag_of_many_entries_is_invalidated_in_one_round_trip",
    )
    .with(&["json"]),
    proof(
        "cache-cold-key",
        "10,000 callers in each of 3 processes on a cold key: 1 load",
        "tidegate-cache",
        "l2",
        "processes::thousands_of_callers_in_three_processes_make_one_load",
    )
    .with(&["json"]),
    proof(
        "cache-batches",
        "20,000 writes with invalidations of every kind beside batches of three nodes: none brings an old value back",
        "tidegate-cache",
        "l2",
        "batches::coherence::batches_never_bring_an_old_value_back",
    )
    .with(&["json"]),
    proof(
        "cache-codecs-mutated",
        "100,000 records in every codec, with bytes changed, cut and added: no panic, no room beyond the cap",
        "tidegate-cache",
        "codecs",
        "mutated_bytes_never_panic_nor_take_more_room_than_their_cap",
    )
    .with(&["json,messagepack,zstd"]),
    proof(
        "cache-codecs-random",
        "100,000 times random bytes to every codec: no panic, no room beyond the cap",
        "tidegate-cache",
        "codecs",
        "random_bytes_never_panic_nor_take_more_room_than_their_cap",
    )
    .with(&["json,messagepack,zstd"]),
    proof(
        "cache-keys",
        "500,000 prefixes, parts and texts of whatever characters: keys and patterns build and parse without a panic",
        "tidegate-cache",
        "tenants",
        "building_and_parsing_never_panic_and_agree",
    ),
    proof(
        "cache-patterns",
        "20,000 patterns over keys of whatever characters: Redis removes exactly what memory removes",
        "tidegate-cache",
        "l2",
        "tenants::a_pattern_matches_in_l2_exactly_what_it_matches_in_l1",
    )
    .with(&["json"]),
    proof(
        "cache-tenants-patterns",
        "500,000 pairs of tenants: no pattern of one matches a key of the other",
        "tidegate-cache",
        "tenants",
        "no_pattern_of_one_tenant_matches_a_key_of_another",
    ),
    proof(
        "cache-tenants",
        "20,000 pairs of tenants in both tiers: none reads, counts or invalidates what is the other's",
        "tidegate-cache",
        "l2",
        "tenants::no_tenant_reads_counts_or_invalidates_values_of_another",
    )
    .with(&["json"]),
];
