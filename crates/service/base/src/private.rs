//! Files and directories for the account of the process alone.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// Rights of directories that hold tenants' data.
pub const DIRECTORY: u32 = 0o700;

/// Makes every file that this process creates 0600 and every directory 0700, whatever it inherited.
/// Libraries that write files take no rights.
pub fn close_to_others() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Makes a directory that others may not look into, or closes the one that is there.
///
/// # Errors
///
/// When it can't be made or looked at.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o777 & !DIRECTORY != 0 {
        match fs::set_permissions(path, Permissions::from_mode(DIRECTORY)) {
            // A mounted volume, for example. What is in its files stays private.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let path = path.display();
                tracing::warn!(
                    "others on this machine may list {path}, which belongs to another account: `chmod 700` ends that"
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
