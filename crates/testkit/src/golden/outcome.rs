//! What a backend made of a request, as lines that a person can write.
//!
//! ```text
//! # Comments and empty lines are left out.
//! batch ordinal=0 uuid=6f1c… native=mem-0 state=running name=nightly arg=a arg="b c" tail="line 1" tail="line 2"
//!     step id=s0 name="Build" state=succeeded created=1767225600000
//!     native dialect=livy word=running
//!     | {"id":0,"state":"running"}
//! submitted ordinal=0 state=starting replayed=true          (the same keys)
//! page total=2                                              (then one `batch` line for each row)
//! log ordinal=0 from=3 total=5                              (then `| ` and one line of the log each; stream=true: as a stream)
//! controlled ordinal=0 before=running effect=ended:cancelled (or accepted, already_ended:failed, nothing_to_do; or an `error` line)
//!                                                           (then the `batch` line of how it stands after that, if it is told)
//! nothing                                                   (no batch was to be acted on)
//! error kind=not_found batch=7 message="no batch '7' is known here"
//!     native dialect=livy status=404 type=application/json
//!     | {"msg":"Session '7' not found."}
//! notes backend=here stale=3 unmapped="queue, conf:k"
//! request GET /batches/0/state                              (where a case has no request.http)
//! ```
//!
//! A value with blanks stands in quotes, where `\"`, `\\`, `\n` and `\t` are read. How far a line is indented makes no difference.

mod build;
mod lines;

use std::iter::Peekable;

use batchlingua_core::{Batch, BatchId, Controlled, Cursor, Error, Log, LogBody, Notes, Outcome, Page, Reply};
use bytes::Bytes;
use futures_util::stream;

use lines::Line;
pub(super) use lines::{parse_lines, take_face};

/// An outcome that was written down.
#[derive(Debug)]
pub(super) enum Written {
    Reply(Box<Reply<BatchId>>),
    Error(Box<Error>),
}

/// Reads an outcome; beside it the request line, if it has one.
pub(super) fn parse_outcome(text: &str) -> Result<(Option<String>, Written), String> {
    let mut notes = Notes::default();
    let (mut request, mut main) = (None, Vec::new());
    for line in parse_lines(text)? {
        match line.noun.as_str() {
            "notes" => notes = build::notes(line)?,
            "request" => request = Some(line.words()?),
            _ => main.push(line),
        }
    }
    let mut lines = main.into_iter().peekable();
    let Some(first) = lines.next() else { return Err("there is no outcome".to_owned()) };
    let written = match first.noun.as_str() {
        "batch" => Outcome::Batch(batch(first, &mut lines)?.into()),
        "submitted" => {
            let mut line = first;
            let replayed = line.flag("replayed")?;
            Outcome::Submitted { batch: batch(line, &mut lines)?.into(), replayed }
        }
        "page" => {
            let mut line = first;
            let total = line.number("total")?;
            let next = line.text("next").map(Cursor);
            line.finish()?;
            let mut rows = Vec::new();
            while let Some(row) = lines.next_if(|next| next.noun == "batch") {
                rows.push(batch(row, &mut lines)?.into());
            }
            Outcome::Page(Page { rows, total, next })
        }
        "log" => log(first)?,
        "nothing" => {
            first.finish()?;
            Outcome::Controlled(Vec::new())
        }
        "controlled" => {
            let mut all = Vec::new();
            let mut line = Some(first);
            while let Some(mut now) = line {
                let id = build::id(&mut now)?;
                let before = build::state(&mut now, "before")?;
                let result = match now.text("effect") {
                    Some(effect) => Ok(build::effect(&effect)?),
                    None => {
                        let error = lines.next_if(|next| next.noun == "error");
                        let error = error.ok_or("a controlled line needs an effect=, or an error line after it")?;
                        let native = lines.next_if(|next| next.noun == "native");
                        Err(build::error(error, native)?)
                    }
                };
                now.finish()?;
                let after = match lines.next_if(|next| next.noun == "batch") {
                    Some(row) => Some(batch(row, &mut lines)?.into()),
                    None => None,
                };
                all.push(Controlled { id, before, result, after });
                line = lines.next_if(|next| next.noun == "controlled");
            }
            Outcome::Controlled(all)
        }
        "error" => {
            let native = lines.next_if(|next| next.noun == "native");
            let error = build::error(first, native)?;
            return nothing_left(lines).map(|()| (request, Written::Error(Box::new(error))));
        }
        other => return Err(format!("line {}: `{other}` is no outcome", first.number)),
    };
    nothing_left(lines)?;
    Ok((request, Written::Reply(Box::new(Reply { outcome: written, notes }))))
}

/// A batch with the lines that belong to it.
fn batch(line: Line, lines: &mut Peekable<impl Iterator<Item = Line>>) -> Result<Batch<BatchId>, String> {
    let mut parts = Vec::new();
    while let Some(part) = lines.next_if(|next| matches!(next.noun.as_str(), "step" | "native")) {
        parts.push(part);
    }
    build::batch(line, parts)
}

fn log(mut line: Line) -> Result<Outcome<BatchId>, String> {
    let id = build::id(&mut line)?;
    let from = line.number("from")?.unwrap_or(0);
    let total = line.number("total")?;
    let as_stream = line.flag("stream")?;
    let lines = std::mem::take(&mut line.text);
    line.finish()?;
    let body = if as_stream {
        let pieces: Vec<_> = lines.into_iter().map(|line| Ok(Bytes::from(line + "\n"))).collect();
        LogBody::Stream(Box::pin(stream::iter(pieces)))
    } else {
        LogBody::Lines(lines)
    };
    Ok(Outcome::Log(id, Log { from, total, body, native: None }))
}

fn nothing_left(mut lines: impl Iterator<Item = Line>) -> Result<(), String> {
    match lines.next() {
        Some(line) => Err(format!("line {}: `{}` does not belong here", line.number, line.noun)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{BatchState, Effect, ErrorKind, Missing, NativeId};

    use super::*;

    fn reply(text: &str) -> Reply<BatchId> {
        match parse_outcome(text) {
            Ok((_, Written::Reply(reply))) => *reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_has_what_its_line_says() {
        let text = "request GET /batches/7?x=1\n# a comment\nbatch ordinal=7 native=7 state=running name=\"a \\\"b\\\"\" arg=x \
            arg=\"y z\" conf.spark.x=1 ext.dli.sc_type=\"\\\"A\\\"\" tail=\"one\\ntwo\" owner=ana created=5\n  native dialect=livy \
            word=running\n  | {\"id\":\n  |  7}\nnotes backend=here stale=3 unmapped=queue\n";
        let (request, written) = parse_outcome(text).expect("an outcome");
        assert_eq!(request.as_deref(), Some("GET /batches/7?x=1"));
        let Written::Reply(reply) = written else { panic!("a reply") };
        let Reply { outcome: Outcome::Batch(batch), notes } = *reply else { panic!("a batch") };
        assert_eq!((batch.id.ordinal, batch.id.native.as_ref()), (7, Some(&NativeId::from("7"))));
        assert_eq!((batch.state, batch.spec.name.as_deref()), (BatchState::Running, Some("a \"b\"")));
        assert_eq!((batch.spec.args.join("|"), batch.spec.conf.get("spark.x")), ("x|y z".to_owned(), Some("1")));
        assert_eq!(
            (batch.spec.extensions[0].value.as_str(), batch.log_tail.join("|")),
            ("\"A\"", "one|two".to_owned())
        );
        assert_eq!(batch.native.as_ref().map(|native| native.object.as_ref()), Some(b"{\"id\":\n 7}".as_slice()));
        assert_eq!((notes.stale_seconds, notes.unmapped[0].to_string()), (Some(3), "queue".to_owned()));
    }

    #[test]
    fn every_other_outcome_is_read() {
        let Outcome::Page(page) =
            reply("page total=9\nbatch ordinal=1 state=queued\nbatch ordinal=2 state=failed").outcome
        else {
            panic!("a page")
        };
        assert_eq!((page.total, page.rows.len(), page.rows[1].state), (Some(9), 2, BatchState::Failed));
        let Outcome::Log(_, log) = reply("log ordinal=1 from=3 total=5\n| a\n|  b\n").outcome else { panic!("a log") };
        assert!(matches!(log.body, LogBody::Lines(lines) if lines == ["a", " b"]));
        let text = "controlled ordinal=1 before=running effect=ended:cancelled\nbatch ordinal=1 state=cancelled\n\
            controlled ordinal=2 before=failed\nerror kind=illegal_state state=failed allowed=restart";
        let Outcome::Controlled(all) = reply(text).outcome else { panic!("controlled") };
        assert!(matches!(all[0].result, Ok(Effect::Ended(BatchState::Cancelled))));
        assert_eq!(all[0].after.as_ref().map(|batch| batch.state), Some(BatchState::Cancelled));
        assert!(all[1].after.is_none());
        assert!(matches!(reply("nothing").outcome, Outcome::Controlled(all) if all.is_empty()));
        assert!(
            matches!(&all[1].result, Err(Error { kind: ErrorKind::IllegalState { allowed, .. }, .. }) if allowed.len() == 1)
        );
        let text = "error kind=not_found batch=7 message=\"gone\"\nnative dialect=livy status=404 type=a/b\n| x";
        let Ok((_, Written::Error(error))) = parse_outcome(text) else { panic!("an error") };
        assert_eq!(error.kind, ErrorKind::NotFound(Missing::Batch("7".into())));
        assert_eq!(error.native.expect("the native answer").body.as_ref(), b"x");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, told) in [
            ("", "no outcome"),
            ("\nbatch ordinal=1 state=lively", "line 2: state=lively"),
            ("batch ordinal=1 state=running colour=red", "line 1: `colour` is not known"),
            ("batch state=running", "ordinal= or uuid="),
            ("batch ordinal=1 state=running name=\"a", "line 1: a quote is not closed"),
            ("error kind=weird", "line 1: kind=weird"),
            ("error kind=internal\nbatch ordinal=1 state=running", "line 2: `batch` does not belong here"),
        ] {
            let error = parse_outcome(text).expect_err(text);
            assert!(error.contains(told), "{text:?} gave {error:?}");
        }
    }
}
