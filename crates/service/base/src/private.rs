//! Files and directories that only the account of the process can access.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// Mode of directories that hold tenants' data.
pub const DIRECTORY: u32 = 0o700;

/// Sets the umask so that every new file of this process is 0600 and every new directory 0700.
/// Libraries that write files do not set a mode.
pub fn close_to_others() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Creates a directory that other accounts cannot read, or restricts an existing one.
///
/// # Errors
///
/// If the directory cannot be created or inspected.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o777 & !DIRECTORY != 0 {
        match fs::set_permissions(path, Permissions::from_mode(DIRECTORY)) {
            // For example a mounted volume. Its files stay private.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let path = path.display();
                tracing::warn!(
                    "other users of this machine can list {path}, which belongs to another account: `chmod 700` prevents that"
                );
            }
            changed => changed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_or_becomes_private() {
        let place = tempfile::tempdir().unwrap();
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (made, open) = (place.path().join("made"), place.path().join("open"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        for path in [made, open] {
            directory(&path).unwrap();
            assert_eq!(rights(&path), 0o700, "{}", path.display());
        }
    }
}
