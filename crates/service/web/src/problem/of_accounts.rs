//! Answers to faults of names, mail addresses and passwords of users.

use tidegate_domain::password::PasswordError;
use tidegate_model::user::BadField;

use super::Problem;

impl From<BadField> for Problem {
    fn from(error: BadField) -> Self {
        let kind = match error {
            BadField::Email => "bad-email",
            BadField::Name => "bad-name",
            _ => "bad-password",
        };
        Self::unprocessable(kind, error.to_string())
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                Self::unavailable("overloaded", "too many passwords are being checked; try again later")
            }
            other => Self::internal(&other),
        }
    }
}
