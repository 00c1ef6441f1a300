//! Location of files.

use std::time::Duration;

use object_store::path::Path;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "files_url",
        "TIDEGATE_FILES_URL",
        None,
        "location of uploads, exports, reports and backups: s3://BUCKET/PREFIX, with the usual AWS variables; not set: in data_dir",
    ),
    setting("backup.keep", "TIDEGATE_BACKUP_KEEP", Some("7"), "backups to keep; older ones are removed"),
    setting(
        "export",
        "TIDEGATE_EXPORT",
        Some("keep=24h, max_pending=5"),
        "exports: how long one can be downloaded, and waiting or running exports per tenant before a 429",
    ),
    setting(
        "report",
        "TIDEGATE_REPORT",
        Some("keep=24h, max_pending=5"),
        "reports: how long the files of one can be downloaded, and waiting or running reports per tenant before a 429",
    ),
];

/// The location of uploads, exports, reports and backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesPlace {
    /// In the data directory.
    Directory,
    /// In an S3 bucket, which the usual AWS variables describe.
    Bucket {
        /// Name of the bucket.
        bucket: String,
        /// Prefix of all keys. May be empty.
        prefix: Path,
    },
}

/// Location of exports, reports and backups, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesSettings {
    /// Location of the files.
    pub place: FilesPlace,
    /// Settings of exports.
    pub export: FileRunSettings,
    /// Settings of reports.
    pub report: FileRunSettings,
    /// Number of backups to keep. Beyond it the oldest ones are removed.
    pub backup_keep: usize,
}

/// Jobs of one kind that create files for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRunSettings {
    /// How long the files can be downloaded.
    pub keep: Duration,
    /// Maximum number of waiting or running jobs per tenant.
    pub max_pending: u32,
}

pub(crate) fn files(raw: &Reader<'_>) -> Result<FilesSettings, SettingsError> {
    let place = match raw.text("files_url") {
        None => FilesPlace::Directory,
        Some((text, _)) => bucket(text).ok_or_else(|| {
            // Not repeated: an operator who expects another kind of URL may have put a key into it.
            let reason = "must be s3://BUCKET or s3://BUCKET/PREFIX, with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            raw.invalid("files_url", reason.to_owned())
        })?,
    };
    Ok(FilesSettings {
        place,
        export: runs(raw, "export")?,
        report: runs(raw, "report")?,
        backup_keep: raw.count("backup.keep", 1..=10_000)?,
    })
}

fn runs(raw: &Reader<'_>, key: &'static str) -> Result<FileRunSettings, SettingsError> {
    const MOST: Duration = Duration::from_secs(365 * 24 * 3600);
    let options = raw.options(key)?;
    Ok(FileRunSettings {
        keep: options.duration("keep", Duration::from_secs(60), MOST)?,
        max_pending: options.count("max_pending", 1..=10_000)?,
    })
}

fn bucket(text: &str) -> Option<FilesPlace> {
    let rest = text.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_'));
    let prefix = Path::parse(prefix).ok().filter(|_| is_plain)?;
    is_name.then(|| FilesPlace::Bucket { bucket: bucket.to_owned(), prefix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    #[test]
    fn files_lie_in_the_data_directory_unless_a_bucket_is_named() {
        assert_eq!(check_with(&[]).unwrap().files.place, FilesPlace::Directory);
        let named = |url: &str| check_with(&[("TIDEGATE_FILES_URL", url)]).unwrap().files.place;
        let prefix =
            |prefix: &str| FilesPlace::Bucket { bucket: "my-files".into(), prefix: Path::parse(prefix).unwrap() };
        assert_eq!(named("s3://my-files"), prefix(""));
        assert_eq!(named("s3://my-files/some/where/"), prefix("some/where"));
    }

    #[test]
    fn another_url_is_refused_without_repeating_it() {
        for url in ["s3://key:hunter2@bucket", "https://hunter2@s3.example.com", "s3://b/../hunter2", "s3:///hunter2"] {
            let error = check_with(&[("TIDEGATE_FILES_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("files_url (environment variable TIDEGATE_FILES_URL)"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
