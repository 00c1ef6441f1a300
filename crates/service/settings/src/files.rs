//! Where files are kept.

use std::time::Duration;

use object_store::path::Path;

use super::SettingsError;
use super::reader::Reader;

/// The place of uploads, exports, reports and backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesPlace {
    /// In the data directory.
    Directory,
    /// In a bucket of S3, which the usual variables of AWS lead to.
    Bucket {
        /// Its name.
        bucket: String,
        /// What all keys begin with; may be empty.
        prefix: Path,
    },
}

/// Exports, reports, backups, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesSettings {
    /// Where they are.
    pub place: FilesPlace,
    /// Exports.
    pub export: FileRunSettings,
    /// Reports.
    pub report: FileRunSettings,
    /// Backups that are kept; of more, the oldest go.
    pub backup_keep: usize,
}

/// Runs of one kind that make files for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRunSettings {
    /// How long what they made can be fetched.
    pub keep: Duration,
    /// How many a tenant may have waiting or running.
    pub max_pending: u32,
}

pub(super) fn files(raw: &Reader<'_>) -> Result<FilesSettings, SettingsError> {
    let place = match raw.text("files_url") {
        None => FilesPlace::Directory,
        Some((text, _)) => bucket(text).ok_or_else(|| {
            // Not repeated: whoever takes it for another kind of URL may have put a key into it.
            let reason = "wants s3://BUCKET or s3://BUCKET/PREFIX, with the login in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            raw.invalid("files_url", reason.to_owned())
        })?,
    };
    Ok(FilesSettings {
        place,
        export: runs(raw, "export.keep", "export.max_pending")?,
        report: runs(raw, "report.keep", "report.max_pending")?,
        backup_keep: raw.count("backup.keep", 1..=10_000)?,
    })
}

fn runs(raw: &Reader<'_>, keep: &'static str, max_pending: &'static str) -> Result<FileRunSettings, SettingsError> {
    const MOST: Duration = Duration::from_secs(365 * 24 * 3600);
    Ok(FileRunSettings {
        keep: raw.duration(keep, Duration::from_secs(60), MOST)?,
        max_pending: raw.count(max_pending, 1..=10_000)?,
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
