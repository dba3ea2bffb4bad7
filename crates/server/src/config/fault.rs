//! What is wrong with a configuration file: every fault at once, each with its place and what to change.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file, line and column counted from 1; `None` if it is about no file, or the file as a whole.
    pub place: Option<(usize, usize)>,
    /// The key's path, such as `backend.here.concurrency`; empty if the fault is about no key.
    pub path: String,
    /// What is wrong and what to change.
    pub message: String,
}

/// Every fault of one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file's name as it was given.
    pub file: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl Faults {
    /// A fault of the file as a whole.
    pub(super) fn of_file(file: &str, message: impl fmt::Display) -> Self {
        let fault = Fault { place: None, path: String::new(), message: message.to_string() };
        Self { file: file.to_owned(), faults: vec![fault] }
    }
}

/// One line for each fault, in the form that editors and CI logs turn into links.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some((line, column)) = fault.place {
                write!(f, ":{line}:{column}")?;
            }
            if !fault.path.is_empty() {
                write!(f, ": {}", fault.path)?;
            }
            write!(f, ": {}", fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
