//! A writer that stores its input for a test.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A writer that stores all its input. Clones share it: one is passed to the code under test, and
/// the other is read.
#[derive(Clone, Debug, Default)]
pub struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// All text written so far. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Page {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.bytes().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
