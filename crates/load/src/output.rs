//! Files that a run writes at its end. Until then they stay as they are.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

/// Refuses a file that cannot be written, before a run of minutes and not after it. Changes nothing
/// and leaves nothing. `create` states whether the file may be missing.
pub(crate) fn ensure_writable(path: &Path, create: bool) -> anyhow::Result<()> {
    let tried = || match destination(path)? {
        Destination::Replaced { path, exists } => {
            if exists || !create {
                OpenOptions::new().append(true).open(&path)?;
            }
            beside(&path).map(drop)
        }
        Destination::Written => OpenOptions::new().append(true).open(path).map(drop),
    };
    tried().with_context(|| unwritable(path))
}

/// Replaces the content in one step: a file that cannot be written completely stays unchanged.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || match destination(path)? {
        Destination::Replaced { path, exists } => {
            let mut temporary = beside(&path)?;
            temporary.write_all(text.as_bytes())?;
            if exists {
                temporary.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
            }
            temporary.as_file().sync_all()?;
            temporary.persist(&path)?;
            Ok(())
        }
        Destination::Written => fs::write(path, text),
    };
    written().with_context(|| unwritable(path))
}

fn unwritable(path: &Path) -> String {
    format!("{} can't be written", path.display())
}

/// How a path is written.
enum Destination {
    /// Replaced by another file. Symbolic links are followed, so that they stay.
    Replaced { path: PathBuf, exists: bool },
    /// Written directly: a terminal, a pipe or another target that is not a file.
    Written,
}

fn destination(path: &Path) -> io::Result<Destination> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Destination::Replaced { path: fs::canonicalize(path)?, exists: true }),
        Ok(_) => Ok(Destination::Written),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Destination::Replaced { path: path.to_owned(), exists: false })
        }
        Err(error) => Err(error),
    }
}

/// A file beside another one. It is removed unless it replaces that one.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    // As readable as any other new file. A temporary file is otherwise for its owner alone.
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().permissions(permissions).tempfile_in(directory.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use tidegate_testkit::Scratch;

    use super::*;

    fn names(directory: &Scratch) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_stays_as_it_is_until_it_is_written() {
        let scratch = Scratch::new();
        let (old, new) = (scratch.join("old.json"), scratch.join("new.json"));
        fs::write(&old, "old").unwrap();
        ensure_writable(&old, true).unwrap();
        ensure_writable(&new, true).unwrap();
        assert_eq!(names(&scratch), ["old.json"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert!(ensure_writable(&new, false).is_err());
        write(&old, "new").unwrap();
        write(&new, "new").unwrap();
        assert_eq!(names(&scratch), ["new.json", "old.json"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "new");
    }

    #[test]
    fn a_reader_sees_the_old_content_or_the_new_one() {
        let scratch = Scratch::new();
        let path = scratch.join("page.md");
        fs::write(&path, "old and long").unwrap();
        let mut reader = File::open(&path).unwrap();
        write(&path, "new").unwrap();
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "old and long");
    }

    #[test]
    fn permissions_and_symbolic_links_stay() {
        let scratch = Scratch::new();
        let (page, link) = (scratch.join("page.md"), scratch.join("link.md"));
        fs::write(&page, "old").unwrap();
        fs::set_permissions(&page, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("page.md", &link).unwrap();
        ensure_writable(&link, false).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(names(&scratch), ["link.md", "page.md"]);
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("page.md"));
        assert_eq!(fs::read_to_string(&page).unwrap(), "new");
        assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_no_file_is_written_and_not_replaced() {
        let device = Path::new("/dev/null");
        ensure_writable(device, true).unwrap();
        write(device, "text").unwrap();
        assert!(!fs::metadata(device).unwrap().is_file());
        let scratch = Scratch::new();
        for refused in [ensure_writable(scratch.path(), true), write(scratch.path(), "text")] {
            let refused = refused.unwrap_err().to_string();
            assert_eq!(refused, format!("{} can't be written", scratch.path().display()));
        }
        assert_eq!(names(&scratch), Vec::<String>::new());
    }
}
