//! The proofs, as data.

/// A test that shows more the longer it runs.
pub(super) struct Proof {
    pub(super) name: &'static str,
    /// The claim that it proves at full size.
    pub(super) shows: &'static str,
    pub(super) package: &'static str,
    /// Features that the package needs for its tests of Redis.
    pub(super) features: &'static [&'static str],
    /// The test's binary and its name there.
    pub(super) binary: &'static str,
    pub(super) test: &'static str,
}

const fn proof(
    name: &'static str,
    shows: &'static str,
    package: &'static str,
    binary: &'static str,
    test: &'static str,
) -> Proof {
    Proof { name, shows, package, features: &[], binary, test }
}

impl Proof {
    /// Whether it starts `tidegate-api` or `tidegate-worker`, as tests of the API alone do. Other
    /// proofs need not wait for their build.
    pub(super) fn drives_binaries(&self) -> bool {
        self.package == "tidegate-api"
    }

    /// Whether it starts the examples.
    pub(super) fn drives_examples(&self) -> bool {
        self.package == "tidegate-load"
    }

    const fn with(mut self, features: &'static [&'static str]) -> Self {
        self.features = features;
        self
    }
}

/// All of them, in the order in which they run.
pub(super) const PROOFS: &[Proof] = &[
    proof(
        "hostile-clients",
        "10,000 idle connections, 500 dribbled heads, 1,000 slow bodies and a flood from one address: others are answered, P95 <= 200 ms",
        "tidegate-api",
        "e2e",
        "hostile_clients::others_are_served_beside_hostile_clients",
    ),
    proof(
        "openapi-fuzz",
        "100,000 requests made from the OpenAPI document, most of them wrong: no answer of 5xx, no panic",
        "tidegate-api",
        "e2e",
        "fuzz::no_request_made_from_the_document_breaks_anything",
    ),
    proof(
        "reindex-million",
        "a tenant's 1,000,000 schedules are reindexed by jobs of 500, with a pause on the way: each row once, and the last job reports all",
        "tidegate-api",
        "e2e",
        "queues::actions::the_schedules_of_a_tenant_are_reindexed_with_pause_and_completion",
    ),
    proof(
        "sigterm-under-load",
        "SIGTERM while 64 clients ask behind a balancer and an import runs: no accepted request is lost, and the import loses no attempt and no line",
        "tidegate-api",
        "e2e",
        "sigterm::behind_a_balancer_nothing_is_lost",
    ),
    proof(
        "http-rss",
        "ten minutes of cached reads over 64 connections: all are answered, and the process's memory is within 1.05 of what it was after one",
        "tidegate-api",
        "e2e",
        "load::memory_under_load_stays",
    ),
    proof(
        "redis-killed",
        "Redis killed and restarted under load, 20 times: every request is answered, and service returns",
        "tidegate-api",
        "e2e",
        "redis::outages::killed_and_restarted_under_load",
    ),
    proof(
        "redis-hung",
        "Redis stopped and resumed under load, 20 times",
        "tidegate-api",
        "e2e",
        "redis::outages::hung_and_awake_again_under_load",
    ),
    proof(
        "redis-failover",
        "another primary chosen by Sentinels under load, 20 times, and once for a killed one",
        "tidegate-api",
        "e2e",
        "redis::outages::failed_over_by_sentinels_under_load",
    ),
    proof(
        "redis-shard",
        "a shard of a cluster killed under load, 20 times",
        "tidegate-api",
        "e2e",
        "redis::outages::a_shard_of_a_cluster_lost_under_load",
    ),
    proof(
        "lock-fencing",
        "4 processes, 40 holders killed and as many suspended: never two writers past the fencing token",
        "tidegate-sync",
        "processes",
        "killed_and_suspended_holders_never_write_past_a_later_one",
    ),
    proof(
        "lock-overlap",
        "100,000 acquisitions by 4 processes, none overlapping another",
        "tidegate-sync",
        "processes",
        "acquisitions_by_four_processes_never_overlap",
    ),
    proof(
        "transfer",
        "transfers by processes that are killed 200 times: the sum of all accounts never changes",
        "tidegate-sync",
        "processes",
        "the_sum_of_all_accounts_never_changes_also_when_processes_die",
    ),
    proof(
        "stock",
        "a stock of 10,000 sold by 3 processes, one of them killed: sold + released + expired = 10,000",
        "tidegate-sync",
        "processes",
        "ten_thousand_in_stock_are_each_sold_released_or_expired_once",
    ),
    proof(
        "oversold",
        "50,000 orders for a stock of 10,000: 10,000 sold, none twice",
        "tidegate-sync",
        "processes",
        "more_orders_than_stock_sell_no_more_than_there_is",
    ),
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
        "limit-exact",
        "4 processes of 10,000 tasks each against one limit on Redis admit exactly the limit, with leases never more",
        "tidegate-ratelimit",
        "redis",
        "exactness::processes_admit_exactly_the_limit",
    )
    .with(&["redis"]),
    proof(
        "limit-outage",
        "3 instances lose Redis under load: the first decision within 50 ms, later ones in 10 µs, no window above its promise; \
         the debits are there afterwards, once",
        "tidegate-ratelimit",
        "redis",
        "outage_promise::three_instances_keep_the_promise",
    )
    .with(&["redis"]),
    proof(
        "flood-memory",
        "100,000,000 random keys against a cap of 1,000,000: 1.05 times the memory at the cap, and a ban outlives them",
        "tidegate-ratelimit",
        "limiters",
        "flood::random_keys_take_no_more_memory_than_the_cap",
    ),
    proof(
        "front-door",
        "1,000,000 addresses and one at 5,000/s: that one blocked within 1 s for 10 s, 99.9 % of the others served, in fixed memory",
        "tidegate-ratelimit",
        "front",
        "front_door::one_among_a_million_is_blocked_and_the_others_are_served",
    ),
    proof(
        "adaptive-capacity",
        "capacity falls from 1,000/s to 300/s and returns, under 40 seeds: goodput of 90 % within 10 s each time (virtual time)",
        "tidegate-ratelimit",
        "front",
        "capacity::goodput_follows_the_capacity",
    ),
    proof(
        "anomaly",
        "24 simulated hours of 12 steady and swelling keys under 20 seeds: none flagged; a tenfold one within 60 s",
        "tidegate-ratelimit",
        "front",
        "anomaly::a_tenfold_key_is_flagged_and_a_steady_one_never",
    ),
    proof(
        "tenant-parity",
        "1,000 random lives of tenants in memory and on Redis: plans, blocks, seats and clock steps included, the same answers",
        "tidegate-ratelimit",
        "redis",
        "tenants::decide_as_in_memory",
    )
    .with(&["redis"]),
    proof(
        "scan-million",
        "1,000,000 rows of a table made into the jobs of a group by a process that is killed twice, on SQLite: each processed or reported, memory + 50 MB at most",
        "tidegate-queue",
        "scan_killed",
        "sqlite_through_a_group",
    ),
    proof(
        "scan-million-inline",
        "the same rows worked through by the scan's own job, on SQLite",
        "tidegate-queue",
        "scan_killed",
        "sqlite_inline",
    ),
    proof(
        "scan-million-redis",
        "the same as scan-million, on Redis",
        "tidegate-queue",
        "scan_killed",
        "redis_through_a_group",
    )
    .with(&["redis"]),
    proof(
        "cron",
        "two schedulers that crash and fail at random, a thousand ticks under 500 seeds: none twice, none missed",
        "tidegate-queue",
        "cron",
        "two_schedulers_a_thousand_virtual_ticks_none_twice_none_missed",
    ),
    proof(
        "chaos-redis",
        "1,000,000 jobs, workers, producers and Redis (`appendfsync everysec`) killed at random: all run, none is stuck",
        "tidegate-queue",
        "chaos",
        "kills::redis::on_redis_that_writes_each_second",
    )
    .with(&["redis"]),
    proof(
        "chaos-redis-always",
        "100,000 jobs and Redis killed 10 times with `appendfsync always`: nothing is lost, each run too many counted",
        "tidegate-queue",
        "chaos",
        "kills::redis::on_redis_that_writes_before_it_answers",
    )
    .with(&["redis"]),
    proof(
        "chaos-redis-torn",
        "100,000 jobs on a Redis killed 21 times, its append-only file torn 20 times: nothing is lost or forgotten",
        "tidegate-queue",
        "chaos",
        "kills::redis::on_redis_whose_file_is_torn_at_each_restart",
    )
    .with(&["redis"]),
    proof(
        "full-redis",
        "a Redis of 30 MB filled by enqueueing is worked off, each job as often as it should, and takes jobs again",
        "tidegate-queue",
        "redis_full",
        "a_server_filled_by_enqueueing_is_worked_off_and_takes_jobs_again",
    )
    .with(&["redis"]),
    proof(
        "chaos-sqlite",
        "20,000 jobs on SQLite, workers and producers killed at random: nothing is lost, each run too many counted",
        "tidegate-queue",
        "chaos",
        "kills::on_sqlite",
    )
    .with(&["sqlite"]),
    proof(
        "chaos-failover",
        "200,000 jobs through 5 failovers: what asynchronous replication loses is counted, and nothing else is lost",
        "tidegate-queue",
        "chaos",
        "failover::loses_no_more_than_the_last_moments",
    )
    .with(&["redis"]),
    proof(
        "worker-killed-redis",
        "the jobs of a killed worker run elsewhere within their lease and a second, leases of 2 to 30 s",
        "tidegate-queue",
        "chaos",
        "leases::leases_of_a_killed_worker_expire_on_redis",
    )
    .with(&["redis"]),
    proof(
        "worker-killed-sqlite",
        "the same on SQLite",
        "tidegate-queue",
        "chaos",
        "leases::leases_of_a_killed_worker_expire_on_sqlite",
    )
    .with(&["sqlite"]),
    proof(
        "redis-restarts",
        "Redis killed and started 200 times: a new job runs within 2 s of its first answer",
        "tidegate-queue",
        "chaos",
        "restarts::workers_fetch_again_within_two_seconds",
    )
    .with(&["redis"]),
    proof(
        "blocked-handler-redis",
        "a handler that blocks its program's only thread for a minute keeps a lease of 2 s",
        "tidegate-queue",
        "chaos",
        "blocked::redis::a_handler_that_blocks_keeps_its_lease",
    )
    .with(&["redis"]),
    proof(
        "blocked-handler-sqlite",
        "the same on SQLite",
        "tidegate-queue",
        "chaos",
        "blocked::sqlite::a_handler_that_blocks_keeps_its_lease",
    )
    .with(&["sqlite"]),
    proof(
        "stopped-worker-redis",
        "a program that is stopped loses its lease: its job runs elsewhere, its own acknowledgement changes nothing",
        "tidegate-queue",
        "chaos",
        "blocked::redis::a_program_that_is_stopped_loses_its_lease",
    )
    .with(&["redis"]),
    proof(
        "stopped-worker-sqlite",
        "the same on SQLite",
        "tidegate-queue",
        "chaos",
        "blocked::sqlite::a_program_that_is_stopped_loses_its_lease",
    )
    .with(&["sqlite"]),
    proof(
        "ten-million",
        "10,000,000 waiting jobs: taken as fast as from 2,000; 8,001 due at once (4 GB of memory)",
        "tidegate-queue",
        "scale",
        "ten_million_waiting_jobs_slow_nothing_down",
    )
    .with(&["redis"]),
    proof(
        "moved-partition",
        "a partition of 1,000,000 jobs moves to another node of a cluster with 3 s of work while the queue goes on",
        "tidegate-queue",
        "scale",
        "a_partition_moves_to_another_node_while_the_queue_works",
    )
    .with(&["redis"]),
    proof(
        "fuzz-replies",
        "100,000 arbitrary replies of Redis: reading none panics",
        "tidegate-queue",
        "tidegate_queue",
        "broker::redis::fuzz::no_reply_panics",
    )
    .with(&["redis"]),
    proof(
        "fuzz-envelopes",
        "100,000 damaged envelopes: reading none panics",
        "tidegate-queue",
        "tidegate_queue",
        "broker::redis::fuzz::no_bytes_panic",
    )
    .with(&["redis"]),
    proof(
        "fuzz-rows",
        "100,000 arbitrary and damaged rows of SQLite: reading none panics",
        "tidegate-queue",
        "tidegate_queue",
        "broker::sqlite::fuzz::no_row_panics",
    )
    .with(&["sqlite"]),
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
    proof(
        "anomaly-noise",
        "1,000 days of each of four kinds of steady noise, every one from a detector's first minute: one anomaly at most",
        "tidegate-perfmon",
        "outlook",
        "anomalies::a_thousand_series_days_of_steady_noise_flag_at_most_one",
    ),
    proof(
        "forecast-cover",
        "1,000 series of each of seven courses and three lengths: the intervals of an hour's forecast hold nine in ten later values",
        "tidegate-perfmon",
        "outlook",
        "forecasts::intervals_cover_nine_tenths",
    ),
    proof(
        "alert-breach",
        "a handler that fails from one request to the next, beside one that is served on: health says so within two seconds",
        "tidegate-api",
        "e2e",
        "alerts::a_breach_is_seen_within_two_seconds",
    ),
    proof(
        "perfmon-windows",
        "100,000,000 records by 4 threads while ticks come every millisecond: each is in the windows, and their sums are exact",
        "tidegate-perfmon",
        "windows",
        "a_hundred_million_records_are_all_in_the_windows",
    ),
    proof(
        "perfmon-404",
        "1,000,000 unknown paths through the layer: no series for any, less than a megabyte at the peak",
        "tidegate-perfmon",
        "memory",
        "a_million_unknown_paths_take_no_series_and_less_than_a_megabyte",
    ),
    proof(
        "perfmon-unscraped",
        "512 endpoints through 25 hours of ticks that nobody reads: the process's memory within 1.05 of what it was after one",
        "tidegate-perfmon",
        "memory",
        "never_scraped_memory_stays",
    ),
    proof(
        "perfmon-unscraped-node",
        "a node under load for ten minutes whose figures nobody asks for: its memory within 1.05 of what it was after one",
        "tidegate-api",
        "e2e",
        "unscraped::memory_of_a_node_that_nobody_scrapes_stays",
    ),
    proof(
        "query-fuzz",
        "10,000,000 statements of both dialects with a secret in each literal, cut, changed, added to at any byte: no shape shows one",
        "tidegate-perfmon",
        "query",
        "fingerprint::no_planted_secret_ever_shows",
    ),
    proof(
        "scenario-checkout",
        "coupons, points and orders while one of three processes is killed each second and Redis is restarted: all sums agree, \
         and a slow service does not slow the others",
        "tidegate-load",
        "scenarios",
        "under_faults::checkout",
    ),
    proof(
        "scenario-coupons",
        "users want coupons while one of three processes is killed each second and Redis is restarted: one each, SQL and Redis agree",
        "tidegate-load",
        "scenarios",
        "under_faults::coupons",
    ),
    proof(
        "scenario-exchange_rate",
        "rates of a service that fails and is slow, while one of three processes is killed each second and Redis is restarted: \
         none older than it says, and the service's quota is kept",
        "tidegate-load",
        "scenarios",
        "under_faults::exchange_rate",
    ),
    proof(
        "scenario-leaderboard",
        "awards while one of three processes is killed each second and Redis is restarted: all are on the board, in the right order",
        "tidegate-load",
        "scenarios",
        "under_faults::leaderboard",
    ),
    proof(
        "scenario-feed",
        "posts, of an author with 100,000 followers too, and readers while one of three processes is killed each second and Redis is \
         restarted: every acknowledged post is in every feed, pages have no gap and no repeat",
        "tidegate-load",
        "scenarios",
        "under_faults::feed",
    ),
    proof(
        "scenario-payment",
        "50 callers pay for one order at once while one of three processes is killed each second and Redis is restarted: paid once",
        "tidegate-load",
        "scenarios",
        "under_faults::payment",
    ),
    proof(
        "scenario-time_sale",
        "10,000 pieces sold while one of three processes is killed each second and Redis is restarted: none sold twice",
        "tidegate-load",
        "scenarios",
        "under_faults::time_sale",
    ),
    proof(
        "scenario-points",
        "points are earned and used while one of three processes is killed each second and Redis is restarted: the balance is the sum",
        "tidegate-load",
        "scenarios",
        "under_faults::points",
    ),
    proof(
        "scenario-product_page",
        "updates and reads while one of three processes is killed each second and Redis is restarted: no page older than its reader knows",
        "tidegate-load",
        "scenarios",
        "under_faults::product_page",
    ),
    proof(
        "scenario-transfer",
        "accounts send to one another while one of three processes is killed each second and Redis is restarted: both sides or neither, once",
        "tidegate-load",
        "scenarios",
        "under_faults::transfer",
    ),
];
