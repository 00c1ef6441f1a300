//! Whether files are still those that were read.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

use crate::settings::TlsSettings;

/// Both files as the file system tells of them; what a link leads to counts, not the link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    certificate: Option<Stamp>,
    key: Option<Stamp>,
}

/// When it was written, how long it is, and which file it is.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<SystemTime>, u64, u64);

impl Stamps {
    pub(super) fn of(settings: &TlsSettings) -> Self {
        let stamp =
            |path: &Path| path.metadata().ok().map(|found| Stamp(found.modified().ok(), found.len(), which(&found)));
        Self { certificate: stamp(&settings.certificate), key: stamp(&settings.key) }
    }
}

#[cfg(unix)]
fn which(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn which(_: &Metadata) -> u64 {
    0
}
