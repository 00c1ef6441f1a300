//! One line of text from users: the rules that titles and attendees share.

use super::field::Problem;

/// Trims `text` and checks that 1 to `max` characters without line breaks or controls are left.
///
/// # Errors
///
/// [`Problem::Empty`], [`Problem::TooLong`] or [`Problem::ControlCharacter`].
pub(super) fn one_line(text: &str, max: usize) -> Result<&str, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    let found = text.chars().count();
    if found > max {
        return Err(Problem::TooLong { max, found });
    }
    match text.chars().find(|&c| breaks_a_line(c)) {
        Some(c) => Err(Problem::ControlCharacter(c)),
        None => Ok(text),
    }
}

/// Whether `c` is a control character or one of the two Unicode separators that end a line.
fn breaks_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_and_counts_characters_not_bytes() {
        assert_eq!(one_line("  ünïcödé \n", 7), Ok("ünïcödé"));
        assert_eq!(one_line("ünïcödé!", 7), Err(Problem::TooLong { max: 7, found: 8 }));
    }

    #[test]
    fn refuses_nothing_and_controls() {
        assert_eq!(one_line(" \t\r\n", 9), Err(Problem::Empty));
        for c in ['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}'] {
            assert_eq!(one_line(&format!("a{c}b"), 9), Err(Problem::ControlCharacter(c)));
        }
    }
}
