//! Errors of files. The messages contain no URL and no path, which might reveal more than their
//! reader may know.

use std::error::Error;
use std::io;

use tidegate_settings::SecretFileError;

/// Maximum length of an S3 error code that is passed on.
const MOST_CODE: usize = 48;

/// A file that could not be written, read or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The file does not exist.
    #[error("can't {operation} a file: it does not exist")]
    Missing {
        /// The operation that failed.
        operation: &'static str,
    },
    /// The bucket does not exist.
    #[error("can't {operation} a file: there is no such bucket; see `TIDEGATE_FILES_URL`")]
    NoBucket {
        /// The operation that failed.
        operation: &'static str,
    },
    /// The file was replaced while it was being read.
    #[error("can't {operation} a file: it was replaced meanwhile")]
    Replaced {
        /// The operation that failed.
        operation: &'static str,
    },
    /// The store denies access: missing permissions or credentials.
    #[error("can't {operation} a file: the store refuses it ({reason})")]
    Refused {
        /// The operation that failed.
        operation: &'static str,
        /// Short reason.
        reason: String,
    },
    /// The store is unavailable, busy or full.
    #[error("can't {operation} a file now: {reason}")]
    Away {
        /// The operation that failed.
        operation: &'static str,
        /// Short reason.
        reason: String,
    },
    /// The store cannot be used as configured.
    #[error("files: {reason}")]
    Unusable {
        /// Short reason.
        reason: String,
    },
}

/// Why there are no credentials. The message names variables, but no file and no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error(
        "the bucket has no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or both with the suffix \
         _FILE; this machine provides none ({0})"
    )]
    NotGiven(String),
    #[error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together, and {missing} is not set")]
    Half { missing: &'static str },
    #[error("{variable} and {variable}_FILE are both set: set only one")]
    Twice { variable: &'static str },
    #[error("the file that {variable}_FILE names {source}")]
    File { variable: &'static str, source: SecretFileError },
}

impl FilesError {
    /// Whether a later retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// The response ended before its announced length.
    pub(super) fn cut_off(operation: &'static str) -> Self {
        Self::Away { operation, reason: "the answer was cut off".to_owned() }
    }

    pub(super) fn of(operation: &'static str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        if let Some(login) = below::<LoginError>(error) {
            return Self::Away { operation, reason: login.to_string() };
        }
        let reason = words_of(error);
        match error {
            E::NotFound { .. } if code_in(&error.to_string()) == Some("NoSuchBucket") => Self::NoBucket { operation },
            E::NotFound { .. } => Self::Missing { operation },
            E::Precondition { .. } => Self::Replaced { operation },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Refused { operation, reason },
            E::Generic { .. } if is_a_setting(&error.to_string()) => Self::Unusable { reason },
            E::NotSupported { .. } | E::NotImplemented { .. } | E::InvalidPath { .. } => Self::Unusable { reason },
            _ => match below(error).map(io::Error::kind) {
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    Self::Refused { operation, reason }
                }
                _ => Self::Away { operation, reason },
            },
        }
    }

    pub(super) fn of_io(operation: &'static str, error: &io::Error) -> Self {
        let reason = words_of_io(error);
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Refused { operation, reason },
            _ => Self::Away { operation, reason },
        }
    }
}

impl From<FilesError> for io::Error {
    /// Maps a missing file to [`NotFound`](io::ErrorKind::NotFound), as on a disk.
    fn from(error: FilesError) -> Self {
        let kind = if error.is_missing() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        Self::new(kind, error)
    }
}

/// Returns the part of an error that may be shown: the system's message, or the error code from S3.
/// The messages of S3 contain paths, URLs and whole responses.
pub(super) fn words_of(error: &object_store::Error) -> String {
    if let Some(error) = below(error) {
        return words_of_io(error);
    }
    match code_in(&error.to_string()) {
        Some(code) => format!("it says {code}"),
        None => "it gives no good answer".to_owned(),
    }
}

fn words_of_io(error: &io::Error) -> String {
    // Only the kind: the text may contain a file name.
    error.kind().to_string()
}

/// Returns the first error of that type among the error and its causes.
fn below<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether the response shows that the bucket's URL or its settings are wrong, so that a retry
/// cannot help.
fn is_a_setting(text: &str) -> bool {
    const CODES: [&str; 5] = [
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "InvalidBucketName",
        "InvalidRequest",
        "PermanentRedirect",
    ];
    code_in(text).is_some_and(|code| CODES.contains(&code))
}

/// Returns the code in a response such as `<Error><Code>NoSuchBucket</Code>…`.
fn code_in(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("<Code>")?;
    let (code, _) = behind.split_once("</Code>")?;
    let is_code = (1..=MOST_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_no_url_and_no_path() {
        let secret = "https://key:hunter2@s3.example.com/bucket?X-Amz-Signature=abc";
        let generic = |source: Box<dyn Error + Send + Sync>| object_store::Error::Generic { store: "S3", source };
        let errors = [
            generic(format!("Client error with status 403 at {secret}: <Code>SlowDown</Code>").into()),
            generic(format!("error sending request to {secret}").into()),
            generic(io::Error::new(io::ErrorKind::StorageFull, secret).into()),
            object_store::Error::NotFound { path: secret.to_owned(), source: secret.into() },
            object_store::Error::PermissionDenied { path: secret.to_owned(), source: secret.into() },
            generic(format!("status 301 at {secret}: <Code>PermanentRedirect</Code>").into()),
        ];
        let told: Vec<_> = errors.iter().map(|error| FilesError::of("read", error)).collect();
        for error in &told {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter2") && !text.contains("example") && !text.contains("Signature"), "{text}");
        }
        assert_eq!(told[0].to_string(), "can't read a file now: it says SlowDown");
        let transient: Vec<_> = told.iter().map(FilesError::is_transient).collect();
        assert_eq!(transient, [true, true, true, false, false, false]);
        assert!(told[3].is_missing());
    }
}
