//! The data directory and the files in it: private to the account of the process.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// File mode: only the account of this process may read and write.
pub(crate) const PRIVATE: u32 = 0o600;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Creates the directory and takes its lock. So processes that start together migrate one after the
/// other.
pub(crate) async fn lock_directory(directory: PathBuf) -> std::io::Result<std::fs::File> {
    let wait = move || {
        // The files contain tenants' data: no other account of the machine may read them.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        if std::fs::metadata(&directory)?.permissions().mode() & OTHERS != 0 {
            let directory = directory.display();
            tracing::warn!(
                "others on this machine may look into {directory}, which was not made here: its files are closed to them, \
                 their names are not; `chmod 700` ends that"
            );
        }
        let mut options = std::fs::File::options();
        let lock = options.create(true).truncate(false).write(true).mode(PRIVATE).open(directory.join(".lock"))?;
        if lock.try_lock().is_err() {
            tracing::info!("waiting for another process that is opening {}", directory.display());
            lock.lock()?;
        }
        Ok(lock)
    };
    tokio::task::spawn_blocking(wait).await.map_err(std::io::Error::other)?
}

/// Creates an empty file that only this account can access, if there is none. SQLite would create
/// it with the umask. It gives its additional files the mode of this file.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    let made = std::fs::File::options().write(true).create_new(true).mode(PRIVATE).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
