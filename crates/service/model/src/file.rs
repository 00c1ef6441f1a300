//! What a file is, where it lies, and what the tables keep of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_queue::JobId;
use uuid::Uuid;

use crate::tenant::TenantId;

/// What a file is, and where it lies by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileKind {
    /// A tenant's schedules.
    Export,
    /// What a report says, as a page or a table.
    Report,
    /// All tables.
    Backup,
    /// A file that a client uploaded, for a job to read.
    Upload,
}

impl FileKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Export, Self::Report, Self::Backup, Self::Upload];

    /// Its stable word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Report => "report",
            Self::Backup => "backup",
            Self::Upload => "upload",
        }
    }

    /// The kind of that word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Names one file. Ids of version 7 grow with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(Uuid);

/// A text that names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a file")]
pub struct FileIdError;

impl FileId {
    /// An id that no other file has.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// When it was made, in milliseconds since 1970.
    pub fn made_at_ms(self) -> u64 {
        let seconds_and_nanos = self.0.get_timestamp().map(|timestamp| timestamp.to_unix());
        seconds_and_nanos.map_or(0, |(seconds, nanos)| seconds * 1000 + u64::from(nanos / 1_000_000))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FileId {
    type Err = FileIdError;

    fn from_str(text: &str) -> Result<Self, FileIdError> {
        // One text for one id: no braces, no capitals, no form without hyphens.
        let id = Uuid::try_parse(text).map_err(|_| FileIdError)?;
        if id.get_version_num() == 7 && id.to_string() == text { Ok(Self(id)) } else { Err(FileIdError) }
    }
}

/// The owner of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The operations.
    Operations,
    /// A tenant.
    Tenant(TenantId),
    /// The job that reads it.
    Job(JobId),
}

/// Where a file lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileAt {
    /// What it is.
    pub kind: FileKind,
    /// Its owner.
    pub owner: Owner,
    /// Which it is.
    pub id: FileId,
}

impl FileAt {
    /// A new file of that tenant.
    pub fn of_tenant(kind: FileKind, tenant: TenantId) -> Self {
        Self { kind, owner: Owner::Tenant(tenant), id: FileId::generate() }
    }

    /// A new file of the operations.
    pub fn of_operations(kind: FileKind) -> Self {
        Self { kind, owner: Owner::Operations, id: FileId::generate() }
    }

    /// The upload of that id, for that job.
    pub fn of_upload(job: JobId, id: FileId) -> Self {
        Self { kind: FileKind::Upload, owner: Owner::Job(job), id }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_one_id() {
        let id = FileId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = id.to_string();
        for other in
            [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}"), format!("../{text}"), String::new()]
        {
            assert_eq!(other.parse::<FileId>(), Err(FileIdError), "{other}");
        }
        assert_eq!(Uuid::new_v4().to_string().parse::<FileId>(), Err(FileIdError));
    }
}
