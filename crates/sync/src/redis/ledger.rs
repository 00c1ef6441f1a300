//! Ledgers on Redis.

use async_trait::async_trait;
use tidegate_redis::Command;

use super::reply::Reply;
use super::{RedisStore, keys};
use crate::clock::micros;
use crate::error::StoreError;
use crate::fence::Fence;
use crate::ledger::{LedgerId, LedgerStore, Posted, Posting};

#[async_trait]
impl LedgerStore for RedisStore {
    async fn post(&self, ledger: &LedgerId, posting: Posting<'_>) -> Result<Posted, StoreError> {
        const DOING: &str = "posting";
        let [accounts, posted, forget, fence] = keys::ledger(&self.keyspace, &ledger.name);
        let sides = match (posting.from, posting.to) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "giver",
            _ => "taker",
        };
        let args = vec![
            posting.id.into(),
            posting.fingerprint().into(),
            posting.from.unwrap_or_default().into(),
            posting.to.unwrap_or_default().into(),
            posting.amount.into(),
            posting.fence.map_or_else(String::new, |fence| fence.to_string()).into(),
            micros(ledger.horizon).into(),
            sides.into(),
        ];
        let keys = [&*accounts, &posted, &forget, &fence];
        let mut reply = Reply::new(DOING, self.run(DOING, &self.scripts.ledger_post, &keys, args).await?)?;
        match &*reply.bytes()? {
            b"posted" => {
                let (from, to) = (reply.optional_count()?, reply.optional_count()?);
                Ok(Posted::Done { from: from.unwrap_or(0), to: to.unwrap_or(0) })
            }
            b"reused" => Ok(Posted::Reused),
            b"fenced" => Ok(Posted::Fenced { highest: Fence::new(reply.count()?) }),
            b"unknown" if &*reply.bytes()? == b"giver" => Ok(Posted::UnknownFrom),
            b"unknown" => Ok(Posted::UnknownTo),
            b"short" => Ok(Posted::Overdrawn { balance: reply.count()? }),
            b"large" => Ok(Posted::TooLarge),
            _ => reply.misunderstood(),
        }
    }

    async fn balances(&self, ledger: &LedgerId, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError> {
        const DOING: &str = "reading balances";
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let [hash, ..] = keys::ledger(&self.keyspace, &ledger.name);
        let command = accounts.iter().fold(Command::new("HMGET").key(hash), |command, name| command.arg(*name));
        let value = self.client.execute(command.idempotent()).await;
        let mut reply = Reply::new(DOING, value.map_err(|error| StoreError::redis(DOING, error))?)?;
        accounts.iter().map(|_| reply.optional_count()).collect()
    }
}
