//! Sends commands to the primary of a slot, and follows redirections.

use fred::error::{Error as FredError, ErrorKind as Fred};
use fred::types::Value as FredValue;
use tokio::time::{Instant, timeout_at};

use super::Shards;
use super::address::Address;
use super::redirect::Redirect;
use super::shard::Shard;

/// Most redirections that a command follows.
const HOPS: u32 = 5;

impl Shards {
    /// Sends a command to the slot's primary. Follows redirections: a redirected one did not run.
    pub(crate) async fn send(
        &self,
        slot: u16,
        name: &'static str,
        args: Vec<FredValue>,
    ) -> Result<FredValue, FredError> {
        if let Some(shard) = &self.inner.single {
            return shard.connection().send(name, args).telling(&self.inner.availability, slot).await;
        }
        let Some(shard) = self.of(slot) else {
            self.hint();
            return Err(no_primary(slot));
        };
        self.follow(slot, shard, name, args).await
    }

    /// Reads a string from the slot's primary, like [`send`](Self::send).
    pub(crate) async fn get(&self, slot: u16, key: &str) -> Result<FredValue, FredError> {
        match &self.inner.single {
            Some(shard) => shard.connection().get(key).telling(&self.inner.availability, slot).await,
            None => self.send(slot, "GET", vec![FredValue::from(key)]).await,
        }
    }

    /// Sends two commands to the slot's primary, one directly after the other. If the slot has
    /// moved, reads the table and sends them once more. If it is migrating, they are refused.
    pub(crate) async fn send_both(
        &self,
        slot: u16,
        first: (&'static str, Vec<FredValue>),
        second: (&'static str, Vec<FredValue>),
    ) -> Result<(FredValue, FredValue), FredError> {
        let mut is_second_try = false;
        loop {
            let Some(shard) = self.of(slot) else {
                self.hint();
                return Err(no_primary(slot));
            };
            let sent = shard.connection().send_both((first.0, first.1.clone()), (second.0, second.1.clone()));
            let error = match sent.await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            match Redirect::parse(error.details(), shard.address()) {
                Some(Redirect::Moved { .. }) if is_second_try => return Err(self.storm(2, error.details())),
                Some(Redirect::Moved { .. }) if self.refresh().await => is_second_try = true,
                Some(_) => return Err(FredError::new(Fred::Cluster, "TRYAGAIN the slot is moving to another server")),
                None => return Err(error),
            }
        }
    }

    async fn follow(
        &self,
        slot: u16,
        mut shard: Shard,
        name: &'static str,
        args: Vec<FredValue>,
    ) -> Result<FredValue, FredError> {
        let deadline = Instant::now() + self.inner.timeout;
        let (mut is_asking, mut last) = (false, String::new());
        for _ in 0..=HOPS {
            let sent = async {
                if is_asking {
                    shard.connection().send_asking(name, args.clone()).await
                } else {
                    shard.connection().send(name, args.clone()).telling(&self.inner.availability, slot).await
                }
            };
            let error = match timeout_at(deadline, sent).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => FredError::new(Fred::Timeout, "no reply in time"),
            };
            let target = match Redirect::parse(error.details(), shard.address()) {
                Some(Redirect::Moved { slot, to }) => {
                    self.hint();
                    is_asking = false;
                    let target = self.reach(&to, deadline).await?;
                    self.change(|table| table.set(slot, target.clone()));
                    target
                }
                Some(Redirect::Ask { to }) => {
                    is_asking = true;
                    self.reach(&to, deadline).await?
                }
                None => {
                    if !matches!(error.kind(), Fred::Unknown | Fred::InvalidArgument | Fred::Backpressure) {
                        self.hint();
                    }
                    return Err(error);
                }
            };
            shard = target;
            error.details().clone_into(&mut last);
        }
        Err(self.storm(HOPS + 1, &last))
    }

    /// The error of a command that was redirected too often. It did not run.
    fn storm(&self, redirections: u32, last: &str) -> FredError {
        FredError::new(Fred::Cluster, self.inner.storms.give_up("TRYAGAIN", redirections, last))
    }

    /// The shard at that address. Connects if it is new.
    async fn reach(&self, address: &Address, deadline: Instant) -> Result<Shard, FredError> {
        if let Some(shard) = self.read(|table| table.at(address)) {
            return Ok(shard);
        }
        let connecting = async {
            let _changing = self.inner.changing.lock().await;
            if let Some(shard) = self.read(|table| table.at(address)) {
                return Ok(shard);
            }
            let shard = self.open(address).await.map_err(|error| FredError::new(Fred::IO, error.to_string()))?;
            self.change(|table| table.add(shard.clone()));
            Ok(shard)
        };
        let late = |_| FredError::new(Fred::IO, format!("no connection to {address} in time"));
        timeout_at(deadline, connecting).await.map_err(late)?
    }
}

fn no_primary(slot: u16) -> FredError {
    FredError::new(Fred::Cluster, format!("CLUSTERDOWN no primary is known for slot {slot}"))
}
