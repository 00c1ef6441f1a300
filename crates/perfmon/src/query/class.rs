//! What a byte may be to a statement.

pub(super) const BLANK: u8 = 1;
pub(super) const START: u8 = 2; // of a word
pub(super) const DIGIT: u8 = 4;
pub(super) const OPERATOR: u8 = 8;
pub(super) const DOLLAR: u8 = 16;
pub(super) const QUOTE: u8 = 32; // of any dialect
pub(super) const FOREIGN: u8 = 64; // not ASCII
pub(super) const CAPITAL: u8 = 128;
pub(super) const WORD: u8 = START | DIGIT | DOLLAR;

#[expect(clippy::cast_possible_truncation, reason = "a byte")]
pub(super) static CLASS: [u8; 256] = {
    let (mut class, mut byte) = ([0; 256], 0);
    while byte < 256 {
        class[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => BLANK,
            b'A'..=b'Z' => START | CAPITAL,
            b'a'..=b'z' | b'_' => START,
            0x80.. => START | FOREIGN,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            b'\'' | b'"' | b'`' => QUOTE,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|'
            | b'?' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    class
};

#[inline]
pub(super) fn is(byte: Option<u8>, class: u8) -> bool {
    byte.is_some_and(|byte| CLASS[usize::from(byte)] & class != 0)
}

/// How many of the first bytes are of a word, and their classes together.
#[inline]
pub(super) fn word(bytes: &[u8]) -> (usize, u8) {
    let mut classes = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let class = CLASS[usize::from(byte)];
        if class & WORD == 0 {
            return (at, classes);
        }
        classes |= class;
    }
    (bytes.len(), classes)
}
