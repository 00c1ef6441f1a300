//! The epoch: one hash that tells which entries belong to the installation as it is now, and what has moved in it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_redis::{Command, Error, Value};

use super::look::is_foreign;
use super::names::Names;
use super::tier::{RedisTier, millis};

/// The epoch outlives every entry.
pub(super) const EPOCH: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What the key `ce` said at one moment.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    id: Option<Bytes>,
    /// Moves by the name of the class.
    classes: HashMap<String, u64>,
    /// Moves of cells, by their field.
    cells: HashMap<String, u64>,
}

impl Epoch {
    /// Whether an entry that carries this epoch belongs to it.
    pub(super) fn is(&self, carried: &Bytes) -> bool {
        self.id.as_ref() == Some(carried)
    }

    /// What an entry of it carries.
    pub(super) fn id(&self) -> Bytes {
        self.id.clone().unwrap_or_default()
    }

    /// Whether both are moments of one epoch.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// With other fields as well; of another epoch they make it one to which no entry belongs.
    pub(super) fn with(mut self, other: Self) -> Self {
        if self.id != other.id {
            self.id = None;
        }
        self.classes.extend(other.classes);
        self.cells.extend(other.cells);
        self
    }

    pub(super) fn count(&self, field: &str) -> u64 {
        match Names::class_of(field) {
            Some(class) => self.class_moves(class),
            None => self.cells.get(field).copied().unwrap_or_default(),
        }
    }

    pub(super) fn class_moves(&self, class: &str) -> u64 {
        self.classes.get(class).copied().unwrap_or_default()
    }

    fn new(id: Option<Bytes>) -> Self {
        Self { id, classes: HashMap::new(), cells: HashMap::new() }
    }

    fn has(&mut self, field: &str, count: &Bytes) {
        match Names::class_of(field) {
            Some(class) => self.classes.insert(class.to_owned(), number(count)),
            None => self.cells.insert(field.to_owned(), number(count)),
        };
    }

    #[cfg(test)]
    pub(super) fn named(id: &'static str) -> Self {
        Self::new(Some(Bytes::from_static(id.as_bytes())))
    }

    /// The whole hash.
    fn of(fields: Vec<(Value, Value)>) -> Result<Self, Error> {
        let mut epoch = Self::new(None);
        for (field, value) in fields {
            let (field, value) = (field.into_text()?, value.into_bytes()?);
            if field == "e" {
                epoch.id = Some(value);
            } else {
                epoch.has(&field, &value);
            }
        }
        Ok(epoch)
    }
}

/// A count as Redis writes it. What is no count is foreign and equals nothing that was counted.
fn number(digits: &Bytes) -> u64 {
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

impl RedisTier {
    /// Only these fields of the epoch, and the epoch itself.
    pub(super) async fn epoch_fields(&self, fields: &[&str]) -> Result<Epoch, Error> {
        let command = Command::new("HMGET").key(self.names.epoch()).arg("e").idempotent();
        let command = fields.iter().fold(command, |command, field| command.arg(*field));
        let mut values = match self.client.execute(command).await {
            // To no epoch belongs no entry, and the next load makes one.
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

    /// The whole epoch as it is, which may be none, and what the clock of its server showed, in µs.
    pub(super) async fn read_epoch(&self) -> Result<(Epoch, u64), Error> {
        let answer = self.client.run(&self.scripts.epoch_read, &[self.names.epoch()], Vec::new()).await?;
        let mut answer = answer.into_array()?.into_iter();
        let micros = answer.next().unwrap_or(Value::Nil).as_count()?;
        Ok((Epoch::of(answer.next().unwrap_or(Value::Nil).into_map()?)?, micros))
    }
}
