//! What a text has, so that what can't be in it isn't looked for.

/// Found in one pass.
#[derive(Default)]
pub(super) struct Traits {
    digits: usize,
    pub(super) has_at: bool,
    /// `=`, `:`, quotes, and `>` and `$` as in `<password>` and `$$`: characters between a key and
    /// its value.
    has_signs: bool,
    /// As an option begins, and a key block.
    pub(super) has_dashes: bool,
    /// Blanks, also in the form of a URL.
    pub(super) has_blanks: bool,
    pub(super) has_slashes: bool,
    /// `%` and `\`, each of which may begin a character that is written by its number.
    pub(super) has_escapes: bool,
}

impl Traits {
    pub(super) fn of(text: &str) -> Self {
        let mut traits = Self::default();
        let mut before = 0;
        for &byte in text.as_bytes() {
            match byte {
                b'0'..=b'9' => traits.digits += 1,
                b'a'..=b'z' | b'A'..=b'Z' => {}
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c' | b'+' => traits.has_blanks = true,
                b'=' | b':' | b'"' | b'\'' | b'>' | b'$' => traits.has_signs = true,
                b'-' => traits.has_dashes |= before == b'-',
                b'/' => traits.has_slashes = true,
                b'@' => traits.has_at = true,
                // In a URL within a URL a `%` is a sign as well.
                b'%' => {
                    traits.has_escapes = true;
                    traits.has_signs = true;
                }
                b'\\' => traits.has_escapes = true,
                _ => {}
            }
            before = byte;
        }
        traits
    }

    pub(super) fn may_have_url(&self) -> bool {
        self.has_signs && self.has_slashes
    }

    pub(super) fn may_have_pair(&self) -> bool {
        self.has_signs || self.has_dashes
    }

    pub(super) fn may_have_card(&self) -> bool {
        const SHORTEST: usize = 13;
        self.digits >= SHORTEST
    }

    /// Two check digits, and in no country only letters behind them.
    pub(super) fn may_have_iban(&self) -> bool {
        const FEWEST: usize = 4;
        self.digits >= FEWEST
    }
}
