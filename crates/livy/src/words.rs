//! How Jackson says where: a place in the text and the way to it through the objects that are being built.

const SOURCE: &str = "org.eclipse.jetty.server.HttpInputOverHTTP";
const SCALA: &str = "com.fasterxml.jackson.module.scala.deser";

/// A place in a document, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    /// In bytes.
    pub(crate) column: usize,
}

impl Place {
    /// The place of a byte. `lead` bytes stood before the first line.
    pub(crate) fn of(text: &str, offset: usize, lead: usize) -> Self {
        let before = &text[..offset];
        let row_start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        // A CR and the LF after it end one line.
        let line = before.matches(['\n', '\r']).count() - before.matches("\r\n").count() + 1;
        let lead = if row_start == 0 { lead } else { 0 };
        Self { line, column: offset - row_start + lead + 1 }
    }

    /// The place with its source.
    pub(crate) fn source(self) -> String {
        format!("[Source: ({SOURCE}); line: {}, column: {}]", self.line, self.column)
    }

    /// What follows a complaint.
    pub(crate) fn words(self) -> String {
        format!("\n at {}", self.source())
    }
}

/// The way to a value through what is being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    Root,
    Member(&'a str),
    /// An element of a member's list.
    Element(&'a str, usize),
    /// A pair of a member's object.
    Entry(&'a str, &'a str),
}

impl Path<'_> {
    /// What follows the place, if an object of this class is being built.
    pub(crate) fn through(self, class: &str) -> String {
        let member = |name: &str| format!(" (through reference chain: {class}[\"{name}\"]");
        match self {
            Self::Root => String::new(),
            Self::Member(name) => format!("{})", member(name)),
            Self::Element(name, at) => {
                format!("{}->{SCALA}.GenericFactoryDeserializerResolver$BuilderWrapper[{at}])", member(name))
            }
            Self::Entry(name, key) => {
                format!("{}->{SCALA}.GenericMapFactoryDeserializerResolver$BuilderWrapper[\"{key}\"])", member(name))
            }
        }
    }
}
