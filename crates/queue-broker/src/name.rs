//! Checks of names of queues, kinds and keys. Names are short and plain, since they become keys,
//! labels and paths.

/// Longest queue name, in bytes.
const QUEUE_LIMIT: usize = 64;
/// Longest kind, in bytes.
const KIND_LIMIT: usize = 128;

/// Longest ordering or unique key, in bytes.
const KEY_LIMIT: usize = 256;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("the name is empty")]
    Empty,
    /// The name is longer than allowed.
    #[error("the name has {bytes} bytes, above the limit of {limit}")]
    TooLong {
        /// Length given.
        bytes: usize,
        /// Length allowed.
        limit: usize,
    },
    /// A character outside the allowed set.
    #[error("character {character:?} at byte {at} is not allowed; use letters, digits and {allowed}")]
    BadCharacter {
        /// The first such character.
        character: char,
        /// Its offset in bytes.
        at: usize,
        /// Characters allowed besides ASCII letters and digits.
        allowed: &'static str,
    },
}

/// Checks a queue name: 1 to 64 of ASCII letters, digits, `_`, `-` and `.`.
///
/// # Errors
/// [`NameError`] names the fault.
pub fn check_queue_name(name: &str) -> Result<(), NameError> {
    check(name, QUEUE_LIMIT, "_-.")
}

/// Checks a kind of job: 1 to 128 of ASCII letters, digits, `_`, `-`, `.`, `:` and `/`.
///
/// # Errors
/// [`NameError`] names the fault.
pub fn check_kind(kind: &str) -> Result<(), NameError> {
    check(kind, KIND_LIMIT, "_-.:/")
}

/// Checks an ordering or unique key: 1 to 256 bytes without control characters.
///
/// # Errors
/// [`NameError`] names the fault.
pub(crate) fn check_key(key: &str) -> Result<(), NameError> {
    check_length(key, KEY_LIMIT)?;
    match key.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, character)) => {
            Err(NameError::BadCharacter { character, at, allowed: "anything but control characters" })
        }
        None => Ok(()),
    }
}

fn check_length(text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > limit {
        return Err(NameError::TooLong { bytes: text.len(), limit });
    }
    Ok(())
}

/// Checks a name of ASCII letters, digits and `allowed`, of 1 to `limit` bytes.
///
/// # Errors
/// The fault of the name.
pub fn check(text: &str, limit: usize, allowed: &'static str) -> Result<(), NameError> {
    check_length(text, limit)?;
    let bad = text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !allowed.contains(*c));
    match bad {
        Some((at, character)) => Err(NameError::BadCharacter { character, at, allowed }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_a_key() {
        assert_eq!(check_queue_name(""), Err(NameError::Empty));
        let long = "q".repeat(10_240);
        assert_eq!(check_queue_name(&long), Err(NameError::TooLong { bytes: 10_240, limit: 64 }));
        for bad in ["a b", "{q}", "a\0", "käse", "a:b", "../x/y"] {
            assert!(matches!(check_queue_name(bad), Err(NameError::BadCharacter { .. })), "{bad}");
        }
        assert_eq!(check_queue_name("import-v2.eu_1"), Ok(()));
        assert_eq!(check_kind("mail:welcome/v2"), Ok(()));
    }
}
