//! Ledgers in Redis.

use async_trait::async_trait;
use tidegate_redis::{Arg, Script, Value};

use super::reply::Reply;
use super::{RedisStore, keys};
use crate::clock::micros;
use crate::error::StoreError;
use crate::fence::Fence;
use crate::ledger::{
    Account, Credit, Credited, InTransit, LedgerId, LedgerStore, PartitionError, PartitionTotals, Posted, Posting,
    Settlement, Snapshot, TransitPage, Version,
};

impl RedisStore {
    /// Runs a script on one partition, and reads its reply: one element for each argument.
    async fn on_partition(
        &self,
        doing: &'static str,
        script: &Script,
        (ledger, partition): (&LedgerId, u16),
        args: impl IntoIterator<Item = Arg>,
    ) -> Result<Vec<Value>, StoreError> {
        let [state, forget, transit, credits] = keys::ledger(&self.keyspace, &ledger.name, partition);
        let wanted = ledger.partitions.get();
        let place = [u64::from(wanted).into(), u64::from(partition).into()];
        let args = place.into_iter().chain(args).collect();
        let keys = [&*state, &forget, &transit, &credits];
        let value = self.run(doing, script, &keys, args).await?;
        let values = value.into_array().map_err(|error| StoreError::redis(doing, error))?;
        if let [Value::Bytes(word), stored] = &*values
            && word == "partitions"
        {
            let stored = stored.as_count().map_err(|error| StoreError::redis(doing, error))?;
            let stored = u16::try_from(stored).unwrap_or(u16::MAX);
            return Err(StoreError::new(doing, PartitionError { stored, wanted }));
        }
        Ok(values)
    }
}

fn posted(reply: &mut Reply) -> Result<Posted, StoreError> {
    match &*reply.bytes()? {
        b"posted" => {
            let (from, to) = (reply.optional_count()?, reply.optional_count()?);
            Ok(Posted::Done { from: from.unwrap_or(0), to: to.unwrap_or(0) })
        }
        b"transit" => Ok(Posted::InTransit { from: reply.count()?, number: reply.count()?, lowest: reply.count()? }),
        b"reused" => Ok(Posted::Reused),
        b"fenced" => Ok(Posted::Fenced { highest: Fence::new(reply.count()?) }),
        b"unknown" if &*reply.bytes()? == b"giver" => Ok(Posted::UnknownFrom),
        b"unknown" => Ok(Posted::UnknownTo),
        b"conflict" => match account(reply)? {
            Some(current) => Ok(Posted::Conflict { current }),
            None => reply.misunderstood(),
        },
        b"short" => Ok(Posted::Overdrawn { balance: reply.count()? }),
        b"large" => Ok(Posted::TooLarge),
        _ => reply.misunderstood(),
    }
}

fn account(reply: &mut Reply) -> Result<Option<Account>, StoreError> {
    let Some(balance) = reply.optional_count()? else { return Ok(None) };
    Ok(Some(Account { balance, version: Version::new(reply.count()?), in_transit: reply.count()? }))
}

fn credited(reply: &mut Reply) -> Result<Credited, StoreError> {
    match &*reply.bytes()? {
        b"credited" => Ok(Credited::Done { to: reply.count()? }),
        b"before" => Ok(Credited::Before),
        b"unknown" => Ok(Credited::UnknownTo),
        b"large" => Ok(Credited::TooLarge),
        _ => reply.misunderstood(),
    }
}

#[async_trait]
impl LedgerStore for RedisStore {
    async fn post_all(
        &self,
        ledger: &LedgerId,
        partition: u16,
        postings: &[Posting<'_>],
    ) -> Result<Vec<Posted>, StoreError> {
        const DOING: &str = "posting";
        let mut args = Vec::with_capacity(1 + postings.len() * 9);
        args.push(micros(ledger.horizon).into());
        for posting in postings {
            let target = posting.target(ledger);
            let sides = match (posting.from, posting.to) {
                (Some(_), Some(_)) if target.is_none() => "both",
                (Some(_), _) => "giver",
                _ => "taker",
            };
            args.extend::<[Arg; 9]>([
                posting.id.into(),
                posting.fingerprint().into(),
                posting.from.unwrap_or_default().into(),
                posting.to.unwrap_or_default().into(),
                posting.amount.into(),
                posting.fence.map_or_else(String::new, |fence| fence.to_string()).into(),
                sides.into(),
                posting.expected.map_or_else(String::new, |version| version.to_string()).into(),
                target.map_or_else(String::new, |target| target.to_string()).into(),
            ]);
        }
        let values = self.on_partition(DOING, &self.scripts.ledger_post, (ledger, partition), args).await?;
        values.into_iter().map(|value| posted(&mut Reply::new(DOING, value)?)).collect()
    }

    async fn credit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        credits: &[Credit<'_>],
    ) -> Result<Vec<Credited>, StoreError> {
        const DOING: &str = "crediting";
        let args = credits.iter().flat_map(|credit| -> [Arg; 5] {
            [
                u64::from(credit.source).into(),
                credit.number.into(),
                credit.lowest.into(),
                credit.to.into(),
                credit.amount.into(),
            ]
        });
        let values = self.on_partition(DOING, &self.scripts.ledger_credit, (ledger, partition), args).await?;
        values.into_iter().map(|value| credited(&mut Reply::new(DOING, value)?)).collect()
    }

    async fn settle(
        &self,
        ledger: &LedgerId,
        partition: u16,
        settlements: &[Settlement],
    ) -> Result<Vec<bool>, StoreError> {
        const DOING: &str = "settling transfers";
        let args = settlements.iter().flat_map(|settlement| -> [Arg; 2] {
            let outcome = match settlement.credited {
                Credited::Done { to } => to.to_string(),
                Credited::Before => String::new(),
                Credited::UnknownTo | Credited::TooLarge => "returned".to_owned(),
            };
            [settlement.number.into(), outcome.into()]
        });
        let values = self.on_partition(DOING, &self.scripts.ledger_settle, (ledger, partition), args).await?;
        let is_ended = |value: Value| Ok(value.as_int().map_err(|error| StoreError::redis(DOING, error))? == 1);
        values.into_iter().map(is_ended).collect()
    }

    async fn in_transit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        after: u64,
        limit: u32,
    ) -> Result<TransitPage, StoreError> {
        const DOING: &str = "reading transfers";
        let args = [after.into(), limit.into()];
        let values = self.on_partition(DOING, &self.scripts.ledger_transit, (ledger, partition), args).await?;
        let mut page = TransitPage::default();
        for (nth, value) in values.into_iter().enumerate() {
            if nth == 0 {
                page.next = Reply::new(DOING, Value::Array(vec![value]))?.optional_count()?;
                continue;
            }
            let mut reply = Reply::new(DOING, value)?;
            let (number, target, amount) = (reply.count()?, reply.count()?, reply.count()?);
            let Ok(target) = u16::try_from(target) else { return reply.misunderstood() };
            let (id, from, to) = (reply.text()?, reply.text()?, reply.text()?);
            page.transfers.push(InTransit { number, target, id, from, to, amount });
        }
        Ok(page)
    }

    async fn read(
        &self,
        ledger: &LedgerId,
        partition: u16,
        accounts: &[&str],
        id: Option<&str>,
    ) -> Result<Snapshot, StoreError> {
        const DOING: &str = "reading a ledger";
        let args = std::iter::once(id.unwrap_or_default()).chain(accounts.iter().copied()).map(Arg::from);
        let values = self.on_partition(DOING, &self.scripts.ledger_read, (ledger, partition), args).await?;
        let mut values = values.into_iter().skip(1);
        let mut next = || Reply::new(DOING, values.next().unwrap_or(Value::Nil));
        let mut sums = next()?;
        let totals = PartitionTotals {
            deposited: sums.sum()?,
            withdrawn: sums.sum()?,
            sent: sums.sum()?,
            received: sums.sum()?,
        };
        let mut found = next()?;
        let balances = (found.optional_count()?, found.balance()?);
        let posted = found.optional_text()?.map(|print| (print, balances.0.unwrap_or(0), balances.1));
        let accounts = accounts.iter().map(|_| account(&mut next()?)).collect::<Result<_, _>>()?;
        Ok(Snapshot { accounts, posted, totals })
    }
}
