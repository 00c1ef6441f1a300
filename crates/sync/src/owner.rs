//! Who holds something.

/// A token that nobody else has: 128 random bits in hexadecimal.
pub(crate) fn generate() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::generate;

    #[test]
    fn owners_differ_and_have_one_length() {
        let (one, two) = (generate(), generate());
        assert_ne!(one, two);
        assert_eq!((one.len(), two.len()), (32, 32));
    }
}
