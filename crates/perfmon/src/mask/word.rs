//! Words that begin with what is known of secrets.

use super::scan::is_word;

/// The start of a word, in lower-case ASCII letters, and its meaning.
pub(super) struct Needle<M> {
    pub(super) text: &'static str,
    pub(super) means: M,
}

/// Needles by their first letters, so that most words are compared with none.
pub(super) struct Needles<M: 'static> {
    all: &'static [Needle<M>],
    /// For each letter where its needles begin and end.
    by_letter: [(usize, usize); 26],
}

impl<M> Needles<M> {
    /// Creates them from needles in the order of their first letters.
    pub(super) const fn new(all: &'static [Needle<M>]) -> Self {
        let mut by_letter = [(0, 0); 26];
        let mut at = 0;
        while at < all.len() {
            let letter = (all[at].text.as_bytes()[0] - b'a') as usize;
            if by_letter[letter].1 == 0 {
                by_letter[letter].0 = at;
            }
            at += 1;
            assert!(at == 1 || all[at - 2].text.as_bytes()[0] <= all[at - 1].text.as_bytes()[0], "not in order");
            by_letter[letter].1 = at;
        }
        Self { all, by_letter }
    }

    /// The words of a text that begin with one of these, in whatever case: where, and with which.
    pub(super) fn find_in<'a>(&'static self, text: &'a str) -> impl Iterator<Item = (usize, &'static Needle<M>)> + 'a {
        let bytes = text.as_bytes();
        let mut before = b' ';
        bytes.iter().enumerate().filter_map(move |(at, byte)| {
            let is_start = byte.is_ascii_alphabetic() && !before.is_ascii_alphanumeric();
            before = *byte;
            if !is_start {
                return None;
            }
            let (start, end) = self.by_letter[usize::from(byte.to_ascii_lowercase() - b'a')];
            let begins = |needle: &&Needle<M>| {
                let needle = needle.text.as_bytes();
                bytes.get(at..at + needle.len()).is_some_and(|here| here.eq_ignore_ascii_case(needle))
            };
            let needle = self.all[start..end].iter().find(begins)?;
            begins_a_word(text, at).then_some((at, needle))
        })
    }
}

/// Whether no word goes on before `at`.
pub(super) fn begins_a_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(is_word)
}

/// Returns whether a text looks like a key rather than like a word, a name or a number. It must be
/// long enough, use only characters of keys, and mix letters with digits.
pub(super) fn is_random(text: &str, shortest: usize) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=%".contains(&byte);
    text.len() >= shortest
        && text.bytes().all(is_part)
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Returns whether a text consists of ordinary words, alone or joined as in `read-only` and
/// `tenant_id`, and of short numbers among them.
pub(super) fn is_prose(text: &str) -> bool {
    const MOST_DIGITS: usize = 5;
    let is_number = |part: &str| part.len() <= MOST_DIGITS && part.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.trim_end_matches(['.', ':', '!', '?']);
    !text.is_empty() && text.split(['-', '_', '.', '/']).all(|part| is_number(part) || is_written(part))
}

/// Returns whether letters can be a word: lower case, perhaps with a first capital, or all
/// capitals, and without long groups of consonants.
fn is_written(word: &str) -> bool {
    const SHORT: usize = 5;
    const LONGEST: usize = 20;
    let Some(first) = word.chars().next() else { return true };
    let rest = &word[first.len_utf8()..];
    let is_cased = !rest.contains(char::is_uppercase) || !word.contains(char::is_lowercase);
    let is_vowel = |char: char| !char.is_ascii() || "aeiouyAEIOUY".contains(char);
    word.len() <= LONGEST
        && is_cased
        && word.chars().all(char::is_alphabetic)
        && word.split(is_vowel).all(|consonants| consonants.len() <= SHORT)
}
