//! Asks before a change of many things.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use crate::failure::Failure;

/// Maximum number of bytes of an answer.
const LONGEST: u64 = 1_000;

/// Asks on the terminal whether that is meant. Without a terminal, `--yes` is needed.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    let (input, mut error) = (io::stdin(), io::stderr());
    if !input.is_terminal() {
        return Err(Failure::usage(format!("{question} Add --yes: there is no terminal to ask on")));
    }
    let asked = write!(error, "{question} [y/N] ").and_then(|()| error.flush());
    let mut answer = String::new();
    let answered = asked.and_then(|()| input.lock().take(LONGEST).read_line(&mut answer));
    answered.map_err(|error| Failure::usage(format!("no answer can be read: {error}")))?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(Failure::Declined) }
}
