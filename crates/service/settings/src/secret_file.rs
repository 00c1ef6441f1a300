//! Secrets in files of their own, as orchestrators provide them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::setting::Setting;

/// A longer file is not a secret: the setting names the wrong file.
const LONGEST: u64 = 64 << 10;

/// The file that a secret is read from.
#[derive(Debug, Clone)]
pub struct SecretFile {
    /// The secret.
    pub setting: &'static Setting,
    /// Its path. The file contains only the secret.
    pub path: PathBuf,
    /// Digest of the content that the settings were read from.
    pub digest: [u8; 32],
}

/// Why a file contains no valid secret. The error does not repeat its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The system refuses access.
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a directory, a pipe or a device.
    #[error("can't be read: it is not a regular file")]
    NoFile,
    /// It is not text.
    #[error("is not UTF-8")]
    NotText,
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is too large to be a secret.
    #[error("is larger than 64 KiB")]
    TooLarge,
}

impl SecretFile {
    /// Returns the secret, without leading and trailing white space such as the last line break.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is empty or too large, or is not text.
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
    // Opening something else, such as a named pipe, could block for ever.
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
