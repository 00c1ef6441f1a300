//! A position in the text of a rule.

/// Most characters of a text that an error repeats.
const SHOWN: usize = 32;

/// Reads a text from left to right.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The rest of the text, without leading blanks.
    pub(super) fn rest(&mut self) -> &'a str {
        let left = &self.text[self.at..];
        let rest = left.trim_start();
        self.at += left.len() - rest.len();
        rest
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Takes the sign if it comes next.
    pub(super) fn take(&mut self, sign: char) -> bool {
        let is_next = self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len_utf8();
        }
        is_next
    }

    /// Takes the characters that follow and are wanted.
    pub(super) fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|next| !is_wanted(next)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Takes the text up to the sign, and the sign. `None` if the sign is missing.
    pub(super) fn take_until(&mut self, sign: char) -> Option<&'a str> {
        let left = &self.text[self.at..];
        let end = left.find(sign)?;
        self.at += end + sign.len_utf8();
        Some(&left[..end])
    }

    /// The character that comes next, counted from 1.
    pub(super) fn position(&mut self) -> usize {
        self.rest();
        self.text[..self.at].chars().count() + 1
    }

    /// The next word, for error texts.
    pub(super) fn found(&mut self) -> String {
        let word: String = self.rest().chars().take_while(|next| !next.is_whitespace()).take(SHOWN).collect();
        if word.is_empty() { "the end".to_owned() } else { format!("`{word}`") }
    }
}
