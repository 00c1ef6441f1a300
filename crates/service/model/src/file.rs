//! The kind, the location and the table entry of a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_queue::JobId;
use uuid::Uuid;

use crate::tenant::TenantId;

/// Kind of a file, which also determines its location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileKind {
    /// A tenant's schedules.
    Export,
    /// A report, as a page or a table.
    Report,
    /// All tables.
    Backup,
    /// A file that a client uploaded, for a job to read.
    Upload,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Export, Self::Report, Self::Backup, Self::Upload];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Report => "report",
            Self::Backup => "backup",
            Self::Upload => "upload",
        }
    }

    /// Returns the kind with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Id of a file. Ids are of version 7, so they increase with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(Uuid);

/// The text is not the id of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a file")]
pub struct FileIdError;

impl FileId {
    /// Returns a unique id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Returns when it was generated, in milliseconds since 1970.
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
        // Only one text per id: no braces, no capitals, no form without hyphens.
        let id = Uuid::try_parse(text).map_err(|_| FileIdError)?;
        if id.get_version_num() == 7 && id.to_string() == text { Ok(Self(id)) } else { Err(FileIdError) }
    }
}

/// The owner of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The operators.
    Operations,
    /// A tenant.
    Tenant(TenantId),
    /// The job that reads the file.
    Job(JobId),
}

/// Location of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileAt {
    /// Its kind.
    pub kind: FileKind,
    /// Its owner.
    pub owner: Owner,
    /// Its id.
    pub id: FileId,
}

impl FileAt {
    /// A new file for that tenant.
    pub fn of_tenant(kind: FileKind, tenant: TenantId) -> Self {
        Self { kind, owner: Owner::Tenant(tenant), id: FileId::generate() }
    }

    /// A new file for the operators.
    pub fn of_operations(kind: FileKind) -> Self {
        Self { kind, owner: Owner::Operations, id: FileId::generate() }
    }

    /// The upload with that id, for that job.
    pub fn of_upload(job: JobId, id: FileId) -> Self {
        Self { kind: FileKind::Upload, owner: Owner::Job(job), id }
    }
}

/// Size and hash of a written file.
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
