//! A batch as Kylin shows a job.
//!
//! A batch of a backend without steps is shown as a job of one step, `<id>_00` (`<id>-00` in the legacy face): Kylin's clients look for the
//! application and the log there. "Not yet" is 0 and never null; a span that goes on is counted up to now.

use std::collections::BTreeMap;

use batchlingua_core::{Batch, BatchId, BatchState, Extension, Millis, Times, Uuid};

use crate::{
    FrontSettings, NAME,
    dto::{Failure, Job, Job2, JobInstance, LegacyStep, Step},
    span::Spans,
    state::Status,
};

/// What a client takes for the version of the record.
pub(crate) const VERSION: &str = "5.0.0";
/// Of the only step.
const STEP: &str = "Run Spark Batch";
/// Kylin's own default.
const COMMAND: &str = "SHELL_CMD_HADOOP";
/// The general code of a step's failure.
const FAILED: &str = "KE-030001000";
/// What kind of job it is, as a Kylin says of its own: kept with the batch, so that lists find it by that.
pub(crate) const JOB_NAME: &str = "job_name";

/// An id as clients are shown it: a Kylin's own id that is longer than a uuid, else the uuid.
pub(crate) fn shown_id(id: &BatchId) -> String {
    let native = id.native.as_ref().map(|native| native.as_str()).filter(|native| is_model_job(native));
    native.map_or_else(|| id.uuid.to_string(), str::to_owned)
}

/// Two uuids with a stroke between them.
fn is_model_job(id: &str) -> bool {
    let is_uuid = |text: Option<&str>| text.is_some_and(|text| text.len() == 36 && Uuid::parse_str(text).is_ok());
    id.len() == 73 && id.as_bytes()[36] == b'-' && is_uuid(id.get(..36)) && is_uuid(id.get(37..))
}

/// A batch with what it is shown by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) batch: &'a Batch<BatchId>,
    pub(crate) settings: &'a FrontSettings,
    /// Up to when spans are counted that go on. `None`: they are gaps.
    pub(crate) now: Option<Millis>,
}

fn at(time: Option<Millis>) -> i64 {
    time.map_or(0, |time| time.0)
}

impl<'a> Shown<'a> {
    fn id(&self) -> String {
        shown_id(&self.batch.id)
    }

    fn spans(&self, times: &Times, state: BatchState) -> Spans {
        self.now.map_or(Spans::GAPS, |now| Spans::of(times, state, now))
    }

    fn project(&self) -> &'a str {
        self.batch.project.as_ref().map_or(&self.settings.default_project, |project| project.as_str())
    }

    fn job_name(&self) -> &'a str {
        let own = |extension: &&Extension| extension.dialect.as_str() == NAME && extension.name == JOB_NAME;
        let kind = self.batch.spec.extensions.iter().find(own).map(|extension| extension.value.as_str());
        // It is JSON, and of a kind of job no letter is written otherwise there.
        let kind = kind.and_then(|kind| kind.strip_prefix('"')?.strip_suffix('"')).filter(|kind| !kind.contains('\\'));
        kind.unwrap_or(&self.settings.job_name)
    }

    /// How much of it is done, as far as that can be told from outside: half while it runs.
    fn ratio(&self) -> f64 {
        let has_run = self.batch.times.started.is_some();
        match self.batch.state {
            BatchState::Queued | BatchState::Starting => 0.0,
            BatchState::Running => 0.5,
            BatchState::Succeeded => 1.0,
            BatchState::Paused | BatchState::Failed | BatchState::Cancelled | BatchState::Unknown if has_run => 0.5,
            BatchState::Paused | BatchState::Failed | BatchState::Cancelled | BatchState::Unknown => 0.0,
        }
    }

    /// As lists of v4 show it.
    pub(crate) fn job(&self) -> Job<'a> {
        let Batch { times, state, spec, .. } = self.batch;
        let Spans { wait, run, total } = self.spans(times, *state);
        Job {
            id: self.id(),
            last_modified: times.modified.0,
            duration: run,
            total_duration: total,
            exec_start_time: at(times.started),
            steps: Vec::new(),
            job_status: Status::of(*state).name(),
            job_name: self.job_name(),
            data_range_start: 0,
            data_range_end: i64::MAX,
            target_model: spec.program(),
            target_segments: [],
            step_ratio: self.ratio(),
            create_time: times.created.0,
            wait_time: wait,
            target_subject: spec.title(),
            target_subject_error: *state == BatchState::Unknown,
            project: self.project(),
            submitter: self.batch.user(),
            exec_end_time: at(times.ended),
            discard_safety: true,
            tag: (),
            snapshot_data_range: (),
            job_scheduler_mode: "CHAIN",
            segments: [],
            version: None,
            related_segment: "",
            progress: 0.0,
        }
    }

    /// With its steps, as v4 would show one job.
    pub(crate) fn whole_job(&self) -> Job<'a> {
        let steps = self.steps();
        let done = steps.iter().filter(|step| step.step_status == Status::Finished.name()).count();
        let progress = 100.0 * done as f64 / steps.len() as f64;
        Job { steps, progress, ..self.job() }
    }

    /// As v2 shows it.
    pub(crate) fn job2(&self) -> Job2<'a> {
        let mut job = Job { version: Some(VERSION), ..self.whole_job() };
        job.steps.iter_mut().for_each(|step| step.exec_wait_time = Some(step.wait_time));
        Job2 {
            project_name: job.project,
            related_cube: job.target_subject,
            display_cube_name: job.target_subject,
            uuid: job.id.clone(),
            kind: (),
            name: job.job_name,
            exec_interrupt_time: 0,
            mr_waiting: job.wait_time,
            job,
        }
    }

    /// Its steps, at least one.
    pub(crate) fn steps(&self) -> Vec<Step<'a>> {
        let Batch { steps, times, state, .. } = self.batch;
        if steps.is_empty() {
            return vec![self.step(0, format!("{}_00", self.id()), STEP, *state, times)];
        }
        let each = steps.iter().enumerate();
        let mut shown: Vec<_> =
            each.map(|(at, step)| self.step(at, step.id.clone(), &step.name, step.state, &step.times)).collect();
        for at in 1..shown.len() {
            let (before, this) = (shown[at - 1].id.clone(), shown[at].id.clone());
            shown[at].previous_step = Some(before);
            shown[at - 1].next_steps.push(this);
        }
        shown
    }

    fn step(&self, sequence_id: usize, id: String, name: &'a str, state: BatchState, times: &Times) -> Step<'a> {
        let Spans { wait, run, .. } = self.spans(times, state);
        let status = Status::of(state);
        Step {
            failure: if status == Status::Error { self.failure(&id, name, state) } else { Failure::default() },
            id,
            name,
            sequence_id,
            exec_cmd: (),
            exec_start_time: at(times.started),
            exec_end_time: at(times.ended),
            create_time: times.created.0,
            duration: run,
            wait_time: wait,
            index_count: 0,
            success_index_count: 0,
            step_status: status.name(),
            cmd_type: COMMAND,
            info: self.info(),
            previous_step: None,
            next_steps: Vec::new(),
            sub_stages: (),
            segment_sub_stages: (),
            exec_wait_time: None,
        }
    }

    fn failure(&self, id: &str, name: &'a str, state: BatchState) -> Failure<'a> {
        let why = match state {
            BatchState::Unknown => "the backend does not know the batch any more",
            _ => "the batch has failed: its log says why",
        };
        let why = self.batch.diagnostic.as_deref().unwrap_or(why);
        Failure {
            failed_msg: Some(why),
            failed_step_name: Some(name),
            failed_step_id: Some(id.to_owned()),
            failed_reason: Some(why),
            failed_code: Some(FAILED),
            ..Failure::default()
        }
    }

    fn info(&self) -> BTreeMap<&'static str, &'a str> {
        let app = &self.batch.app;
        let known = [("yarn_application_id", &app.id), ("yarn_application_tracking_url", &app.url)];
        known.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }

    /// As the legacy face shows it.
    pub(crate) fn instance(&self) -> JobInstance<'a> {
        let job = self.whole_job();
        let steps = job.steps.iter().map(|step| LegacyStep {
            id: legacy_step_id(&step.id),
            name: step.name,
            sequence_id: step.sequence_id,
            exec_cmd: (),
            interrupt_cmd: (),
            exec_start_time: step.exec_start_time,
            exec_end_time: step.exec_end_time,
            exec_wait_time: step.wait_time.seconds(),
            step_status: step.step_status,
            cmd_type: step.cmd_type,
            info: step.info.clone(),
            run_async: false,
        });
        JobInstance {
            steps: steps.collect(),
            uuid: job.id,
            last_modified: job.last_modified,
            version: VERSION,
            name: job.target_subject,
            project_name: job.project,
            kind: "BUILD",
            duration: job.duration.seconds(),
            related_cube: job.target_subject,
            display_cube_name: job.target_subject,
            related_segment: "",
            related_segment_name: (),
            exec_start_time: job.exec_start_time,
            exec_end_time: job.exec_end_time,
            exec_interrupt_time: 0,
            mr_waiting: job.wait_time.seconds(),
            submitter: job.submitter,
            job_status: job.job_status,
            build_instance: (),
            progress: 100.0 * job.step_ratio,
        }
    }
}

/// The legacy face has a stroke before the number of a step.
fn legacy_step_id(id: &str) -> String {
    id.rsplit_once('_').map_or_else(|| id.to_owned(), |(job, number)| format!("{job}-{number}"))
}

/// The id of a step as Kylin 5 has it, however the client writes it. `None`: it is no step of this job.
pub(crate) fn step_id(job: &str, given: &str) -> Option<String> {
    let number = given.strip_prefix(job)?.strip_prefix(['_', '-'])?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{job}_{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1";

    #[test]
    fn only_kylins_longer_ids_are_shown_in_the_place_of_the_uuid() {
        let uuid = Uuid::parse_str(UUID).expect("a uuid");
        let shown = |native: &str| shown_id(&BatchId { uuid, ordinal: 1, native: Some(native.into()) });
        let model_job = format!("{UUID}-{UUID}");
        assert_eq!(shown(&model_job), model_job);
        for other in ["7", UUID, &model_job.replace("9a", "zz"), &"é".repeat(37), &format!("{UUID}_{UUID}")] {
            assert_eq!(shown(other), UUID, "{other}");
        }
    }

    #[test]
    fn a_step_is_named_by_either_stroke() {
        assert_eq!(step_id(UUID, &format!("{UUID}-00")), Some(format!("{UUID}_00")));
        assert_eq!(step_id(UUID, &format!("{UUID}_07")), Some(format!("{UUID}_07")));
        for other in [UUID, "x_00", &format!("{UUID}_"), &format!("{UUID}_0x"), &format!("{UUID}.00")] {
            assert_eq!(step_id(UUID, other), None, "{other}");
        }
    }
}
