//! What can go wrong with a file. Never told with a URL or a path, which may say more than its reader should know.

use std::error::Error;
use std::io;

use super::login::LoginError;

/// Longest code of an answer of S3 that is passed on.
const MOST_CODE: usize = 48;

/// A file that could not be written, read or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// It isn't there.
    #[error("can't {operation} a file: it is not there")]
    Missing {
        /// What was tried.
        operation: &'static str,
    },
    /// The bucket isn't there.
    #[error("can't {operation} a file: there is no such bucket; see `TIDEGATE_FILES_URL`")]
    NoBucket {
        /// What was tried.
        operation: &'static str,
    },
    /// Another content has taken its place while it was read.
    #[error("can't {operation} a file: it was replaced meanwhile")]
    Replaced {
        /// What was tried.
        operation: &'static str,
    },
    /// The place refuses us: no rights, no login.
    #[error("can't {operation} a file: the store refuses it ({reason})")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// In a few words.
        reason: String,
    },
    /// The place is away, busy or full.
    #[error("can't {operation} a file now: {reason}")]
    Away {
        /// What was tried.
        operation: &'static str,
        /// In a few words.
        reason: String,
    },
    /// The place can't be used as it is set.
    #[error("files: {reason}")]
    Unusable {
        /// In a few words.
        reason: String,
    },
}

impl FilesError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// That the answer ended before what it had promised.
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
    /// A missing file is [`NotFound`](io::ErrorKind::NotFound), as one of a disk would be.
    fn from(error: FilesError) -> Self {
        let kind = if error.is_missing() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        Self::new(kind, error)
    }
}

/// What may be told of an error: what the system said, or the code that S3 gave. Its own words have paths, URLs and whole answers in them.
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
    // The kind alone: its text may name a file.
    error.kind().to_string()
}

/// The first error of that type among the error and its causes.
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

/// Whether the answer says that the bucket's URL or its settings are wrong: waiting mends nothing.
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

/// The code within an answer such as `<Error><Code>NoSuchBucket</Code>…`.
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
