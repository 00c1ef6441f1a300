//! Proofs of performance monitoring.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
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
        "512 endpoints through 25 hours of ticks without a scrape: the process's memory within 1.05 of what it was after one",
        "tidegate-perfmon",
        "memory",
        "never_scraped_memory_stays",
    ),
    proof(
        "query-fuzz",
        "10,000,000 statements of both dialects with a secret in each literal, cut, changed, added to at any byte: no shape shows one",
        "tidegate-perfmon",
        "query",
        "fingerprint::no_planted_secret_ever_shows",
    ),
];
