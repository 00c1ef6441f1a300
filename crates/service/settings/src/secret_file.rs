//! Secrets in files of their own, as orchestrators hand them out.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::catalogue::Setting;

/// A longer file is no secret: the setting names the wrong file.
const LONGEST: u64 = 64 << 10;

/// The file that a secret is read from.
#[derive(Debug, Clone)]
pub struct SecretFile {
    /// The secret.
    pub setting: &'static Setting,
    /// The file, which holds nothing else.
    pub path: PathBuf,
    /// Digest of its content in the settings.
    pub digest: [u8; 32],
}

/// A file that holds no secret. Its content is not part of the error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The system refuses.
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a directory, a pipe or a device.
    #[error("can't be read: it is not a regular file")]
    NoFile,
    /// It is no text.
    #[error("is not UTF-8")]
    NotText,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It holds something else.
    #[error("is larger than 64 KiB")]
    TooLarge,
}

impl SecretFile {
    /// The secret. White space around it, such as the last line break, is no part of it.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or holds no text or too much.
    pub fn read(&self) -> Result<String, SecretFileError> {
        read_secret(&self.path)
    }
}

/// Reads the secret in a file.
///
/// # Errors
///
/// As [`SecretFile::read`].
pub fn read_secret(path: &Path) -> Result<String, SecretFileError> {
    // Opening anything else, such as a named pipe, could wait for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(SecretFileError::NoFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(SecretFileError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretFileError::NotText)?;
    match text.trim() {
        "" => Err(SecretFileError::Empty),
        secret => Ok(secret.to_owned()),
    }
}
