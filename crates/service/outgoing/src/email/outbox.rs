//! Stores mails as files if no server is configured, for first trials, and for other programs that
//! forward them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tidegate_base::private;

/// The directory of the files.
pub(super) struct Outbox<'a>(pub(super) &'a PathBuf);

impl Outbox<'_> {
    /// Stores a mail. The same mail of the same job is one file, however often it is stored. The
    /// file appears complete or not at all.
    pub(super) async fn keep(&self, installation: &str, id: &str, message: Vec<u8>) -> io::Result<()> {
        // A job's id may be any client's text, which must not become a file name.
        let name = HEXLOWER.encode(&Sha256::digest(format!("{installation} {id}"))[..16]);
        let directory = self.0.clone();
        tokio::task::spawn_blocking(move || write(&directory, &name, &message)).await.map_err(io::Error::other)?
    }
}

fn write(directory: &Path, name: &str, message: &[u8]) -> io::Result<()> {
    private::directory(directory)?;
    // Two runs of one job write two files. The later one becomes the mail.
    let draft = directory.join(format!("{name}.{:08x}.part", rand::random::<u32>()));
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(message)?;
        file.sync_all()?;
        fs::rename(&draft, directory.join(format!("{name}.eml")))?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&draft);
    }
    written
}
