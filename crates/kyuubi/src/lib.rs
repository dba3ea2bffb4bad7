//! The Kyuubi dialect.

use batchlingua_wire::Adapter;

/// Its name.
const NAME: &str = "kyuubi";

/// Kyuubi.
pub const ADAPTER: Adapter = Adapter { name: NAME, dialect: None, platform: None };
