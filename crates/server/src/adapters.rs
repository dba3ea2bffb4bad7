//! Everything that this binary speaks. A further dialect or platform is one crate and one more entry here: configuration, routing, the demo
//! and the metrics take it from there.

use batchlingua_wire::Adapter;

/// All adapters.
pub const ADAPTERS: &[Adapter] = &[
    batchlingua_kyuubi::ADAPTER,
    batchlingua_livy::ADAPTER,
    batchlingua_dli::ADAPTER,
    batchlingua_kylin::ADAPTER,
    batchlingua_local::ADAPTER,
];
