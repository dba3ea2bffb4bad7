//! A refusal as the ledger keeps it: one line of text, from which the same answer can be made again.
//!
//! A submit with an `Idempotency-Key` that was refused is answered the same when it comes again, after a restart too; so the kind of the
//! failure has to be kept beside its message. The ledger has one text for both, and people read it: `invalid_request(file): no such file`.
//! What a backend of the client's own dialect had said in its own bytes is not kept.

use std::time::Duration;

use batchlingua_core::{Clash, Denial, Error, ErrorKind, Fault, Missing, Unproven, redact};
use percent::{decoded, encoded};

/// The error whose message is what the ledger is to keep.
pub(crate) fn stored(error: &Error) -> Error {
    // Masked before they are encoded: the ledger would not know a secret behind an escape.
    let args: Vec<String> = args_of(&error.kind).iter().map(|arg| encoded(&redact::line(arg))).collect();
    let args = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
    Error::new(error.kind.clone(), format!("{}{args}: {}", error.kind.as_str(), error.message))
}

/// The refusal that was stored. A text of another form is a backend's own word.
pub(crate) fn recalled(text: &str) -> Error {
    let parsed = text.split_once(": ").and_then(|(head, message)| Some(Error::new(kind_of(head)?, message)));
    parsed.unwrap_or_else(|| Error::new(ErrorKind::BackendRejected, text))
}

fn args_of(kind: &ErrorKind) -> Vec<String> {
    let seconds = || kind.retry_after_seconds().unwrap_or_default().to_string();
    match kind {
        ErrorKind::InvalidRequest { field, fault } => match fault {
            Fault::Malformed => vec![field.clone()],
            Fault::PathOutside(path) => vec![field.clone(), "path_outside".into(), path.clone()],
            Fault::NotAllowed => vec![field.clone(), "not_allowed".into()],
        },
        ErrorKind::NotFound(missing) => match missing {
            Missing::Batch(id) => vec!["batch".into(), id.clone()],
            Missing::Log => vec!["log".into()],
            Missing::Step(id) => vec!["step".into(), id.clone()],
            Missing::Project(name) => vec!["project".into(), name.clone()],
            Missing::Queue(name) => vec!["queue".into(), name.clone()],
        },
        ErrorKind::Conflict(clash) => match clash {
            Clash::Name { name, ordinal } => vec!["name".into(), name.clone(), ordinal.to_string()],
            Clash::KeyReused => vec!["key_reused".into()],
            Clash::KeyInFlight { .. } => vec!["key_in_flight".into(), seconds()],
            Clash::NotYours => vec!["not_yours".into()],
        },
        ErrorKind::Unsupported { backend, what } => vec![backend.to_string(), what.clone()],
        ErrorKind::TooLarge { limit, max } => vec![(*limit).to_owned(), max.to_string()],
        ErrorKind::Throttled { .. } | ErrorKind::BackendUnavailable { .. } => vec![seconds()],
        // No answer to a submit: recalled as a backend's refusal.
        ErrorKind::IllegalState { .. } | ErrorKind::Ambiguous { .. } => Vec::new(),
        ErrorKind::Forbidden(denial) => match denial {
            Denial::RunAs { wanted } => vec!["run_as".into(), wanted.clone()],
            Denial::Owner { owner } => vec!["owner".into(), owner.clone()],
            Denial::Project(name) => vec!["project".into(), name.clone()],
            Denial::Queue(name) => vec!["queue".into(), name.clone()],
            Denial::Origin | Denial::Backend => Vec::new(),
        },
        // Nothing is written for a client that nobody knows: a refusal with this kind is the backend's, of the proxy's own credentials.
        ErrorKind::Unauthenticated(_) => Vec::new(),
        ErrorKind::BackendRejected | ErrorKind::BackendTimeout | ErrorKind::Internal => Vec::new(),
    }
}

fn kind_of(head: &str) -> Option<ErrorKind> {
    let (word, args) = match head.split_once('(') {
        Some((word, args)) => (word, args.strip_suffix(')')?),
        None => (head, ""),
    };
    let args: Vec<String> = args.split(", ").map(decoded).collect();
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Some(match (word, args.as_slice()) {
        ("invalid_request", [field, fault @ ..]) => {
            let fault = match fault {
                [] => Fault::Malformed,
                ["path_outside", path] => Fault::PathOutside((*path).to_owned()),
                ["not_allowed"] => Fault::NotAllowed,
                _ => return None,
            };
            ErrorKind::InvalidRequest { field: (*field).to_owned(), fault }
        }
        ("not_found", what) => ErrorKind::NotFound(match what {
            ["batch", id] => Missing::Batch((*id).to_owned()),
            ["log"] => Missing::Log,
            ["step", id] => Missing::Step((*id).to_owned()),
            ["project", name] => Missing::Project((*name).to_owned()),
            ["queue", name] => Missing::Queue((*name).to_owned()),
            _ => return None,
        }),
        ("conflict", what) => ErrorKind::Conflict(match what {
            ["name", name, ordinal] => Clash::Name { name: (*name).to_owned(), ordinal: ordinal.parse().ok()? },
            ["key_reused"] => Clash::KeyReused,
            ["key_in_flight", after] => Clash::KeyInFlight { retry_after: seconds(after)? },
            ["not_yours"] => Clash::NotYours,
            _ => return None,
        }),
        ("unsupported", [backend, what]) => {
            ErrorKind::Unsupported { backend: (*backend).into(), what: (*what).to_owned() }
        }
        ("too_large", [limit, max]) => {
            let known = ["max_body", "max_parts", "max_upload"];
            let limit = known.into_iter().find(|known| known == limit).unwrap_or("the backend's limit");
            ErrorKind::TooLarge { limit, max: max.parse().ok()? }
        }
        ("throttled", [after]) => ErrorKind::Throttled { retry_after: seconds(after)? },
        ("backend_unavailable", [after]) => ErrorKind::BackendUnavailable { retry_after: seconds(after)? },
        ("unauthenticated", _) => ErrorKind::Unauthenticated(Unproven::Wrong),
        ("forbidden", what) => ErrorKind::Forbidden(match what {
            ["run_as", wanted] => Denial::RunAs { wanted: (*wanted).to_owned() },
            ["owner", owner] => Denial::Owner { owner: (*owner).to_owned() },
            ["project", name] => Denial::Project((*name).to_owned()),
            ["queue", name] => Denial::Queue((*name).to_owned()),
            _ => Denial::Backend,
        }),
        ("backend_timeout", _) => ErrorKind::BackendTimeout,
        ("internal", _) => ErrorKind::Internal,
        ("backend_rejected" | "illegal_state" | "ambiguous", _) => ErrorKind::BackendRejected,
        _ => return None,
    })
}

/// Arguments may hold whatever a client wrote; what stands between them may not.
mod percent {
    pub(super) fn encoded(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '%' | ',' | '(' | ')' | ':' | '=' => out.push_str(&format!("%{:02X}", c as u32)),
                c => out.push(c),
            }
        }
        out
    }

    pub(super) fn decoded(text: &str) -> String {
        ["%2C,", "%28(", "%29)", "%3A:", "%3D=", "%25%"]
            .iter()
            .fold(text.to_owned(), |text, pair| text.replace(&pair[..3], &pair[3..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_recalled_as_it_was() {
        let odd = || "a, (b): %2C%c".to_owned();
        let after = Duration::from_secs(7);
        let kinds = [
            ErrorKind::InvalidRequest { field: odd(), fault: Fault::Malformed },
            ErrorKind::InvalidRequest { field: "file".into(), fault: Fault::PathOutside(odd()) },
            ErrorKind::InvalidRequest { field: "file".into(), fault: Fault::NotAllowed },
            ErrorKind::Unauthenticated(Unproven::Wrong),
            ErrorKind::Forbidden(Denial::Backend),
            ErrorKind::Forbidden(Denial::RunAs { wanted: odd() }),
            ErrorKind::Forbidden(Denial::Owner { owner: odd() }),
            ErrorKind::Forbidden(Denial::Project(odd())),
            ErrorKind::Forbidden(Denial::Queue(odd())),
            ErrorKind::NotFound(Missing::Queue(odd())),
            ErrorKind::NotFound(Missing::Project(odd())),
            ErrorKind::NotFound(Missing::Log),
            ErrorKind::Conflict(Clash::Name { name: odd(), ordinal: 7 }),
            ErrorKind::Conflict(Clash::NotYours),
            ErrorKind::Unsupported { backend: "here".into(), what: odd() },
            ErrorKind::TooLarge { limit: "max_upload", max: 5 },
            ErrorKind::Throttled { retry_after: after },
            ErrorKind::BackendUnavailable { retry_after: after },
            ErrorKind::BackendRejected,
            ErrorKind::BackendTimeout,
            ErrorKind::Internal,
        ];
        for kind in kinds {
            let error = Error::new(kind, "no: it (really) cannot");
            let again = recalled(&stored(&error).message);
            assert_eq!((again.kind, again.message), (error.kind, error.message));
        }
    }

    #[test]
    fn no_secret_hides_behind_an_escape() {
        let kind = ErrorKind::InvalidRequest {
            field: "file".into(),
            fault: Fault::PathOutside("s3://u:hunter2@h/token=hunter3".into()),
        };
        let text = stored(&Error::new(kind, "outside")).message;
        assert!(!text.contains("hunter"), "{text}");
        assert!(matches!(recalled(&text).kind, ErrorKind::InvalidRequest { .. }));
    }

    #[test]
    fn a_text_of_another_form_is_a_backends_own_word() {
        for text in ["requirement failed: no", "the backend refused the batch", "invalid_request(a, b): c", ""] {
            let error = recalled(text);
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::BackendRejected, text));
        }
    }
}
