//! Commands and their arguments.

use bytes::Bytes;
use fred::types::Value as Fred;

/// An argument of a command or a script: bytes, text or a number. Sent unchanged, never
/// interpreted.
#[derive(Clone, Debug)]
pub struct Arg(pub(crate) Fred);

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self(Fred::from(text))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self(Fred::from(text))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self(Fred::from(text))
    }
}

impl From<Bytes> for Arg {
    fn from(bytes: Bytes) -> Self {
        Self(Fred::from(bytes))
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Fred::from(Bytes::from(bytes)))
    }
}

impl From<&[u8]> for Arg {
    fn from(bytes: &[u8]) -> Self {
        Self(Fred::from(bytes))
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self(Fred::from(number))
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self(Fred::from(number))
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        match i64::try_from(number) {
            Ok(number) => Self::from(number),
            Err(_) => Self::from(number.to_string()),
        }
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

/// A command with its arguments.
///
/// ```
/// # use tidegate_redis::Command;
/// let set = Command::new("SET").key("greeting").arg("hello").arg("PX").arg(1500_u64);
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<Fred>,
    /// Position of the first key, which decides the node of a cluster.
    pub(crate) first_key: Option<usize>,
    pub(crate) is_idempotent: bool,
}

impl Command {
    /// Creates a command. The name is in capitals.
    pub fn new(name: &'static str) -> Self {
        Self { name, args: Vec::with_capacity(4), first_key: None, is_idempotent: false }
    }

    /// Adds a key. The first key decides which node of a cluster gets the command, so all keys must
    /// share its slot.
    #[must_use]
    pub fn key(mut self, key: impl Into<Arg>) -> Self {
        self.first_key.get_or_insert(self.args.len());
        self.arg(key)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into().0);
        self
    }

    /// Declares that running it twice has the same effect as once. It is then sent again if the
    /// reply was lost. Otherwise a command is sent once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    pub(crate) fn key_bytes(&self) -> Option<&[u8]> {
        fred_bytes(self.args.get(self.first_key?)?)
    }
}

fn fred_bytes(value: &Fred) -> Option<&[u8]> {
    match value {
        Fred::String(text) => Some(text.as_bytes()),
        Fred::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
