//! All dialects on one listener, in process, over one backend: for the matrix and for the bench `fronts`.

use std::{sync::Arc, time::Duration};

use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{Backend, Clock, Ledger};
use batchlingua_router::{
    Access, Anyone, BackendSlot, CallLimits, CircuitLimits, Gateway, GatewayParts, Limits, ListenerParts,
    ListenerService, RouteMatch, RouteRule, Routing, Silent,
};
use batchlingua_wire::{Dialect, Face, Settings};

/// A proxy that runs, every dialect with its defaults, its one backend too.
pub(crate) fn service(
    backend: Arc<dyn Backend>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    limits: Limits,
) -> ListenerService {
    let make = |adapter: &batchlingua_wire::Adapter| -> Option<Arc<dyn Dialect>> {
        let made = adapter.dialect?(Settings::new(adapter.name, serde_json::json!({})));
        Some(made.unwrap_or_else(|_| panic!("the defaults of {} are good", adapter.name)))
    };
    let dialects: Vec<_> = ADAPTERS.iter().filter_map(make).collect();
    let names = dialects.iter().map(|dialect| dialect.name().clone()).collect();
    let matches = RouteMatch::default();
    // What the matrix is about is what a platform shows at this moment, and has just come back to.
    let calls = CallLimits {
        freshness: Duration::ZERO,
        circuit: CircuitLimits { failures: 0, ..CircuitLimits::default() },
        ..CallLimits::default()
    };
    let gateway = Gateway::new(GatewayParts {
        dialects,
        backends: vec![BackendSlot { limits: calls, ..BackendSlot::new("here", backend) }],
        routing: Routing { rules: vec![RouteRule { matches, ..RouteRule::all_to("here".into()) }] },
        ledger,
        clock,
        observer: Arc::new(Silent),
        limits,
    });
    gateway.start();
    let face = Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".into(),
        path_prefix: String::new(),
        csrf: false,
        single: false,
        authenticated: false,
    };
    gateway.listener(ListenerParts {
        face,
        dialects: names,
        access: Access::default(),
        auth: Arc::new(Anyone),
        trust_real_ip: false,
    })
}
