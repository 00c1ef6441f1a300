//! Leases for busy keys: fewer commands, and no request more.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_testkit::redis::RedisServer;
use tokio::time::Instant;

use super::decide;
use crate::backend::Servers;
use crate::harness::Api;

const LIMIT: usize = 2_000;
/// A run this long sends each process 80 checks in the half second that a lease lives. A process
/// leases from 16 on. A slower run has no busy key.
const BUSY: Duration = Duration::from_millis(7_500);

/// How many checks of a key two processes admit, how many commands that took, and how long.
async fn admitted(leases: &str) -> (usize, usize, Duration) {
    let server = RedisServer::start().await;
    server.cli(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "100000"]).await;
    let leases = format!("leases={leases}");
    let variables = [
        ("TIDEGATE_LIMIT_REDIS", leases.as_str()),
        ("TIDEGATE_LIMIT_API", "2000/day, block=0s"),
        ("TIDEGATE_LIMIT_DDOS", "mode=off"),
        // However long a busy machine takes to answer.
        ("TIDEGATE_LIMIT_PATIENCE", "60s"),
        ("TIDEGATE_REDIS_TIMEOUTS", "request=60s"),
    ];
    let one = Api::start_on(Servers::Single(server), &variables).await;
    let other = one.start_beside(&variables).await;
    let (mut admitted, start) = (0, Instant::now());
    for _ in 0..60 {
        let checks = (0..20).flat_map(|_| [&one, &other]).map(|api| decide(api, "api", "busy"));
        admitted += join_all(checks).await.iter().filter(|decision| decision["allowed"] == true).count();
    }
    let took = start.elapsed();
    let Servers::Single(server) = &*one.servers else { unreachable!("it was started on one") };
    let log = server.cli(&["SLOWLOG", "GET", "-1"]).await;
    let lines: Vec<&str> = log.lines().collect();
    let of_key = |pair: &&[&str]| pair[0].parse::<u32>().is_ok() && pair[1].ends_with("{rl:api:busy}");
    (admitted, lines.windows(2).filter(of_key).count(), took)
}

#[tokio::test]
async fn a_busy_key_costs_fewer_commands_with_leases_and_admits_no_more() {
    let (admitted_without, commands_without, _) = admitted("off").await;
    assert_eq!((admitted_without, commands_without >= LIMIT), (LIMIT, true), "{commands_without}");
    let (admitted, commands, took) = admitted("on").await;
    // What is leased and not used counts as used: at most an eighth of what was left for each
    // process.
    assert!((LIMIT * 3 / 4..=LIMIT).contains(&admitted), "{admitted}");
    // On a busy machine the checks may be too few for leases. The library's tests hold leases to a
    // clock of their own.
    assert!(took > BUSY || commands < commands_without * 3 / 4, "{commands} of {commands_without} in {took:?}");
}
