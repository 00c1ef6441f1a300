//! What an enqueue waits for before it is acknowledged.
//!
//! `WAIT` blocks the connection that it comes on, so such enqueues have one of their own; and it counts the writes of that
//! connection, so it goes right behind them.

use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Config, Role, Value};
use tokio::sync::OnceCell;

use super::gather::Failure;
use super::keys::{Part, PartitionKeys};
use super::reply::Unreadable;
use super::scripts::Step;

/// What an enqueue waits for before it is acknowledged. A lower level is faster; a higher one loses less:
///
/// | event | `Async` | `Replicas` | `Fsync` |
/// |---|---|---|---|
/// | the server is killed | nothing, with an append-only file | nothing, with an append-only file | nothing |
/// | power cut at the server | the last second; nothing with `appendfsync always` | the same, unless a replica takes over | nothing |
/// | failover | what the new primary had not yet received | nothing, if it is one of those that had confirmed | as `Replicas`, with `replicas` above zero |
/// | the disk of the server is lost | everything, or what its replicas have not | as a failover | as a failover |
///
/// It concerns enqueues. Acknowledgements and failures of jobs are always `Async`: where one is lost, the job runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisDurability {
    /// The server has it in its memory. What its disk and replicas do then is their affair.
    #[default]
    Async,
    /// So many replicas have confirmed it (`WAIT`).
    Replicas {
        /// How many.
        count: u32,
        /// How long to wait for them.
        timeout: Duration,
    },
    /// It is on the server's disk (`WAITAOF`, from Redis 7.2 on, with `appendonly yes`).
    Fsync {
        /// On whose disks it is to be besides.
        replicas: u32,
        /// How long to wait for them.
        timeout: Duration,
    },
}

/// Jobs were stored, but are not as safe as they should be. The same ids can be enqueued again: what is stored stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDurable {
    /// Too few replicas confirmed in time.
    #[error("stored, but only {confirmed} of {wanted} replicas confirmed in time")]
    Replicas {
        /// How many confirmed.
        confirmed: u64,
        /// How many should have.
        wanted: u32,
    },
    /// The server did not bring it to its disk in time.
    #[error("stored, but not on the server's disk in time")]
    Fsync,
    /// The server can't do that.
    #[error("stored, but the server can't tell when it is on its disk: {0}; that needs Redis 7.2 and `appendonly yes`")]
    Unsupported(String),
}

impl NotDurable {
    pub(super) fn is_transient(&self) -> bool {
        !matches!(self, Self::Unsupported(_))
    }
}

/// A connection for enqueues that wait. Made with the first.
pub(super) struct Durable {
    config: Config,
    role: Role,
    durability: RedisDurability,
    made: OnceCell<Client>,
}

impl Durable {
    /// None where nothing is waited for.
    pub(super) fn new(client: &Client, durability: RedisDurability) -> Option<Self> {
        let timeout = match durability {
            RedisDurability::Async => return None,
            RedisDurability::Replicas { timeout, .. } | RedisDurability::Fsync { timeout, .. } => timeout,
        };
        let config = client.config().clone().command_timeout(client.timeout() + timeout);
        Some(Self { config, role: client.role(), durability, made: OnceCell::new() })
    }

    pub(super) async fn run(
        &self,
        step: &Step,
        keys: &PartitionKeys,
        list: Option<Part>,
        args: Vec<Arg>,
    ) -> Result<Value, Failure> {
        let connect = || async { Client::connect(&self.config, self.role).await };
        let client = self.made.get_or_try_init(connect).await;
        let client = client.map_err(|error| Failure::Connect(error.to_string().into()))?;
        let ms = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let wait = match self.durability {
            RedisDurability::Async => {
                return Ok(step.run_then(client, keys, list, args, Command::new("PING")).await?.0);
            }
            RedisDurability::Replicas { count, timeout } => Command::new("WAIT").arg(count).arg(ms(timeout)),
            RedisDurability::Fsync { replicas, timeout } => {
                Command::new("WAITAOF").arg(1_u32).arg(replicas).arg(ms(timeout))
            }
        };
        match step.run_then(client, keys, list, args, wait).await {
            Ok((stored, answer)) => match self.shortfall(answer)? {
                None => Ok(stored),
                Some(why) => Err(Failure::NotDurable(why)),
            },
            Err(error) if error.to_string().contains("WAITAOF") => {
                Err(Failure::NotDurable(NotDurable::Unsupported(error.to_string())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is missing, by the server's answer.
    fn shortfall(&self, answer: Value) -> Result<Option<NotDurable>, Unreadable> {
        let (wanted, confirmed) = match self.durability {
            RedisDurability::Async => return Ok(None),
            RedisDurability::Replicas { count, .. } => (count, answer.as_count()?),
            RedisDurability::Fsync { replicas, .. } => {
                let counts = answer.into_array()?;
                let [local, confirmed] = counts.as_slice() else { return Err("an answer cut short".into()) };
                if local.as_count()? == 0 {
                    return Ok(Some(NotDurable::Fsync));
                }
                (replicas, confirmed.as_count()?)
            }
        };
        Ok((confirmed < u64::from(wanted)).then_some(NotDurable::Replicas { confirmed, wanted }))
    }
}
