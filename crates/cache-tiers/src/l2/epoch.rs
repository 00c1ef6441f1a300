//! The epoch: one hash with the current installation of entries, and what has moved in it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_redis::{Error, Value};

use super::names::Names;

/// The epoch outlives every entry.
pub(super) const EPOCH: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Content of the key `ce` at one moment.
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

    /// The id that entries of this epoch carry.
    pub(super) fn id(&self) -> Bytes {
        self.id.clone().unwrap_or_default()
    }

    /// Whether both are moments of one epoch.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Merges other fields. Fields of another epoch result in one to which no entry belongs.
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

    pub(super) fn new(id: Option<Bytes>) -> Self {
        Self { id, classes: HashMap::new(), cells: HashMap::new() }
    }

    pub(super) fn has(&mut self, field: &str, count: &Bytes) {
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
    pub(super) fn of(fields: Vec<(Value, Value)>) -> Result<Self, Error> {
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

/// Parses a count that Redis wrote. Any other text is foreign and equals no count.
fn number(digits: &Bytes) -> u64 {
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}
