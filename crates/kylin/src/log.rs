//! The log of a step: its two ends as `output`, all of it as a file.

use batchlingua_core::{BatchRef, Lines, Log, LogBody, LogQuery, LogSource, Operation};
use batchlingua_wire::{Body, RequestHead};
use http::{Response, header};

use crate::{
    FrontSettings, answer, control, convert,
    dto::StepOutput,
    error::Refusal,
    face::{Face, Spoken},
    native::{self, Words},
    query::Parameters,
};

/// Lines of each end that `output` shows.
pub(crate) const ENDS: u32 = 100;
/// What stands where lines are left out.
pub(crate) const DIVIDER: &str = "================================================================";
/// What stands where there is no log.
pub(crate) const NOTHING: &str = "There is no output of this step.";
const FILE: &str = "application/octet-stream";

/// The short log. `None`: the step is none of the job's.
pub(crate) fn output(head: &RequestHead, face: Face) -> Result<Option<Operation<BatchRef>>, Refusal> {
    match face {
        Face::V4 => needs_project(head)?,
        Face::V2 | Face::Legacy => {}
    }
    Ok(asked(head, Lines::HeadAndTail(ENDS)))
}

/// The whole log. `None`: the step is none of the job's.
pub(crate) fn file(head: &RequestHead) -> Result<Option<Operation<BatchRef>>, Refusal> {
    needs_project(head)?;
    Ok(asked(head, Lines::All))
}

/// What the calls of v4 on one job need.
pub(crate) fn needs_project(head: &RequestHead) -> Result<(), Refusal> {
    let project = Parameters(&head.target.query).given("project");
    project.map(drop).ok_or_else(|| Refusal::missing(400, "project"))
}

fn asked(head: &RequestHead, lines: Lines) -> Option<Operation<BatchRef>> {
    let source = LogSource::Step(convert::step_id(head.param(0), head.param(1))?);
    Some(Operation::Log(control::job(head.param(0)), LogQuery { lines, source }))
}

/// The answer to `output`.
pub(crate) fn encode_output(head: &RequestHead, spoken: Spoken, log: Option<&Log>) -> Response<Body> {
    let native = native::output(log.and_then(|log| log.native.as_ref()));
    // A stream is never asked for.
    let cmd_output = match (native, log.map(|log| (&log.body, log))) {
        (Some(native), _) => Words::Native(native),
        (None, Some((LogBody::Lines(lines), log))) => Words::Ours(with_divider(lines, log.from, log.total)),
        (None, Some((LogBody::Stream(_), _)) | None) => Words::Ours(NOTHING.to_owned()),
    };
    let nodes = (spoken.face == Face::V2).then_some([]);
    let output = StepOutput { job_id: head.param(0), step_id: head.param(1), cmd_output, nodes };
    answer::data(head, spoken, &output)
}

fn with_divider(lines: &[String], from: u64, total: Option<u64>) -> String {
    let mut shown: Vec<&str> = lines.iter().map(String::as_str).collect();
    if from > 0 {
        // The beginning is not there any more.
        shown.insert(0, DIVIDER);
    } else if total.is_some_and(|total| total > lines.len() as u64) {
        shown.insert(shown.len().min(ENDS as usize), DIVIDER);
    }
    shown.join("\n")
}

/// The answer to `log`; a stream becomes its body elsewhere.
pub(crate) fn encode_file(head: &RequestHead, settings: &FrontSettings, log: Option<&Log>) -> Response<Body> {
    let body = match log.map(|log| &log.body) {
        Some(LogBody::Lines(lines)) => lines.iter().map(|line| format!("{line}\n")).collect(),
        Some(LogBody::Stream(_)) | None => String::new(),
    };
    let mut response = answer::plain(200, Some(FILE), body);
    let project = Parameters(&head.target.query).given("project");
    let project = project.as_deref().unwrap_or(&settings.default_project);
    let name = file_name(&format!("{project}_{}.log", head.param(1)));
    answer::put(response.headers_mut(), header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    response
}

/// A name that is one on every disk and in every header.
fn file_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    name.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("line {at}")).collect()
    }

    #[test]
    fn the_divider_stands_where_lines_are_left_out() {
        let at =
            |lines: &[String], from, total| with_divider(lines, from, total).lines().position(|line| line == DIVIDER);
        assert_eq!(at(&lines(200), 0, Some(200)), None);
        assert_eq!(at(&lines(200), 0, Some(201)), Some(100));
        assert_eq!(at(&lines(30), 0, Some(201)), Some(30));
        assert_eq!(at(&lines(200), 10_000, Some(10_200)), Some(0));
        assert_eq!(at(&lines(5), 0, None), None);
    }

    #[test]
    fn no_name_leaves_its_header() {
        assert_eq!(file_name("re/tail\"\r\n_x_00.log"), "re_tail____x_00.log");
        assert_eq!(file_name("größe_1-2.log"), "gr__e_1-2.log");
    }
}
