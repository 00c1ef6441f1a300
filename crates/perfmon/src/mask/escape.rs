//! Texts in which characters are written by their numbers.

use std::ops::Range;

/// A text with its escapes resolved, and the original position of each of its bytes.
pub(super) struct Unescaped {
    pub(super) text: String,
    /// One for each byte, and the end.
    places: Vec<usize>,
}

impl Unescaped {
    /// Resolves `%41` and `\u0041`, once; `None` if there are none. Text that would not be valid
    /// UTF-8 stays as it is.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let first = (0..bytes.len()).find(|&at| escape_at(bytes, at).is_some())?;
        let mut plain = Self { text: String::with_capacity(text.len()), places: Vec::with_capacity(text.len() + 1) };
        plain.take(text, 0..first);
        let mut at = first;
        while at < bytes.len() {
            let run = Run::at(bytes, at);
            if run.bytes.is_empty() {
                // No character is cut: `%` and `\` are part of no other.
                let end = bytes[at + 1..].iter().position(|byte| matches!(byte, b'%' | b'\\'));
                let end = end.map_or(bytes.len(), |length| at + 1 + length);
                plain.take(text, at..end);
                at = end;
            } else {
                plain.take_run(text, &run, at);
                at = run.end();
            }
        }
        plain.places.push(text.len());
        Some(plain)
    }

    /// Returns the original range of `range`.
    pub(super) fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.places[range.start]..self.places[range.end]
    }

    fn take(&mut self, text: &str, range: Range<usize>) {
        self.text.push_str(&text[range.clone()]);
        self.places.extend(range);
    }

    fn take_run(&mut self, text: &str, run: &Run, start: usize) {
        let begins = || std::iter::once(start).chain(run.ends.iter().copied());
        if let Ok(resolved) = std::str::from_utf8(&run.bytes) {
            self.text.push_str(resolved);
            self.places.extend(begins().take(run.bytes.len()));
            return;
        }
        for ((&byte, begin), &end) in run.bytes.iter().zip(begins()).zip(&run.ends) {
            if byte.is_ascii() {
                self.text.push(byte.into());
                self.places.push(begin);
            } else {
                self.take(text, begin..end);
            }
        }
    }
}

/// Escapes that follow each other: together they may be one character.
struct Run {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Run {
    fn at(text: &[u8], mut at: usize) -> Self {
        let mut run = Self { bytes: Vec::new(), ends: Vec::new() };
        while let Some((byte, length)) = escape_at(text, at) {
            at += length;
            run.bytes.push(byte);
            run.ends.push(at);
        }
        run
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }
}

/// Returns the byte that is escaped at `at`, and the length of the escape. For `\u` only ASCII:
/// other numbers are not bytes.
fn escape_at(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at)? {
        b'%' => Some((hexadecimal(text.get(at + 1..at + 3)?)?, 3)),
        b'\\' => {
            let number = text.get(at + 1..at + 6)?.strip_prefix(b"u00")?;
            Some((hexadecimal(number).filter(u8::is_ascii)?, 6))
        }
        _ => None,
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}
