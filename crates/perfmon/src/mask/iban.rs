//! Numbers of bank accounts (IBAN).

use std::ops::Range;

use super::word::begins_a_word;

/// Countries, with how many characters a number of theirs has.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 \
    ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 \
    LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 \
    SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";
/// Dividers between the groups of four.
const DIVIDERS: [char; 6] = [' ', '-', '.', '_', '+', '\u{a0}'];
const GROUP: usize = 4;

/// Finds whole words that begin with a country code, have that country's length, and have correct
/// check digits. Of a hundred words that only look like one, one passes.
pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut end = 0;
    for at in 0..bytes.len().saturating_sub(GROUP) {
        let begins = bytes[at].is_ascii_alphabetic()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 2].is_ascii_digit()
            && bytes[at + 3].is_ascii_digit();
        if begins
            && at >= end
            && (begins_a_word(text, at) || bytes[at - 1] == b'_')
            && let Some(length) = length_of(&text[at..])
        {
            end = at + length;
            secrets.push(at..end);
        }
    }
}

/// How long the number is with which `text` begins.
fn length_of(text: &str) -> Option<usize> {
    let country = text[..2].to_ascii_uppercase();
    let wanted = LENGTHS.split(' ').find_map(|entry| entry.strip_prefix(&*country))?.parse::<usize>().ok()?;
    let (mut count, mut is_grouped, mut remainder, mut head) = (0, false, 0, 0);
    let mut chars = text.char_indices().peekable();
    while count < wanted {
        let (_, char) = chars.next()?;
        if DIVIDERS.contains(&char) && count > 0 && count % GROUP == 0 && (is_grouped || count == GROUP) {
            is_grouped = true;
            let (_, next) = chars.next()?;
            (count, remainder, head) = add(next, count, remainder, head)?;
        } else {
            if is_grouped && count % GROUP == 0 {
                return None;
            }
            (count, remainder, head) = add(char, count, remainder, head)?;
        }
    }
    let end = chars.peek().map_or(text.len(), |(at, _)| *at);
    let goes_on = chars.peek().is_some_and(|(_, char)| char.is_alphanumeric());
    // The country and its digits count as the last ones.
    let is_checked = (remainder * 1_000_000 + head) % 97 == 1;
    (is_checked && !goes_on).then_some(end)
}

/// Adds one more character. Returns how many there are, the remainder of those after the head, and
/// the head as a number.
fn add(char: char, count: usize, remainder: u64, head: u64) -> Option<(usize, u64, u64)> {
    let value = u64::from(char.to_digit(36).filter(|_| char.is_ascii())?);
    let shift = if value < 10 { 10 } else { 100 };
    Some(if count < GROUP {
        (count + 1, remainder, head * shift + value)
    } else {
        (count + 1, (remainder * shift + value) % 97, head)
    })
}
