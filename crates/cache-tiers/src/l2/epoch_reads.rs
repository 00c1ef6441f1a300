//! Reads of the epoch: some of its fields, or all.

use tidegate_redis::{Command, Error, Value};

use super::epoch::{EPOCH, Epoch};
use super::tier::{RedisTier, is_foreign, millis};

impl RedisTier {
    /// Returns only these fields of the epoch, and the epoch itself.
    pub(super) async fn epoch_fields(&self, fields: &[&str]) -> Result<Epoch, Error> {
        let command = Command::new("HMGET").key(self.names.epoch()).arg("e").idempotent();
        let command = fields.iter().fold(command, |command, field| command.arg(*field));
        let mut values = match self.client.execute(command).await {
            // No entry belongs to a missing epoch, and the next load creates one.
            Err(error) if is_foreign(&error) => Vec::new(),
            other => other?.into_array()?,
        }
        .into_iter();
        let id = values.next().unwrap_or(Value::Nil).into_optional_bytes()?;
        let mut epoch = Epoch::new(id);
        for (field, value) in fields.iter().zip(values) {
            if let Some(count) = value.into_optional_bytes()? {
                epoch.has(field, &count);
            }
        }
        Ok(epoch)
    }

    /// The whole epoch, for a load that starts now.
    pub(super) async fn open_epoch(&self) -> Result<Epoch, Error> {
        let fresh = format!("{:032x}", rand::random::<u128>());
        let args = vec![fresh.into(), millis(EPOCH)];
        let fields = self.client.run(&self.scripts.epoch_open, &[self.names.epoch()], args).await?.into_map()?;
        Epoch::of(fields)
    }

    /// Returns the whole epoch, which may be missing, and the clock of its server in µs.
    pub(super) async fn read_epoch(&self) -> Result<(Epoch, u64), Error> {
        let answer = self.client.run(&self.scripts.epoch_read, &[self.names.epoch()], Vec::new()).await?;
        let mut answer = answer.into_array()?.into_iter();
        let micros = answer.next().unwrap_or(Value::Nil).as_count()?;
        Ok((Epoch::of(answer.next().unwrap_or(Value::Nil).into_map()?)?, micros))
    }
}
