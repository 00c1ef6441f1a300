//! Detects whether files have changed since they were read.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

use super::TlsFiles;

/// Metadata of both files. Links are followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    certificate: Option<Stamp>,
    key: Option<Stamp>,
}

/// Time of modification, length, inode, and time of the last status change, which includes a change
/// of owner.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<SystemTime>, u64, u64, (i64, i64));

impl Stamps {
    pub(super) fn of(settings: &TlsFiles) -> Self {
        let stamp = |path: &Path| {
            path.metadata().ok().map(|found| Stamp(found.modified().ok(), found.len(), which(&found), changed(&found)))
        };
        Self { certificate: stamp(&settings.certificate), key: stamp(&settings.key) }
    }
}

#[cfg(unix)]
fn which(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(unix)]
fn changed(found: &Metadata) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (found.ctime(), found.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> (i64, i64) {
    (0, 0)
}

#[cfg(not(unix))]
fn which(_: &Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_somebody_elses_now_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "key").unwrap();
        let settings = TlsFiles { certificate: path.clone(), key: path.clone() };
        let before = Stamps::of(&settings);
        assert_eq!(before, Stamps::of(&settings));
        // The file system records changes in steps of the system's clock.
        let mode = (0..).map(|turn| 0o600 + turn % 2);
        let is_another = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Stamps::of(&settings) != before
        };
        assert!(mode.take(1_000_000).any(is_another));
    }
}
