//! Rows of files: whose each is, what it is called, and until when it is kept.

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::file::{FileAt, FileId, FileKind, Owner, Written};
use tidegate_model::tenant::TenantId;

use super::sql::files::{EXPIRED, FILE, INSERT, IS_THERE, REMOVE};
use super::value::Row;
use super::{Change, Store, StoreError};

/// A file that its tenant may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Where its content lies.
    pub at: FileAt,
    /// What it is called where it is saved.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// What it holds.
    pub content: Written,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is gone.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// The tenant's file of that id, unless its time is over.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn file(&self, tenant: &TenantId, id: FileId) -> Result<Option<StoredFile>, StoreError> {
        let values = [id.to_string().into(), tenant.as_str().into(), clock::now().into()];
        self.one(&FILE, &values).await?.map(|row| read(&row)).transpose()
    }

    /// Whether there is a row of that file, whosever it is.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn knows_file(&self, id: FileId) -> Result<bool, StoreError> {
        Ok(self.one(&IS_THERE, &[id.to_string().into()]).await?.is_some())
    }

    /// At most `limit` files whose time is over at `now`.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn expired_files(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<StoredFile>, StoreError> {
        self.all(&EXPIRED, &[now.into(), i64::from(limit).into()]).await?.iter().map(read).collect()
    }

    /// Forgets a file. Its content is another matter.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn forget_file(&self, id: FileId) -> Result<(), StoreError> {
        self.write_alone(&REMOVE, &[id.to_string().into()]).await.map(|_| ())
    }
}

impl Change {
    /// Enters a file of a tenant.
    pub(super) async fn insert_file(&mut self, file: &StoredFile) -> Result<(), StoreError> {
        let tenant = match &file.at.owner {
            Owner::Tenant(tenant) => Some(tenant.as_str()),
            Owner::Operations | Owner::Job(_) => None,
        };
        let values = [
            file.at.id.to_string().into(),
            tenant.into(),
            file.at.kind.name().into(),
            (&file.name).into(),
            (&file.content_type).into(),
            i64::try_from(file.content.bytes).unwrap_or(i64::MAX).into(),
            (&file.content.sha256).into(),
            file.created_at.into(),
            file.expires_at.into(),
        ];
        self.run(&INSERT, &values, Touched::new()).await.map(|_| ())
    }
}

fn read(row: &Row) -> Result<StoredFile, StoreError> {
    let id = row.text("id")?;
    let unreadable = |column| StoreError::Unreadable { table: "file", id: id.clone(), column };
    Ok(StoredFile {
        at: FileAt {
            kind: FileKind::named(&row.text("kind")?).ok_or_else(|| unreadable("kind"))?,
            owner: Owner::Tenant(row.text("tenant_id")?.parse().map_err(|_| unreadable("tenant_id"))?),
            id: id.parse().map_err(|_| unreadable("id"))?,
        },
        name: row.text("name")?,
        content_type: row.text("content_type")?,
        content: Written {
            bytes: u64::try_from(row.int("bytes")?).map_err(|_| unreadable("bytes"))?,
            sha256: row.text("sha256")?,
        },
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
