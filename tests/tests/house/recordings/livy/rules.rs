//! Where our Livy differs from Livy's own on purpose.

use super::levels;
use crate::recordings::rules::{
    Count::{AtMost, Exactly},
    Rule,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no-ghosts",
        reason: "a refused submit leaves nothing behind: no batch without a job in lists and under its id, no name held by it",
        count: Exactly(4),
        level: levels::ghosts,
    },
    Rule {
        name: "survives-restart",
        reason: "batches are in the ledger and their jobs run on: a restart forgets and kills nothing, and no id is used twice",
        count: Exactly(3),
        level: levels::survives_restart,
    },
    Rule {
        name: "no-method-override",
        reason: "`_method` and X-HTTP-Method-Override are ignored: what authorizes by method in front of us must be able to rely on it",
        count: Exactly(2),
        level: levels::no_override,
    },
    Rule {
        name: "numeric-strings",
        reason: "Airflow sends core and executor counts as strings, which Livy answers with 500: numbers in strings are taken",
        count: Exactly(2),
        level: levels::numeric_strings,
    },
    Rule {
        name: "log-survives-bad-utf8",
        reason: "bytes that are no UTF-8 are replaced; Livy loses the log at the first of them and lets the job hang on a full pipe",
        count: Exactly(2),
        level: levels::bad_utf8,
    },
    Rule {
        name: "conf-order",
        reason: "Livy gives --conf in the order of a Scala hash map, which means nothing to spark-submit",
        count: Exactly(1),
        level: levels::conf_order,
    },
    Rule {
        name: "parser-page",
        reason: "what cannot be read as HTTP is refused by the HTTP library before any dialect is known: 400 or the same class of status, no page of Jetty's",
        count: Exactly(12),
        level: levels::parser_page,
    },
    Rule {
        name: "gzip-refused",
        reason: "gzip;q=0 says that the client cannot read gzip",
        count: Exactly(1),
        level: levels::gzip_refused,
    },
    Rule {
        name: "foreign-host",
        reason: "without authentication a Host that is neither a loopback name nor ours is refused: it is how a web page would get in",
        count: Exactly(2),
        level: levels::foreign_host,
    },
    Rule {
        name: "livy-prefix",
        reason: "the same API is served under /livy for clients of gateways that add the prefix",
        count: Exactly(1),
        level: levels::livy_prefix,
    },
    Rule {
        name: "no-ui",
        reason: "Livy's pages, their files and its metrics servlet are out of scope",
        count: Exactly(4),
        level: levels::no_ui,
    },
    Rule {
        name: "every-local-file-is-checked",
        reason: "`local:` and `FILE:` name files of this machine too, and so does what follows a comma: Livy's list of allowed folders is deaf to them, ours is not",
        count: Exactly(8),
        level: levels::unchecked_files,
    },
    Rule {
        name: "check-order",
        reason: "which local files may be named is the backend's to say, after all that the front says: of two faults the other one is told",
        count: Exactly(1),
        level: levels::check_order,
    },
    Rule {
        name: "refused-before-it-is-started",
        reason: "a command line that the system would not take is refused with the limit by name; Livy fails with 500 and keeps a ghost",
        count: Exactly(1),
        level: levels::not_started,
    },
    Rule {
        name: "whole-group-is-told",
        reason: "a DELETE tells the job's whole process group to end, and bash says so of its command if one ran just then; Livy tells the first process only",
        count: AtMost(2),
        level: levels::whole_group,
    },
    Rule {
        name: "no-half-pairs",
        reason: "half a surrogate pair is no text that could be kept or put on a command line",
        count: Exactly(1),
        level: levels::half_a_pair,
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
        name: "equal-lengths",
        reason: "two equal Content-Length headers say nothing different, and the HTTP library takes them (RFC 9112, 6.3)",
        count: Exactly(1),
        level: levels::equal_lengths,
    },
];

/// Through a proxy to a Livy.
pub(super) const BETWEEN: &[Rule] = &[Rule {
    name: "marker-name",
    reason: "a batch without a name gets one on the wire, by which its submit is found again after an unknown outcome; clients are not shown it",
    count: Exactly(17),
    level: levels::marker_name,
}];
