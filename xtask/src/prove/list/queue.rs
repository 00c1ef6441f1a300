//! Proofs of the queue.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
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
        "tidegate-queue-broker",
        "tidegate_queue_broker",
        "broker::redis::fuzz::no_reply_panics",
    )
    .with(&["redis"]),
    proof(
        "fuzz-envelopes",
        "100,000 damaged envelopes: reading none panics",
        "tidegate-queue-broker",
        "tidegate_queue_broker",
        "broker::redis::fuzz::no_bytes_panic",
    )
    .with(&["redis"]),
    proof(
        "fuzz-rows",
        "100,000 arbitrary and damaged rows of SQLite: reading none panics",
        "tidegate-queue-broker",
        "tidegate_queue_broker",
        "broker::sqlite::fuzz::no_row_panics",
    )
    .with(&["sqlite"]),
];
