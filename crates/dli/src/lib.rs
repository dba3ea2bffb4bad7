//! The DLI dialect.

use batchlingua_wire::Adapter;

/// Its name.
const NAME: &str = "dli";

/// DLI.
pub const ADAPTER: Adapter = Adapter { name: NAME, dialect: None, platform: None };
