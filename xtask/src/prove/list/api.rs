//! Proofs of the API and its processes.

use crate::prove::proof::{Proof, proof};

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
        "alert-breach",
        "a handler that fails from one request to the next, beside one that is served on: health says so within two seconds",
        "tidegate-api",
        "e2e",
        "alerts::a_breach_is_seen_within_two_seconds",
    ),
    proof(
        "perfmon-unscraped-node",
        "a node under load for ten minutes without a scrape: its memory within 1.05 of what it was after one",
        "tidegate-api",
        "e2e",
        "unscraped::memory_of_an_unscraped_node_stays",
    ),
];
