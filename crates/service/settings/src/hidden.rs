//! A value that is used, and never shown.

/// A secret that has to be said to somebody else, and so is kept as it is; [`Secret`](super::Secret) is for those that are
/// only compared.
#[derive(Clone)]
pub struct Hidden(Box<str>);

impl Hidden {
    /// Keeps the text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text. It belongs into no log, no error and no answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;

    #[test]
    fn it_is_told_to_whoever_asks_and_shown_to_nobody() {
        let hidden = Hidden::new("hunter2");
        assert_eq!(hidden.reveal(), "hunter2");
        assert_eq!(format!("{hidden:?}"), "Hidden(****)");
    }
}
