//! The one place where commands write their answers. Whoever reads them may have read enough (`| head`): that ends the command quietly.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Writes the text and a newline.
pub(crate) fn line(text: &str) -> ExitCode {
    ended(writeln!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
}

/// Writes the text as it is.
pub(crate) fn text(text: &str) -> ExitCode {
    ended(write!(io::stdout().lock(), "{text}").and_then(|()| io::stdout().flush()))
}

/// How a command ends whose writing ended so.
pub(crate) fn ended(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("batchlingua: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
