//! Measurements of a Redis server for alert rules.

use tidegate_model::alert_rules::Measurement;
use tidegate_redis::{NodeInfo, ReplicaInfo};

/// Share of a server's connection limit, above which it is about to refuse connections.
const MOST_CLIENTS: f64 = 0.9;

/// Returns the measurements of a primary and its replicas, without those that the server does not
/// report.
#[expect(clippy::cast_precision_loss, reason = "numbers that are compared")]
pub(super) fn measurements(server: &NodeInfo) -> Vec<Measurement> {
    let address = server.address.as_str();
    let most = server.max_clients.map_or(f64::INFINITY, |most| MOST_CLIENTS * most as f64);
    let own = [
        memory_use(server).map(|share| Measurement::new("redis_memory", address, share)),
        server.processor_percent.map(|percent| Measurement::new("redis_processor", address, percent / 100.0)),
        server.clients.map(|clients| Measurement::new("redis_clients", address, clients as f64).at_most(most)),
    ];
    let online = server.replicas.iter().filter(|replica| replica.is_online);
    own.into_iter().flatten().chain(online.flat_map(of_replica)).collect()
}

/// 0 if there is no limit, so that an alert ends when the limit is removed.
fn memory_use(server: &NodeInfo) -> Option<f64> {
    server.memory_use().or_else(|| server.max_memory.filter(|most| *most == 0).map(|_| 0.0))
}

#[expect(clippy::cast_precision_loss, reason = "numbers that are compared")]
fn of_replica(replica: &ReplicaInfo) -> [Measurement; 2] {
    let address = replica.address.as_str();
    [
        Measurement::new("redis_replica_lag", address, replica.lag.as_secs_f64()),
        Measurement::new("redis_replica_behind", address, replica.behind as f64),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidegate_outgoing::redis::Redis;
    use tidegate_redis::{Config, Keyspace};
    use tidegate_settings::{RedisServers, RedisSettings};
    use tidegate_testkit::poll_until;
    use tidegate_testkit::redis::RedisServer;
    use tokio::net::TcpStream;

    use super::super::RedisWatch;
    use crate::test_ground::Ground;

    const LONG: Duration = Duration::from_secs(60);

    /// Alerts on the reports of a real server. The test provides the time of the alerts.
    struct AlertHarness {
        ground: Ground,
        watch: Arc<RedisWatch>,
        second: u64,
    }

    impl AlertHarness {
        async fn on(server: &RedisServer, rules: &str) -> Self {
            let config = Config::parse(&server.url()).unwrap().command_timeout(LONG);
            let servers = RedisServers { queue: config.clone(), limits: config, cache: None };
            let keyspace = Keyspace::new("test").unwrap();
            let settings = RedisSettings { servers, keyspace, replica_lag: None, rewrites_append_only_file: false };
            let watch = RedisWatch::new(Redis::connect(&settings).await.unwrap());
            let ground = Ground::with(&[("TIDEGATE_ALERTS_RULES", rules)]).await;
            let watched = Arc::clone(&watch);
            ground.telemetry.alerts().watch_limits(move || watched.measurements());
            Self { ground, watch, second: 0 }
        }

        /// Reads the server until the alert has the phase. 100 s pass after each reading.
        async fn until(&mut self, rule: &str, subject: &str, phase: &str) {
            let reached = poll_until(LONG, async || {
                self.watch.look().await;
                let begun = self.second;
                self.second += 100;
                self.ground.pass(begun..self.second);
                (self.ground.phase(rule, subject) == phase).then_some(())
            });
            let reached = reached.await;
            assert!(reached.is_ok(), "{rule} is not {phase}: {:?}", self.ground.alert(rule, subject));
        }

        fn detail(&self, rule: &str, subject: &str) -> String {
            self.ground.alert(rule, subject).unwrap()["detail"].as_str().unwrap().to_owned()
        }
    }

    fn address(server: &RedisServer) -> String {
        format!("127.0.0.1:{}", server.port())
    }

    #[tokio::test]
    async fn a_server_whose_memory_is_nearly_full_is_an_alert_until_it_has_room() {
        let server = RedisServer::start().await;
        let (mut judged, here) = (AlertHarness::on(&server, "").await, address(&server));
        for limit in ["1gb", "0"] {
            server.cli(&["CONFIG", "SET", "maxmemory", "1000"]).await;
            judged.until("redis_memory", &here, "firing").await;
            let detail = judged.detail("redis_memory", &here);
            assert!(detail.contains("above 90 % for 1 minute 30 seconds"), "{detail}");
            assert_eq!(judged.ground.alert("redis_memory", &here).unwrap()["severity"], "critical");
            server.cli(&["CONFIG", "SET", "maxmemory", limit]).await;
            judged.until("redis_memory", &here, "resolved").await;
        }
    }

    #[tokio::test]
    async fn a_server_with_many_clients_is_an_alert_by_the_rule_and_by_its_own_limit() {
        let server = RedisServer::start().await;
        let here = address(&server);
        let (mut set, mut usual) =
            (AlertHarness::on(&server, "redis_clients: > 20").await, AlertHarness::on(&server, "").await);
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(TcpStream::connect(&here).await.unwrap());
        }
        set.until("redis_clients", &here, "firing").await;
        assert!(set.detail("redis_clients", &here).contains("above 20 for"), "{}", set.detail("redis_clients", &here));
        server.cli(&["CONFIG", "SET", "maxclients", "40"]).await;
        for _ in 0..4 {
            clients.push(TcpStream::connect(&here).await.unwrap());
        }
        usual.until("redis_clients", &here, "firing").await;
        assert!(usual.detail("redis_clients", &here).contains("above 36 for"));
        drop(clients);
        set.until("redis_clients", &here, "resolved").await;
        usual.until("redis_clients", &here, "resolved").await;
    }

    #[tokio::test]
    async fn a_server_whose_core_is_busy_is_an_alert_until_it_rests() {
        let server = RedisServer::start().await;
        // On a busy machine the server gets less than the usual limit.
        let (mut judged, here) = (AlertHarness::on(&server, "redis_processor: > 15% for 0s").await, address(&server));
        judged.watch.look().await;
        let fires = poll_until(LONG, async || {
            server.cli(&["EVAL", "for i = 1, 30000000 do end", "0"]).await;
            judged.watch.look().await;
            judged.ground.pass(0..1);
            (judged.ground.phase("redis_processor", &here) == "firing").then_some(())
        });
        fires.await.unwrap();
        judged.until("redis_processor", &here, "resolved").await;
    }

    #[tokio::test]
    async fn a_replica_that_stands_still_is_an_alert_by_time_and_by_bytes() {
        let server = RedisServer::start().await;
        let mut replica = RedisServer::builder().replica_of(&server).start().await;
        let (mut judged, there) = (
            AlertHarness::on(&server, "redis_replica_lag: > 1s, redis_replica_behind: > 64KiB").await,
            address(&replica),
        );
        let follows = async || {
            judged.watch.look().await;
            let servers = judged.watch.report().servers;
            servers[0].replicas.iter().any(|replica| replica.is_online && replica.behind_bytes == 0).then_some(())
        };
        poll_until(LONG, follows).await.unwrap();
        replica.hang().await;
        server.cli(&["SET", "big", &"x".repeat(100_000)]).await;
        judged.until("redis_replica_behind", &there, "firing").await;
        judged.until("redis_replica_lag", &there, "firing").await;
        assert!(judged.detail("redis_replica_lag", &there).contains("above 1 second for 1 minute 30 seconds"));
        assert!(judged.detail("redis_replica_behind", &there).contains("above 64.0 KiB for"));
        replica.resume();
        judged.until("redis_replica_lag", &there, "resolved").await;
        judged.until("redis_replica_behind", &there, "resolved").await;
    }

    #[tokio::test]
    async fn a_replica_that_died_is_an_alert_until_it_is_back() {
        let server = RedisServer::start().await;
        let mut replica = RedisServer::builder().replica_of(&server).start().await;
        let (mut judged, there) = (AlertHarness::on(&server, "redis_replica_lag: > 1s").await, address(&replica));
        let follows = async || {
            judged.watch.look().await;
            let servers = judged.watch.report().servers;
            servers[0].replicas.iter().any(|replica| replica.is_online).then_some(())
        };
        poll_until(LONG, follows).await.unwrap();
        replica.kill9();
        judged.until("redis_replica_lag", &there, "firing").await;
        replica.restart().await;
        judged.until("redis_replica_lag", &there, "resolved").await;
    }
}
