//! Waits for the confirmations of an enqueue.
//!
//! `WAIT` blocks its connection, so such enqueues have a connection of their own. It counts the
//! writes of that connection, so it is sent directly after them.

use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Config, Role, Value};
use tokio::sync::OnceCell;

use super::durability::{NotDurable, RedisDurability};
use super::failure::Failure;
use super::keys::{Part, PartitionKeys};
use super::reply::Unreadable;
use super::scripts::Step;

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
