//! What the tables keep of a password.

use std::fmt;

/// What is kept of a password: salt, costs and hash, in the form of PHC.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword(String);

impl StoredPassword {
    /// The text, for the tables.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that was made earlier.
    pub fn from_table(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(****)")
    }
}
