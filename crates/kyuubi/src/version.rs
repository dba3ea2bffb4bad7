//! Versions of Kyuubi, and what an adapter has to know of each.

use std::fmt;

/// A version as a server tells it, such as `1.12.0`, `1.6.1-incubating` or `1.13.0-SNAPSHOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    /// The newest that this adapter was held against.
    pub(crate) const NEWEST: Self = Self(1, 12, 0);
    /// The first that takes forms, ids of ours and Python, and that tells when an application began.
    pub(crate) const IDS: Self = Self(1, 7, 0);
    /// The first that passes over members that it does not know.
    pub(crate) const LENIENT: Self = Self(1, 7, 1);
    /// The first that takes other files than the application's with a submit.
    pub(crate) const EXTRA_FILES: Self = Self(1, 10, 0);

    /// Reads three numbers with anything behind them. `None`: it begins otherwise.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let last = parts.next()?;
        let digits = last.find(|c: char| !c.is_ascii_digit()).unwrap_or(last.len());
        Some(Self(major, minor, last[..digits].parse().ok()?))
    }

    /// Whether the client's own id of a batch is taken, and a second submit under it is the first one.
    pub(crate) fn takes_ids(self) -> bool {
        self >= Self::IDS
    }

    /// Whether Python programs are run.
    pub(crate) fn takes_python(self) -> bool {
        self >= Self::IDS
    }

    /// Whether a submit may bring the file that is run.
    pub(crate) fn takes_uploads(self) -> bool {
        self >= Self::IDS
    }

    /// Whether a submit may bring other files as well.
    pub(crate) fn takes_extra_files(self) -> bool {
        self >= Self::EXTRA_FILES
    }

    /// Whether members that it does not know are passed over.
    pub(crate) fn is_lenient(self) -> bool {
        self >= Self::LENIENT
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_tell_them_and_are_in_order() {
        let in_order = ["1.6.0-incubating", "1.6.1-incubating", "1.7.0", "1.7.1", "1.7.3", "1.10.0", "1.13.0-SNAPSHOT"];
        let read: Vec<_> = in_order.map(|text| Version::parse(text).expect("a version")).into();
        assert!(read.is_sorted_by(|a, b| a < b), "{read:?}");
        for none in ["", "latest", "1.7", "1.7.x", "v1.7.0", "1..0"] {
            assert_eq!(Version::parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_a_version_can_do_begins_where_it_began() {
        let can = |text: &str| {
            let version = Version::parse(text).expect("a version");
            [version.takes_ids(), version.is_lenient(), version.takes_extra_files()]
        };
        assert_eq!(can("1.6.1-incubating"), [false, false, false]);
        assert_eq!(can("1.7.0"), [true, false, false]);
        assert_eq!(can("1.7.1"), [true, true, false]);
        assert_eq!(can("1.9.4"), [true, true, false]);
        assert_eq!(can("1.10.0"), [true, true, true]);
    }
}
