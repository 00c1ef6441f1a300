//! Stocks in Redis.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{Arg, Command, Script, Value};

use super::reply::{Reply, misunderstood};
use super::{RedisStore, keys};
use crate::clock::micros;
use crate::error::StoreError;
use crate::stock::{Added, Counts, Ended, Reserving, StockId, StockStore, Swept};

impl RedisStore {
    async fn on_stock(
        &self,
        doing: &'static str,
        script: &Script,
        stock: &StockId,
        args: impl IntoIterator<Item = Arg>,
    ) -> Result<Value, StoreError> {
        let [state, open, closed] = keys::stock(&self.keyspace, &stock.name);
        let args = std::iter::once(micros(stock.horizon).into()).chain(args).collect();
        self.run(doing, script, &[&*state, &open, &closed], args).await
    }
}

/// Parses the state's letter in the scripts.
fn ended(letter: &[u8]) -> Option<Ended> {
    match letter {
        b"c" => Some(Ended::Confirmed),
        b"r" => Some(Ended::Released),
        b"x" => Some(Ended::Expired),
        _ => None,
    }
}

fn text(doing: &'static str, value: Value) -> Result<bytes::Bytes, StoreError> {
    value.into_bytes().map_err(|error| StoreError::redis(doing, error))
}

#[async_trait]
impl StockStore for RedisStore {
    async fn add(&self, stock: &StockId, id: &str, quantity: u64) -> Result<Added, StoreError> {
        const DOING: &str = "adding to a stock";
        let value = self.on_stock(DOING, &self.scripts.stock_add, stock, [id.into(), quantity.into()]).await?;
        match &*text(DOING, value)? {
            b"added" => Ok(Added::Added),
            b"reused" => Ok(Added::Reused),
            b"large" => Ok(Added::TooLarge),
            _ => misunderstood(DOING),
        }
    }

    async fn reserve(&self, stock: &StockId, id: &str, quantity: u64, ttl: Duration) -> Result<Reserving, StoreError> {
        const DOING: &str = "reserving";
        let args = [id.into(), quantity.into(), micros(ttl).into()];
        let value = self.on_stock(DOING, &self.scripts.stock_reserve, stock, args).await?;
        let mut reply = Reply::new(DOING, value)?;
        match &*reply.bytes()? {
            b"open" => Ok(Reserving::Open { expires_in: reply.micros()? }),
            b"left" => Ok(Reserving::Left(reply.count()?)),
            b"none" => Ok(Reserving::NoStock),
            b"reused" => Ok(Reserving::Reused),
            letter => ended(letter).map_or_else(|| misunderstood(DOING), |how| Ok(Reserving::Ended(how))),
        }
    }

    async fn end(&self, stock: &StockId, id: &str, wanted: Ended) -> Result<Option<Ended>, StoreError> {
        const DOING: &str = "ending a reservation";
        let wanted = if wanted == Ended::Confirmed { "c" } else { "r" };
        let value = self.on_stock(DOING, &self.scripts.stock_end, stock, [id.into(), wanted.into()]).await?;
        Ok(ended(&text(DOING, value)?))
    }

    async fn sweep(&self, stock: &StockId, limit: u32) -> Result<Swept, StoreError> {
        const DOING: &str = "sweeping a stock";
        let value = self.on_stock(DOING, &self.scripts.stock_sweep, stock, [limit.into()]).await?;
        let mut reply = Reply::new(DOING, value)?;
        Ok(Swept { expired: reply.count()?, forgotten: reply.count()? })
    }

    async fn counts(&self, stock: &StockId) -> Result<Option<Counts>, StoreError> {
        const DOING: &str = "counting a stock";
        let [state, ..] = keys::stock(&self.keyspace, &stock.name);
        let fields = ["total", "available", "reserved", "sold", "released", "expired"].map(Arg::from).to_vec();
        let mut reply = Reply::new(DOING, self.run(DOING, &self.scripts.read_fields, &[&state], fields).await?)?;
        let Some(total) = reply.optional_count()? else { return Ok(None) };
        let mut next = || Ok::<_, StoreError>(reply.optional_count()?.unwrap_or(0));
        Ok(Some(Counts {
            total,
            available: next()?,
            reserved: next()?,
            sold: next()?,
            released: next()?,
            expired: next()?,
        }))
    }

    async fn remove(&self, stock: &StockId) -> Result<(), StoreError> {
        let keys = keys::stock(&self.keyspace, &stock.name);
        let command = keys.into_iter().fold(Command::new("UNLINK").idempotent(), Command::key);
        self.client.execute(command).await.map_err(|error| StoreError::redis("removing a stock", error))?;
        Ok(())
    }
}
