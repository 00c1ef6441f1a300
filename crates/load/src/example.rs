//! The servers and processes of one run.

use std::env;

use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, find_binary};

use crate::api::address;
use crate::{Api, Scenario};

/// Options of the started example.
#[derive(Clone, Copy, Debug)]
pub struct ExampleOptions {
    /// Processes of the example.
    pub processes: usize,
    /// Whether they have no server: memory and SQLite. Only one process can do so.
    pub embedded: bool,
    /// Whether Redis writes each command to the disk before it answers, so that a crash loses
    /// nothing. If not, it does so each second.
    pub fsync_always: bool,
}

/// Redis, PostgreSQL and the processes of one example. Dropping it ends them all.
pub struct ExampleProcesses {
    pub(crate) redis: Option<RedisServer>,
    pub(crate) processes: Vec<Process>,
    api: Api,
    _upstream: Option<Process>,
    _postgres: Option<PostgresServer>,
}

impl ExampleProcesses {
    /// Starts everything. `REDIS_URL` and `DATABASE_URL` name servers that run already.
    ///
    /// # Errors
    ///
    /// The example has not been built, or does not start.
    pub async fn start(scenario: &dyn Scenario, options: ExampleOptions) -> anyhow::Result<Self> {
        let (mut redis, mut postgres) = (None, None);
        let mut builder = Process::builder(find_binary(&format!("examples/{}", scenario.name()))?).env("PORT", "0");
        for (name, value) in scenario.env() {
            builder = builder.env(name, value);
        }
        let mut upstream = None;
        if !options.embedded {
            if let Some(variable) = scenario.upstream() {
                let mut process = builder.clone().name(format!("{}-upstream", scenario.name())).start()?;
                let address = address(&mut process).await?;
                builder = builder.env(variable, &address);
                upstream = Some((process, address));
            }
            let url = match env::var("REDIS_URL") {
                Ok(url) => url,
                Err(_) => {
                    let fsync = if options.fsync_always { "always" } else { "everysec" };
                    let server = RedisServer::builder().set("appendonly", "yes").set("appendfsync", fsync);
                    redis.insert(server.start().await).url()
                }
            };
            builder = builder.env("REDIS_URL", url);
            let url = match env::var("DATABASE_URL") {
                Ok(url) => url,
                Err(_) => postgres.insert(PostgresServer::start_tcp(&[]).await).url(),
            };
            builder = builder.env("DATABASE_URL", url);
        }
        let mut processes = Vec::new();
        let mut addresses = Vec::new();
        for number in 0..options.processes {
            let mut process = builder.clone().name(format!("{}-{number}", scenario.name())).start()?;
            addresses.push(address(&mut process).await?);
            processes.push(process);
        }
        let mut api = Api::new(addresses)?;
        let upstream = match upstream {
            Some((process, address)) => {
                api = api.with_upstream(address)?;
                Some(process)
            }
            None => None,
        };
        Ok(Self { redis, processes, api, _upstream: upstream, _postgres: postgres })
    }

    /// A client of all processes.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Kills a process with SIGKILL, and starts it again.
    pub(crate) async fn kill_and_restart(&mut self, number: usize) -> anyhow::Result<()> {
        let process = &mut self.processes[number];
        process.kill9()?;
        process.restart()?;
        let address = address(process).await?;
        self.api.moved(number, address);
        Ok(())
    }
}
