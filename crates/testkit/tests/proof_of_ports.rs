//! The hardest call of each dialect that comes next, carried by the ports before any of these dialects is written.
//!
//! Each dialect here is as small as its one call needs: it decodes the exact bytes to the model value, and encodes what came of it. What
//! the ports lacked for that they have now: a part's content type and what an upload is for (Kyuubi), the project that a request is
//! about and a log that comes as a stream (Kylin), a body that is nobody's but the relay's (Livy). That a new state, error kind or action
//! is thought about everywhere needs no test: every match over them names each variant, and the compiler points at the others.

#[path = "proof_of_ports/dli.rs"]
mod dli;
#[path = "proof_of_ports/kylin.rs"]
mod kylin;
#[path = "proof_of_ports/kyuubi.rs"]
mod kyuubi;
#[path = "proof_of_ports/livy.rs"]
mod livy;

use std::{path::Path, sync::Arc};

use batchlingua_core::{Operation, Result};
use batchlingua_testkit::golden::parse_request;
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, Face, FormLimits, Match, RequestBody, RequestHead, find, read_form,
};
use bytes::Bytes;
use http::{Response, request::Parts};
use http_body_util::BodyExt;

/// A request as a listener has it just before it is decoded.
struct Entered {
    parts: Parts,
    head: RequestHead,
    body: RequestBody,
    /// What nobody has read: the route said so.
    unread: Bytes,
}

async fn enter(dialect: &dyn Dialect, bytes: &[u8], spool: &Path) -> Result<Entered> {
    enter_below("", dialect, bytes, spool).await
}

async fn enter_below(prefix: &str, dialect: &dyn Dialect, bytes: &[u8], spool: &Path) -> Result<Entered> {
    let face = Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:10099".into(),
        path_prefix: prefix.into(),
        csrf: false,
        single: true,
        authenticated: false,
    };
    let (parts, bytes) = parse_request(bytes).expect("a request").into_parts();
    let mut head = RequestHead::new("r-1".into(), &parts, Arc::new(face)).expect("a readable target");
    let Match::Route(route, params) = find(dialect.routes(), &head) else { panic!("no route for {}", parts.uri) };
    (head.route, head.params) = (Some(route), params);
    let content_type = head.header("content-type").unwrap_or("").to_owned();
    let limits = FormLimits { dir: spool.to_owned(), max_parts: 10, max_values: 10_000, max_files: 10_000 };
    let (body, unread) = match route.body {
        BodyKind::None => (RequestBody::Empty, Bytes::new()),
        BodyKind::Stream => (RequestBody::Empty, bytes),
        BodyKind::FormOrBytes if content_type.starts_with("multipart/form-data") => {
            // A few bytes at a time, as a socket gives them.
            let pieces: Vec<_> = bytes.chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            (read_form(&content_type, futures_util::stream::iter(pieces), &limits).await?, Bytes::new())
        }
        BodyKind::Bytes | BodyKind::FormOrBytes => (RequestBody::Bytes(bytes), Bytes::new()),
    };
    Ok(Entered { parts, head, body, unread })
}

fn operation<D: Dialect>(
    dialect: &D,
    head: &RequestHead,
    body: RequestBody,
) -> Result<Operation<batchlingua_core::BatchRef>> {
    match dialect.decode(head, body)? {
        Decoded::Operation(operation) => Ok(operation),
        other => panic!("no operation: {other:?}"),
    }
}

async fn text(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
}

fn json_answer(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let answer = Response::builder().status(status).header("Content-Type", "application/json");
    answer.body(Body::full(body)).expect("a response")
}

/// The half of [`Dialect`] that the calls here have no use for.
macro_rules! little_dialect {
    ($routes:ident) => {
        fn name(&self) -> &batchlingua_core::DialectName {
            &self.0
        }

        fn routes(&self) -> &'static [batchlingua_wire::Route] {
            &$routes
        }

        fn claims(&self, _: &RequestHead) -> bool {
            true
        }

        fn ownership(&self) -> batchlingua_wire::Ownership {
            batchlingua_wire::Ownership::Shared
        }

        fn encode_miss(&self, _: &RequestHead, _: &batchlingua_wire::Miss) -> Response<Body> {
            crate::json_answer(404, "{}")
        }
    };
}
use little_dialect;
