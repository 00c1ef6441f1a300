//! Standard output, whose reader may close it at any time: `--print-settings | head`.

use std::io::{self, ErrorKind, Write};

/// Writes a line. A closed pipe is not an error.
///
/// # Errors
///
/// If the write fails for another reason, such as a full disk.
pub fn say(text: &str) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

/// Writes a line to standard error. Errors are ignored, because they cannot be reported anywhere.
pub fn complain(text: &str) {
    let _ = write_to(&mut io::stderr().lock(), text);
}

fn write_to(output: &mut impl Write, text: &str) -> io::Result<()> {
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(write_to(&mut Refusing(ErrorKind::BrokenPipe), "line").is_ok());
        let error = write_to(&mut Refusing(ErrorKind::StorageFull), "line").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
