//! Kylin's wire shapes: what is answered. All keys are always there, nulls included, in Kylin's order.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{native::Words, span::Span};

/// Around every refusal of v4 and v2.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject {
    pub(crate) code: &'static str,
    pub(crate) data: (),
    pub(crate) msg: String,
    pub(crate) stacktrace: (),
    pub(crate) exception: String,
    pub(crate) url: String,
    pub(crate) suggestion: Option<&'static str>,
    pub(crate) error_code: Option<&'static str>,
}

/// A refusal of the legacy face.
#[derive(Debug, Serialize)]
pub(crate) struct LegacyErrorObject {
    pub(crate) code: &'static str,
    pub(crate) data: (),
    pub(crate) msg: String,
    pub(crate) stacktrace: (),
    pub(crate) exception: String,
    pub(crate) url: String,
}

/// What the framework around Kylin says of a call that there is not.
#[derive(Debug, Serialize)]
pub(crate) struct FrameworkError<'a> {
    pub(crate) timestamp: String,
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) path: &'a str,
}

/// A job.
#[derive(Debug, Serialize)]
pub(crate) struct Job<'a> {
    pub(crate) id: String,
    pub(crate) last_modified: i64,
    pub(crate) duration: Span,
    pub(crate) total_duration: Span,
    pub(crate) exec_start_time: i64,
    pub(crate) steps: Vec<Step<'a>>,
    pub(crate) job_status: &'static str,
    pub(crate) job_name: &'a str,
    pub(crate) data_range_start: i64,
    pub(crate) data_range_end: i64,
    pub(crate) target_model: &'a str,
    pub(crate) target_segments: [(); 0],
    pub(crate) step_ratio: f64,
    pub(crate) create_time: i64,
    pub(crate) wait_time: Span,
    pub(crate) target_subject: &'a str,
    pub(crate) target_subject_error: bool,
    pub(crate) project: &'a str,
    pub(crate) submitter: Option<&'a str>,
    pub(crate) exec_end_time: i64,
    pub(crate) discard_safety: bool,
    pub(crate) tag: (),
    pub(crate) snapshot_data_range: (),
    pub(crate) job_scheduler_mode: &'static str,
    pub(crate) segments: [(); 0],
    pub(crate) version: Option<&'static str>,
    pub(crate) related_segment: &'static str,
    pub(crate) progress: f64,
}

/// A job as v2 has it.
#[derive(Debug, Serialize)]
pub(crate) struct Job2<'a> {
    #[serde(flatten)]
    pub(crate) job: Job<'a>,
    pub(crate) project_name: &'a str,
    pub(crate) related_cube: &'a str,
    pub(crate) display_cube_name: &'a str,
    pub(crate) uuid: String,
    #[serde(rename = "type")]
    pub(crate) kind: (),
    pub(crate) name: &'a str,
    pub(crate) exec_interrupt_time: i64,
    pub(crate) mr_waiting: Span,
}

/// A step of a job.
#[derive(Debug, Serialize)]
pub(crate) struct Step<'a> {
    pub(crate) id: String,
    pub(crate) name: &'a str,
    pub(crate) sequence_id: usize,
    pub(crate) exec_cmd: (),
    pub(crate) exec_start_time: i64,
    pub(crate) exec_end_time: i64,
    pub(crate) create_time: i64,
    pub(crate) duration: Span,
    pub(crate) wait_time: Span,
    pub(crate) index_count: u32,
    pub(crate) success_index_count: u32,
    pub(crate) step_status: &'static str,
    pub(crate) cmd_type: &'static str,
    pub(crate) info: BTreeMap<&'static str, &'a str>,
    pub(crate) previous_step: Option<String>,
    pub(crate) next_steps: Vec<String>,
    #[serde(flatten)]
    pub(crate) failure: Failure<'a>,
    pub(crate) sub_stages: (),
    pub(crate) segment_sub_stages: (),
    /// Of v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exec_wait_time: Option<Span>,
}

/// Why a step failed; all null if it did not.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Failure<'a> {
    pub(crate) failed_msg: Option<&'a str>,
    pub(crate) failed_step_name: Option<&'a str>,
    pub(crate) failed_step_id: Option<String>,
    pub(crate) failed_segment_id: (),
    pub(crate) failed_stack: (),
    pub(crate) failed_resolve: (),
    pub(crate) failed_reason: Option<&'a str>,
    pub(crate) failed_code: Option<&'static str>,
}

/// A job as the legacy face has it, spans in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct JobInstance<'a> {
    pub(crate) uuid: String,
    pub(crate) last_modified: i64,
    pub(crate) version: &'static str,
    pub(crate) name: &'a str,
    #[serde(rename = "projectName")]
    pub(crate) project_name: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) duration: Span,
    pub(crate) related_cube: &'a str,
    pub(crate) display_cube_name: &'a str,
    pub(crate) related_segment: &'static str,
    pub(crate) related_segment_name: (),
    pub(crate) exec_start_time: i64,
    pub(crate) exec_end_time: i64,
    pub(crate) exec_interrupt_time: i64,
    pub(crate) mr_waiting: Span,
    pub(crate) steps: Vec<LegacyStep<'a>>,
    pub(crate) submitter: Option<&'a str>,
    pub(crate) job_status: &'static str,
    pub(crate) build_instance: (),
    pub(crate) progress: f64,
}

/// A step of a [`JobInstance`].
#[derive(Debug, Serialize)]
pub(crate) struct LegacyStep<'a> {
    pub(crate) id: String,
    pub(crate) name: &'a str,
    pub(crate) sequence_id: usize,
    pub(crate) exec_cmd: (),
    pub(crate) interrupt_cmd: (),
    pub(crate) exec_start_time: i64,
    pub(crate) exec_end_time: i64,
    pub(crate) exec_wait_time: Span,
    pub(crate) step_status: &'static str,
    pub(crate) cmd_type: &'static str,
    pub(crate) info: BTreeMap<&'static str, &'a str>,
    pub(crate) run_async: bool,
}

/// The short log of a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepOutput<'a> {
    pub(crate) job_id: &'a str,
    pub(crate) step_id: &'a str,
    #[serde(rename = "cmd_output")]
    pub(crate) cmd_output: Words<String>,
    /// Of v2 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<[(); 0]>,
}

/// Who has logged in.
#[derive(Debug, Serialize)]
pub(crate) struct UserObject<'a> {
    pub(crate) uuid: String,
    pub(crate) last_modified: i64,
    pub(crate) create_time: i64,
    pub(crate) version: &'static str,
    pub(crate) mvcc: i64,
    pub(crate) username: &'a str,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) disabled: bool,
    #[serde(rename = "defaultPassword")]
    pub(crate) default_password: bool,
    pub(crate) locked: bool,
    pub(crate) locked_time: i64,
    pub(crate) wrong_time: i64,
    pub(crate) first_login_failed_time: i64,
}

/// What a user may do.
#[derive(Debug, Serialize)]
pub(crate) struct Authority {
    pub(crate) authority: &'static str,
}

/// Who has logged in, as the legacy face says it.
#[derive(Debug, Serialize)]
pub(crate) struct UserDetails<'a> {
    #[serde(rename = "userDetails")]
    pub(crate) user_details: UserObject<'a>,
}
