//! The words that mean the same in every statement.

/// A word of the list below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyword(u8);

/// Words that a statement may begin with.
const STARTERS: &[&str] = &[
    "abort",
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "detach",
    "discard",
    "do",
    "drop",
    "end",
    "execute",
    "explain",
    "fetch",
    "grant",
    "insert",
    "listen",
    "lock",
    "merge",
    "move",
    "notify",
    "pragma",
    "prepare",
    "refresh",
    "reindex",
    "release",
    "replace",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "unlisten",
    "update",
    "vacuum",
    "values",
    "with",
];

/// Other words that are shown for an unreadable statement. A parenthesis after one of them is not a
/// call.
const OTHERS: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "by",
    "cascade",
    "case",
    "check",
    "collate",
    "conflict",
    "constraint",
    "cross",
    "default",
    "desc",
    "distinct",
    "else",
    "escape",
    "except",
    "exists",
    "false",
    "filter",
    "following",
    "for",
    "foreign",
    "from",
    "full",
    "glob",
    "group",
    "having",
    "if",
    "ilike",
    "immediate",
    "in",
    "index",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "locked",
    "match",
    "materialized",
    "natural",
    "not",
    "nothing",
    "notnull",
    "null",
    "nulls",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "preceding",
    "primary",
    "recursive",
    "references",
    "regexp",
    "restrict",
    "returning",
    "right",
    "rows",
    "similar",
    "skip",
    "some",
    "temporary",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "using",
    "view",
    "when",
    "where",
    "window",
    "without",
];

/// The shortest word and the longest that can be one, in bytes: as many as a `u128` holds.
const SHORTEST: usize = 2;
const LONGEST: usize = 16;
/// Makes letters lower case: no other byte of a word becomes a letter by it.
const SMALL: u128 = u128::from_ne_bytes([0x20; LONGEST]);
/// For each length the bytes of a word in a `u128`.
static OF_LENGTH: [u128; LONGEST + 1] = {
    let (mut masks, mut length) = ([u128::MAX; LONGEST + 1], 0);
    while length < LONGEST {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};
const COUNT: usize = STARTERS.len() + OTHERS.len();
/// About seven places a word, so that a look-up rarely looks twice.
const PLACES: usize = 1024;

static PACKED: [u128; COUNT] = packed();
/// Number of the word plus one, or 0.
static PLACE: [u8; PLACES] = places();

const fn word(number: usize) -> &'static str {
    if number < STARTERS.len() { STARTERS[number] } else { OTHERS[number - STARTERS.len()] }
}

const fn pack(word: &str) -> u128 {
    let (bytes, mut packed, mut at) = (word.as_bytes(), 0, 0);
    while at < bytes.len() {
        packed |= (bytes[at] as u128) << (8 * at);
        at += 1;
    }
    packed
}

const fn packed() -> [u128; COUNT] {
    let (mut packed, mut number) = ([0; COUNT], 0);
    while number < COUNT {
        packed[number] = pack(word(number));
        number += 1;
    }
    packed
}

#[expect(clippy::cast_possible_truncation, reason = "folded on purpose; ten bits are left of the product")]
const fn place(packed: u128) -> usize {
    let folded = (packed >> 64) as u64 ^ packed as u64;
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 255 words")]
const fn places() -> [u8; PLACES] {
    let (mut places, mut number) = ([0; PLACES], 0);
    while number < COUNT {
        let mut at = place(pack(word(number)));
        while places[at] != 0 {
            at = (at + 1) % PLACES;
        }
        places[at] = number as u8 + 1;
        number += 1;
    }
    places
}

impl Keyword {
    pub(super) const ALTER: Self = Self::of("alter");
    pub(super) const ARRAY: Self = Self::of("array");
    pub(super) const ATTACH: Self = Self::of("attach");
    pub(super) const DISTINCT: Self = Self::of("distinct");
    pub(super) const END: Self = Self::of("end");
    pub(super) const FALSE: Self = Self::of("false");
    pub(super) const FROM: Self = Self::of("from");
    pub(super) const IN: Self = Self::of("in");
    pub(super) const INTO: Self = Self::of("into");
    pub(super) const IS: Self = Self::of("is");
    pub(super) const JOIN: Self = Self::of("join");
    pub(super) const NOT: Self = Self::of("not");
    pub(super) const NULL: Self = Self::of("null");
    pub(super) const PRAGMA: Self = Self::of("pragma");
    pub(super) const SET: Self = Self::of("set");
    pub(super) const TABLE: Self = Self::of("table");
    pub(super) const TO: Self = Self::of("to");
    pub(super) const TRUE: Self = Self::of("true");
    pub(super) const UPDATE: Self = Self::of("update");
    pub(super) const VALUES: Self = Self::of("values");

    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 255 words")]
    const fn of(name: &str) -> Self {
        let (wanted, mut number) = (pack(name), 0);
        while pack(word(number)) != wanted {
            number += 1; // a word that is not on the list ends the build
        }
        Self(number as u8)
    }

    /// Returns the keyword that the first `length` bytes are, in any case.
    #[inline]
    pub(super) fn begins(bytes: &[u8], length: usize) -> Option<Self> {
        if !(SHORTEST..=LONGEST).contains(&length) {
            return None;
        }
        let packed = match bytes.first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            // Near the end of a statement.
            None => bytes.iter().rev().fold(0, |packed, &byte| packed << 8 | u128::from(byte)),
        };
        Self::find((packed | SMALL) & OF_LENGTH[length])
    }

    /// The keyword of these bytes, the first in the lowest place.
    fn find(packed: u128) -> Option<Self> {
        let mut at = place(packed);
        loop {
            let number = PLACE[at].checked_sub(1)?;
            if PACKED[usize::from(number)] == packed {
                return Some(Self(number));
            }
            at = (at + 1) % PLACES;
        }
    }

    /// The keyword that a word is, in whatever case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::begins(name.as_bytes(), name.len())
    }

    pub(super) fn starts_a_statement(self) -> bool {
        usize::from(self.0) < STARTERS.len()
    }

    pub(super) fn as_str(self) -> &'static str {
        word(usize::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_and_no_other() {
        for number in 0..COUNT {
            let name = word(number);
            assert!((SHORTEST..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase()));
            for behind in ["", " ", " and much more of it"] {
                let text = format!("{}{behind}", name.to_ascii_uppercase());
                assert_eq!(Keyword::begins(text.as_bytes(), name.len()).map(Keyword::as_str), Some(name));
            }
            let more = format!("{name}s");
            let other = Keyword::named(&more).map(Keyword::as_str);
            assert!(other.is_none_or(|other| other == more), "{more}: {other:?}");
        }
        for none in ["", "a", "a\u{0}", "\u{0}s", "a_", "is\u{0}", "materialized_views_of_mine"] {
            assert_eq!(Keyword::named(none), None, "{none:?}");
        }
    }

    #[test]
    fn keywords_that_start_a_statement_are_distinguished() {
        assert!(Keyword::UPDATE.starts_a_statement());
        assert!(!Keyword::FROM.starts_a_statement());
    }
}
