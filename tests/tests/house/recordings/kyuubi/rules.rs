//! Where our Kyuubi differs from Kyuubi's own on purpose.

use super::levels;
use crate::recordings::rules::{Count::Exactly, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "nothing-of-the-request-is-told",
        reason: "what a DELETE says names the batch and not the command line or the stored request, in which conf and args stand with their secrets",
        count: Exactly(12),
        level: levels::told_nothing,
    },
    Rule {
        name: "log-outlives-delete",
        reason: "a log is kept as long as its batch: neither a DELETE nor a restart takes it away",
        count: Exactly(3),
        level: levels::kept_log,
    },
    Rule {
        name: "every-master-is-watched",
        reason: "under a master that Kyuubi cannot watch a batch is PENDING for ever and cannot be cancelled; here every batch is seen and cancelled",
        count: Exactly(4),
        level: levels::watched,
    },
    Rule {
        name: "one-id-one-batch",
        reason: "an id in another spelling is the same id: it repeats no submit, cancels nobody's batch and goes on to be found",
        count: Exactly(8),
        level: levels::spellings,
    },
    Rule {
        name: "others-id-is-refused",
        reason: "who asks with the id of somebody else's batch is not shown that batch",
        count: Exactly(1),
        level: levels::others_id,
    },
    Rule {
        name: "every-local-file-is-checked",
        reason: "a resource without a scheme is a local file, also one that is relative to a folder nobody knows: the local backend runs what lies in its folders",
        count: Exactly(3),
        level: levels::unchecked_files,
    },
    Rule {
        name: "no-text-that-cannot-be-kept",
        reason: "half a surrogate pair is no text, and a zero byte can stand on no command line",
        count: Exactly(2),
        level: levels::no_text,
    },
    Rule {
        name: "always-answers",
        reason: "a priority that is no number costs Kyuubi a thread and the client its answer; here it means nothing",
        count: Exactly(1),
        level: levels::answers,
    },
    Rule {
        name: "out-of-scope",
        reason: "SQL sessions, the moving of batches between servers and the OpenAPI document are not served: 404 in the product's words",
        count: Exactly(7),
        level: levels::out_of_scope,
    },
    Rule {
        name: "parser-page",
        reason: "what cannot be read as HTTP is refused by the HTTP library before any dialect is known: 400 or the same class of status, no page of Jetty's",
        count: Exactly(4),
        level: levels::parser_page,
    },
    Rule {
        name: "longer-heads",
        reason: "our limits of the request line and the head are above Jetty's 8 KiB",
        count: Exactly(2),
        level: levels::longer_heads,
    },
    Rule {
        name: "no-jetty",
        reason: "an error page does not say that it is powered by Jetty, and links nowhere",
        count: Exactly(2),
        level: levels::no_jetty,
    },
    Rule {
        name: "length-and-chunks",
        reason: "of both a length and chunks the HTTP library takes the chunks and closes the connection after the answer (RFC 9112, 6.1 and 6.3)",
        count: Exactly(1),
        level: levels::length_and_chunks,
    },
    Rule {
        name: "broken-off",
        reason: "a body that breaks off is the client's fault: 400, not 500",
        count: Exactly(1),
        level: levels::broken_off,
    },
    Rule {
        name: "several-hosts",
        reason: "two Host headers are a way around rules that look at one of them (RFC 9112, 3.2: 400)",
        count: Exactly(1),
        level: levels::two_hosts,
    },
    Rule {
        name: "foreign-host",
        reason: "without authentication a Host that is neither a loopback name nor ours is refused: it is how a web page would get in",
        count: Exactly(1),
        level: levels::foreign_host,
    },
    Rule {
        name: "lines-of-a-form",
        reason: "the lines of a form end with CR and LF (RFC 2046, 4.1.1)",
        count: Exactly(1),
        level: levels::bare_lf,
    },
];

/// Through a proxy to a Kyuubi.
pub(super) const BETWEEN: &[Rule] = &[];
