//! The Kylin dialect.

use batchlingua_wire::Adapter;

/// Its name.
const NAME: &str = "kylin";

/// Kylin.
pub const ADAPTER: Adapter = Adapter { name: NAME, dialect: None, platform: None };
