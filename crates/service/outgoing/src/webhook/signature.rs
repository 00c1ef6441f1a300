//! The signature of a body, by which a receiver verifies the sender and the time.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Returns `sha256=` and the HMAC in hexadecimal digits over the timestamp, a dot and the body. The
/// timestamp prevents that an old message is sent again as a new one.
pub(super) fn of(key: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    for part in [timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn it_agrees_with_openssl() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key-0123456789abcdef
        let expected = "sha256=8a091117e0b1ccf5034d0d8c06ab42b29a4451a72f95b56f22afaf6bfb7af0d3";
        assert_eq!(of("key-0123456789abcdef", "1700000000", "{\"a\":1}"), expected);
        assert_ne!(of("key-0123456789abcdef", "1700000001", "{\"a\":1}"), expected);
        assert_ne!(of("key-0123456789abcdeg", "1700000000", "{\"a\":1}"), expected);
    }
}
