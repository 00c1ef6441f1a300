use super::test_ground::{Files, TestCertificate};
use super::*;

fn refused(files: &Files) -> String {
    load(&files.settings()).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_a_pair_is_told_and_nothing_of_a_key() {
    let (made, other) = (TestCertificate::new(), TestCertificate::new());
    let files = Files::of(&made);
    let good = load(&files.settings()).unwrap();
    assert!(good.warnings.is_empty(), "{:?}", good.warnings);

    let cut = &made.certificate[..made.certificate.len() / 2];
    for (certificate, key, words) in [
        ("", made.key.as_str(), "certificate.pem contains no certificate"),
        (&made.key, &made.key, "certificate.pem contains no certificate"),
        (cut, &made.key, "certificate.pem is incomplete"),
        (&made.certificate, &made.certificate, "key.pem contains no private key"),
        (&made.certificate, &made.key[..made.key.len() / 2], "key.pem is incomplete"),
        (&made.certificate, &other.key, "does not match the certificate in"),
    ] {
        files.write("certificate.pem", certificate);
        files.write("key.pem", key);
        let said = refused(&files);
        assert!(said.contains(words), "{words}: {said}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!said.contains(secret), "{said}");
    }
    fs::remove_file(files.path("certificate.pem")).unwrap();
    let said = refused(&files);
    assert!(said.contains("tls.certificate") && said.contains("can't be read"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_key_that_everybody_can_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::of(&TestCertificate::new());
    for (mode, is_told) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(files.path("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
        let warnings = load(&files.settings()).unwrap().warnings;
        assert_eq!(warnings.iter().any(|warning| warning.contains("is readable by every user")), is_told, "{mode:o}");
    }
}
