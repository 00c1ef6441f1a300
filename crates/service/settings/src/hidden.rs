//! A secret that the process uses but never shows.

/// A secret that is sent to another server, and so is kept as text. Secrets that are only compared
/// are a [`Secret`](crate::Secret).
#[derive(Clone)]
pub struct Hidden(Box<str>);

impl Hidden {
    /// Wraps the text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text. It must not reach a log, an error or a response.
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
