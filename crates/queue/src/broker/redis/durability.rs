//! The confirmations that an enqueue waits for.
//!
//! `WAIT` blocks its connection, so such enqueues have a connection of their own. It counts the
//! writes of that connection, so it is sent directly after them.

use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Config, Role, Value};
use tokio::sync::OnceCell;

use super::gather::Failure;
use super::keys::{Part, PartitionKeys};
use super::reply::Unreadable;
use super::scripts::Step;

/// The confirmations that an enqueue waits for. A lower level is faster; a higher one loses less.
///
/// - **The server is killed**: an append-only file loses nothing with `Async` and `Replicas`.
///   `Fsync` loses nothing.
/// - **Power failure of the server**: `Async` loses the last second, or nothing with `appendfsync
///   always`. `Replicas` loses the same, unless a replica takes over. `Fsync` loses nothing.
/// - **Failover**: `Async` loses the writes that the new primary had not received. `Replicas` loses
///   nothing if the new primary is one of those that had confirmed. `Fsync` with `replicas` above
///   zero is like `Replicas`.
/// - **The disk of the server is lost**: `Async` loses everything, or the writes that its replicas
///   don't have. `Replicas` and `Fsync` are like a failover.
///
/// The level applies to enqueues. Settlements of jobs are always `Async`: if one is lost, the job
/// runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisDurability {
    /// The server has it in memory. Nothing is said about its disk and its replicas.
    #[default]
    Async,
    /// This number of replicas has confirmed it (`WAIT`).
    Replicas {
        /// Number of replicas.
        count: u32,
        /// Longest time to wait for them.
        timeout: Duration,
    },
    /// It is on the server's disk (`WAITAOF`, from Redis 7.2 on, with `appendonly yes`).
    Fsync {
        /// Number of replicas that must have it on their disks too.
        replicas: u32,
        /// Longest time to wait for the confirmations.
        timeout: Duration,
    },
}

/// Jobs were stored, but not as durably as configured. The same ids can be enqueued again: stored
/// jobs are left unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDurable {
    /// Too few replicas confirmed in time.
    #[error("stored, but only {confirmed} of {wanted} replicas confirmed in time")]
    Replicas {
        /// Number of replicas that confirmed.
        confirmed: u64,
        /// Number of replicas required.
        wanted: u32,
    },
    /// The server did not write it to its disk in time.
    #[error("stored, but not on the server's disk in time")]
    Fsync,
    /// The server does not support it.
    #[error("stored, but the server can't tell when it is on its disk: {0}; that needs Redis 7.2 and `appendonly yes`")]
    Unsupported(String),
}

impl NotDurable {
    pub(super) fn is_transient(&self) -> bool {
        !matches!(self, Self::Unsupported(_))
    }
}

/// A connection for enqueues that wait. Connected by the first of them.
pub(super) struct Durable {
    config: Config,
    role: Role,
    durability: RedisDurability,
    made: OnceCell<Client>,
}

impl Durable {
    /// `None` if enqueues wait for no confirmation.
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

    /// The missing confirmation according to the server's answer.
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
