//! Rows of files: owner, name and expiry.

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::file::{FileAt, FileId, FileKind, Owner, Written};
use tidegate_model::tenant::TenantId;

use super::sql::files::{EXPIRED, FILE, INSERT, IS_THERE, REMOVE};
use super::value::Row;
use super::{Change, Store, StoreError};

/// A file that its tenant may download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Location of the content.
    pub at: FileAt,
    /// File name for downloads.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Size and digest of the content.
    pub content: Written,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// Returns the tenant's file with that id, unless it has expired.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn file(&self, tenant: &TenantId, id: FileId) -> Result<Option<StoredFile>, StoreError> {
        let values = [id.to_string().into(), tenant.as_str().into(), clock::now().into()];
        self.one(&FILE, &values).await?.map(|row| read(&row)).transpose()
    }

    /// Whether a row for that file exists, of any owner.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn knows_file(&self, id: FileId) -> Result<bool, StoreError> {
        Ok(self.one(&IS_THERE, &[id.to_string().into()]).await?.is_some())
    }

    /// Returns at most `limit` files that have expired at `now`.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn expired_files(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<StoredFile>, StoreError> {
        self.all(&EXPIRED, &[now.into(), i64::from(limit).into()]).await?.iter().map(read).collect()
    }

    /// Removes the row of a file, but not its content.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn forget_file(&self, id: FileId) -> Result<(), StoreError> {
        self.write_alone(&REMOVE, &[id.to_string().into()]).await.map(|_| ())
    }
}

impl Change {
    /// Inserts a file of a tenant.
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
