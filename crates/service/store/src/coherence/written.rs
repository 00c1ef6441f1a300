//! Rows of the invalidation table.

use crate::error::StoreError;
use crate::purge::Invalidation;
use crate::value::Row;

/// An invalidation as it is stored in the table.
pub(super) struct Written {
    pub(super) origin: i64,
    kind: String,
    name: String,
    class: Option<String>,
}

impl Written {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let (kind, name) = (row.text("kind")?, row.text("name")?);
        Ok(Self { origin: row.int("origin")?, kind, name, class: row.opt_text("class")? })
    }

    pub(super) fn invalidation(&self) -> Invalidation<'_> {
        Invalidation { kind: &self.kind, name: &self.name, class: self.class.as_deref() }
    }
}
