//! What is told to lists after a commit.

use std::sync::Arc;

use batchlingua_core::{Phase, RowId};

use crate::row::Row;

/// A change of a row that lists may have.
#[derive(Clone, Debug)]
pub(crate) enum Moved {
    /// Who changed it has seen what it was.
    Seen { was: Option<Arc<Row>>, is: Option<Arc<Row>> },
    /// Nobody here has: another process has changed it, or it was changed without a look. What it is now, however often it has changed since.
    Told { row: RowId, is: Option<Arc<Row>> },
}

fn listed(row: Option<Arc<Row>>) -> Option<Arc<Row>> {
    row.filter(|row| row.entry.phase == Phase::Accepted)
}

impl Moved {
    /// Nothing, if no list has or had it.
    pub(crate) fn of(was: Option<Arc<Row>>, is: Option<Arc<Row>>) -> Option<Self> {
        let (was, is) = (listed(was), listed(is));
        (was.is_some() || is.is_some()).then_some(Self::Seen { was, is })
    }

    pub(crate) fn told(row: RowId, is: Option<Arc<Row>>) -> Self {
        Self::Told { row, is: listed(is) }
    }

    pub(super) fn is(&self) -> Option<&Arc<Row>> {
        match self {
            Self::Seen { is, .. } | Self::Told { is, .. } => is.as_ref(),
        }
    }

    pub(super) fn row(&self) -> Option<RowId> {
        match self {
            Self::Seen { was, is } => was.as_ref().or(is.as_ref()).map(|row| row.id()),
            Self::Told { row, .. } => Some(*row),
        }
    }
}
