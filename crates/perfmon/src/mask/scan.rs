//! Steps over a text.

/// Returns where the text from `start` ends: at the first character that `ends` it, or with the
/// text.
pub(super) fn end_of(text: &str, start: usize, ends: impl Fn(char) -> bool) -> usize {
    text[start..].find(ends).map_or(text.len(), |length| start + length)
}

/// Behind the blanks at `start`.
pub(super) fn skip_blanks(text: &str, start: usize) -> usize {
    end_of(text, start, |char| !matches!(char, ' ' | '\t'))
}

/// Whether a character may be part of a word, of whatever language.
pub(super) fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
