//! Stored passwords.

use std::fmt;

/// A hashed password: salt, costs and hash in PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword(String);

impl StoredPassword {
    /// Returns the text for the tables.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps a text from the tables.
    pub fn from_table(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(****)")
    }
}
