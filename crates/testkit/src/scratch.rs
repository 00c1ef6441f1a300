//! Temporary directories of a test.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A new, empty directory. It is removed with its content when it is dropped.
///
/// Declare it before the [`Process`](crate::Process) that uses it: values are dropped in reverse
/// order, and the process must end before its directory is removed.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// Creates the directory under the system's temporary directory.
    ///
    /// # Panics
    ///
    /// If the temporary directory cannot be written.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`new` creates a directory, which a default should not")]
    pub fn new() -> Self {
        // Accessible only to the owner, so that programs don't warn about the permissions.
        let mut builder = tempfile::Builder::new();
        builder.prefix("tidegate-").permissions(Permissions::from_mode(0o700));
        let directory = builder.tempdir().expect("the temporary directory is writable");
        Self { directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside the directory; nothing is created there.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn is_empty_own_and_removed_with_its_contents() {
        let (first, second) = (Scratch::new(), Scratch::new());
        assert_ne!(first.path(), second.path());
        assert_eq!(std::fs::read_dir(&first).unwrap().count(), 0);

        std::fs::create_dir(first.join("data")).unwrap();
        std::fs::write(first.join("data/file"), "x").unwrap();
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
        assert!(second.path().exists());
    }
}
