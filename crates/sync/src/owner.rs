//! Owners of permits and operations.

use std::sync::LazyLock;

/// Number of digits at the start of each owner that identify its process.
const PROCESS: usize = 8;

static OWN: LazyLock<String> = LazyLock::new(|| format!("{:0PROCESS$x}", rand::random::<u32>()));

/// Returns a unique token: 8 digits of [this process](process), then 96 random bits in
/// hexadecimal.
pub(crate) fn generate() -> String {
    format!("{}{:024x}", process(), rand::random::<u128>() >> 32)
}

/// The first digits of all owners of this process.
pub(crate) fn process() -> &'static str {
    &OWN
}

#[cfg(test)]
mod tests {
    use super::{generate, process};

    #[test]
    fn owners_differ_and_have_one_length() {
        let (one, two) = (generate(), generate());
        assert_ne!(one, two);
        assert_eq!((one.len(), two.len()), (32, 32));
    }

    #[test]
    fn owners_of_one_process_begin_alike() {
        assert!(generate().starts_with(process()));
        assert_eq!(process().len(), 8);
    }
}
