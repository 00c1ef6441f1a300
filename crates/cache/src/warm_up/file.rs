//! A file that is replaced in one step.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Suffix of a file that has not replaced its target yet, after `.<process>-<number>`.
const ENDING: &str = ".new";

/// No save takes this long: an older file was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Written beside it first, synced, then renamed: a crash leaves the old file or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Numbers concurrent saves, so that each writes a file of its own.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{}{ENDING}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let beside = PathBuf::from(beside);
    let written = create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // The partial file is of no use, and may not exist.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_directory(path)
}

/// Creates a new file: nothing is written through a link that another account has created.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Keys show users and their reads, so only the account of the process may read them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // Left by a process with the same number, or planted. The target of a link is not touched.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// The new name is on the disk only after its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory_of(path))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Removes what saves to this path have left, as far as possible; the files do no harm.
pub(super) fn sweep(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let Ok(entries) = fs::read_dir(directory_of(path)) else { return };
    for entry in entries.flatten() {
        if is_beside(&entry.file_name(), name) && is_abandoned(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a save to a file called `name` first writes to a file with this name.
fn is_beside(other: &OsStr, name: &OsStr) -> bool {
    let rest = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    let Some(number) = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(ENDING.as_bytes())) else {
        return false;
    };
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = number.splitn(2, |byte| *byte == b'-');
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number)
}

fn is_abandoned(entry: &DirEntry) -> bool {
    // Metadata of the file itself: if it is a link, another program has created it.
    let Ok(found) = entry.metadata() else { return false };
    let age = found.modified().ok().and_then(|written| written.elapsed().ok());
    found.is_file() && age.is_some_and(|age| age > ABANDONED)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
