//! Proofs of the rate limiter.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
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
        "sketch-limiter",
        "1,000,000 addresses and one at 5,000/s: that one blocked within 1 s for 10 s, 99.9 % of the others served, in fixed memory",
        "tidegate-ratelimit",
        "front",
        "sketch_limiter::one_among_a_million_is_blocked_and_the_others_are_served",
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
];
