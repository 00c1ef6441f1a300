use tidegate_testkit::{Process, Scratch, free_port, poll_until};

use super::{LONG, RedisServer, redis_cli};

/// A primary, a replica, and three Sentinels.
pub struct Sentinels {
    pub servers: Vec<RedisServer>,
    ports: Vec<u16>,
    _processes: Vec<(Process, Scratch)>,
}

impl Sentinels {
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let port = primary.port().to_string();
        let replica = RedisServer::start_with(&[
            "--appendonly",
            "yes",
            "--repl-diskless-sync-delay",
            "0",
            "--replicaof",
            "127.0.0.1",
            &port,
        ])
        .await;
        poll_until(LONG, async || {
            replica.cli(&["INFO", "replication"]).await.contains("master_link_status:up").then_some(())
        })
        .await
        .unwrap();
        let mut processes = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..3 {
            let (scratch, own) = (Scratch::new(), free_port());
            let config = scratch.join("sentinel.conf");
            let text = format!(
                "port {own}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
            );
            std::fs::write(&config, text).unwrap();
            let process =
                Process::builder("redis-server").args([config.to_str().unwrap(), "--sentinel"]).start().unwrap();
            ports.push(own);
            processes.push((process, scratch));
        }
        for sentinel in &ports {
            poll_until(LONG, async || {
                let main = redis_cli(*sentinel, &["SENTINEL", "MASTER", "main"]).await;
                let lines: Vec<&str> = main.lines().collect();
                let value = |name| lines.iter().position(|line| *line == name).map(|at| lines[at + 1]);
                (value("num-other-sentinels") == Some("2") && value("num-slaves") == Some("1")).then_some(())
            })
            .await
            .unwrap();
        }
        Self { servers: vec![primary, replica], ports, _processes: processes }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis-sentinel://{}/main", hosts.join(","))
    }

    pub async fn failover(&self) {
        poll_until(LONG, async || {
            (redis_cli(self.ports[0], &["SENTINEL", "FAILOVER", "main"]).await == "OK").then_some(())
        })
        .await
        .unwrap();
    }
}
