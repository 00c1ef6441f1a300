//! Adaptive concurrency in front of a simulated service with changing capacity, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use tidegate_ratelimit::{Concurrency, ConcurrencyLimiter, Gradient, Permit, Timestamp};
use tidegate_testkit::{Random, scale};

use crate::support::clock;

const SECOND: u64 = 1_000_000;
/// Timeout of a client, after which a response is worthless. For slow requests it is three times
/// their duration.
const PATIENCE: u64 = SECOND;

/// A service from a given time on: number of workers, and mean duration of a request.
#[derive(Clone, Copy)]
struct Service {
    from: u64,
    workers: usize,
    micros: u64,
}

/// A request in the service.
struct Call {
    came: u64,
    permit: Option<Permit>,
}

/// Number of responses in time for each second, with `per_second` requests per second.
fn goodput(limiter: Option<Gradient>, services: &[Service], per_second: u64, seconds: u64, seed: u64) -> Vec<u64> {
    let clock = clock();
    let start = 1_700_000_000_000_000;
    let limiter = limiter.map(|gradient| {
        ConcurrencyLimiter::builder("db", Concurrency::Adaptive(gradient)).clock(clock.clone()).build()
    });
    let mut random = Random::new(seed);
    let mut good = vec![0; usize::try_from(seconds).unwrap()];
    let mut waiting: VecDeque<Call> = VecDeque::new();
    // Ordered by end time.
    let mut busy: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut calls: Vec<Option<Call>> = Vec::new();
    let mut next_arrival = 0;
    let patience = services.iter().map(|service| 3 * service.micros).max().unwrap_or(0).max(PATIENCE);
    loop {
        let next_end = busy.peek().map_or(u64::MAX, |Reverse((end, _))| *end);
        let now = next_arrival.min(next_end);
        if now >= seconds * SECOND {
            return good;
        }
        clock.set(Timestamp::from_micros(start + now));
        if next_end <= next_arrival {
            let Some(Reverse((_, index))) = busy.pop() else { continue };
            let Call { came, permit } = calls[index].take().unwrap();
            let in_time = now - came <= patience;
            good[usize::try_from(now / SECOND).unwrap()] += u64::from(in_time);
            match permit {
                Some(permit) if in_time => permit.succeeded(),
                Some(permit) => permit.overloaded(),
                None => {}
            }
        } else {
            next_arrival = now + random.exponential(SECOND as f64 / per_second as f64);
            match limiter.as_ref().map(|limiter| limiter.try_acquire("db")) {
                Some(Ok(permit)) => waiting.push_back(Call { came: now, permit: Some(permit) }),
                Some(Err(_)) => {}
                None => waiting.push_back(Call { came: now, permit: None }),
            }
        }
        let service = services.iter().rev().find(|service| service.from <= now / SECOND).unwrap();
        while busy.len() < service.workers {
            let Some(call) = waiting.pop_front() else { break };
            // Requests that take seconds vary little.
            let varies = if service.micros < SECOND { service.micros } else { service.micros / 4 };
            let took = service.micros - varies + random.exponential(varies as f64);
            busy.push(Reverse((now + took, calls.len())));
            calls.push(Some(call));
        }
    }
}

/// Mean number per second, between two seconds.
fn rate(good: &[u64], from: usize, to: usize) -> u64 {
    good[from..to].iter().sum::<u64>() / (to - from) as u64
}

/// 1,000 per second, then 300, then 1,000 again: with longer requests, and with fewer workers.
const SLOWER: [Service; 3] = [
    Service { from: 0, workers: 10, micros: 10_000 },
    Service { from: 20, workers: 10, micros: 33_333 },
    Service { from: 60, workers: 10, micros: 10_000 },
];
const FEWER: [Service; 3] = [
    Service { from: 0, workers: 10, micros: 10_000 },
    Service { from: 20, workers: 3, micros: 10_000 },
    Service { from: 60, workers: 10, micros: 10_000 },
];

/// Capacity falls from 1,000 per second to 300 with 1,200 requests per second: within 10 s, at
/// least 90 % of 300 are served in time, and of 1,000 within 10 s of its return.
#[test]
fn goodput_follows_the_capacity() {
    let seeds = u64::try_from(scale(2, 40)).unwrap();
    let mut least = [u64::MAX; 3];
    for seed in 0..seeds {
        for services in [SLOWER, FEWER] {
            let good = goodput(Some(Gradient::new()), &services, 1_200, 80, seed);
            for (least, (from, to)) in least.iter_mut().zip([(5, 20), (30, 60), (70, 80)]) {
                *least = rate(&good, from, to).min(*least);
            }
            // No interval of five seconds is far below it.
            for from in (30..55).step_by(5) {
                assert!(rate(&good, from, from + 5) >= 255, "seed {seed}: {good:?}");
            }
        }
    }
    println!("least goodput a second of {seeds} seeds: {least:?} of 1,000, 300 and 1,000");
    assert!(least[0] >= 900 && least[1] >= 270 && least[2] >= 900, "{least:?}");
}

/// Validates the simulation: without a limit the queue grows until no response is in time.
#[test]
fn without_a_limit_goodput_collapses() {
    let good = goodput(None, &SLOWER, 1_200, 60, 1);
    assert!(rate(&good, 30, 60) < 30, "{good:?}");
}

/// A service that is permanently slower is not throttled for ever: the baseline is probed again.
#[test]
fn a_service_slower_for_good_is_used_in_full() {
    let services =
        [Service { from: 0, workers: 40, micros: 10_000 }, Service { from: 20, workers: 40, micros: 100_000 }];
    for seed in 0..u64::try_from(scale(2, 20)).unwrap() {
        let good = goodput(Some(Gradient::new()), &services, 600, 120, seed);
        assert!(rate(&good, 30, 120) >= 360, "seed {seed}: {good:?}");
    }
}

/// The same holds for a request duration above one second, and far above it. The limit then grows
/// by its root once per request duration, so it needs minutes to rise from 4 to 200.
#[test]
fn a_service_slower_by_seconds_is_used_again() {
    for (micros, workers, per_second, from, least) in [(1_200_000, 240, 150, 60, 110), (5_000_000, 400, 60, 240, 20)] {
        let services = [Service { from: 0, workers, micros: 50_000 }, Service { from: 20, workers, micros }];
        for seed in 0..u64::try_from(scale(3, 20)).unwrap() {
            for max in [200, 1_000] {
                let good = goodput(Some(Gradient::new().bounds(2, max)), &services, per_second, 300, seed);
                assert!(rate(&good, from, 300) >= least, "{micros} µs, at most {max}, seed {seed}: {good:?}");
            }
        }
    }
}

/// With a light load nothing is refused, including during probes.
#[test]
fn a_light_load_is_never_refused() {
    let services = [Service { from: 0, workers: 10, micros: 10_000 }];
    let good = goodput(Some(Gradient::new().probe_every(Duration::from_secs(5))), &services, 100, 120, 7);
    assert!(rate(&good, 5, 120) >= 95, "{good:?}");
}
