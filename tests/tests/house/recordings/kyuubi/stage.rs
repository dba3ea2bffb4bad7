//! How the jobs of a run are led. The recorded jobs took seconds and their states were met by waiting; here no job has a time of its own. The
//! stand-in for Spark waits at a named pipe for orders (`fixtures/recordings/kyuubi/stub`): which lines to write, and how to end.
//!
//! What is ordered follows from the recording alone. Before an exchange, every batch that the recorded answer shows is brought to where it is
//! there: a job runs until an answer shows its end, and its log holds what answers show of it. A batch that nothing refers to any more
//! ends at once. A batch that is shown as CANCELED without a recorded DELETE was cleaned up by the recorder, and is deleted here too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use serde_json::Value;

use super::{KYUUBIS_OWN, is_own};
use crate::proxy::GLANCE;
use crate::recordings::cases::{Case, Run};
use crate::recordings::compare::View;
use crate::recordings::judge::Outcome;
use crate::recordings::product::{House, Play, text};
use crate::wire::Answer;

/// Longest wait for a batch to come to where it is ordered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Flows in which a batch is cancelled by what was asked, in another way than by DELETE: whoever did it here in the recorder's stead would hide
/// whether we do the same.
const NOT_CLEANED_UP: [&str; 2] = ["client-id", "client-id-upper"];

pub(super) struct Stage {
    pipes: PathBuf,
    /// What each exchange of the run tells, in their order.
    told: Vec<Told>,
    /// The place of the exchange that is next, but for late ones.
    next: usize,
    /// The place of the one that is asked now.
    now: usize,
    jobs: BTreeMap<String, Job>,
}

/// What one recorded exchange tells of batches.
struct Told {
    case: String,
    /// Ids that its request names.
    named: Vec<String>,
    /// The batches that its answer shows, id and object.
    shown: Vec<(String, Value)>,
    lines: Option<Lines>,
    deletes: bool,
    cleaned_up: bool,
}

/// A part of a log, by absolute numbers.
struct Lines {
    of: String,
    from: usize,
    rows: Vec<String>,
}

struct Job {
    ours: String,
    pipe: File,
    said: usize,
    /// It was seen running.
    runs: bool,
    /// Its end was ordered, or asked for.
    ending: bool,
    /// It was seen ended.
    over: bool,
}

impl Told {
    fn new(case: &Case) -> Self {
        let request = String::from_utf8_lossy(&case.request).to_ascii_lowercase().replace("%2d", "-");
        let bodies = case.recorded.iter().filter_map(|answer| json(case, answer));
        let mut told = Self {
            case: case.name.clone(),
            named: uuids(&request),
            shown: Vec::new(),
            lines: None,
            deletes: case.request().method() == b"DELETE",
            cleaned_up: !NOT_CLEANED_UP.contains(&case.flow.as_str()),
        };
        for body in bodies {
            told.shown.extend(batches(&body));
            let from = absolute(&request).zip(body["logRowSet"].as_array());
            if let Some(((from, rows), of)) = from.zip(told.named.first()) {
                let rows = rows.iter().map(|row| row.as_str().expect("lines are texts").to_owned()).collect();
                told.lines = Some(Lines { of: of.clone(), from, rows });
            }
        }
        told
    }

    fn refers_to(&self, id: &str) -> bool {
        self.named.iter().any(|named| named == id) || self.shown.iter().any(|(shown, _)| shown == id)
    }
}

fn json(case: &Case, answer: &Answer) -> Option<Value> {
    View::recorded(answer, case.request()).ok()?.body.json().cloned()
}

/// The batches in an answer: itself, or the rows of a list.
fn batches(body: &Value) -> Vec<(String, Value)> {
    let listed = body["batches"].as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
    let shown = listed.iter().filter(|batch| batch["state"].is_string());
    shown.filter_map(|batch| Some((text(&batch["id"])?, batch.clone()))).collect()
}

fn uuids(text: &str) -> Vec<String> {
    let found = (0..text.len()).filter_map(|at| super::uuid(&text.as_bytes()[at..], "-"));
    found.map(|(id, _)| id).collect()
}

/// The line that a read of a log begins with, unless it goes on from the one before.
fn absolute(request: &str) -> Option<usize> {
    let line = request.lines().next()?;
    let (_, from) = line.split_once("/locallog")?.1.split_once("from=")?;
    let digits = from.trim_start_matches("%2b");
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_live(batch: &Value) -> bool {
    matches!(batch["state"].as_str(), Some("PENDING" | "RUNNING"))
}

impl Stage {
    pub(super) fn new(run: &Run, dir: &Path) -> Self {
        // Beside the folder of jobs, where the stand-in looks for it from its job's folder.
        let pipes = dir.join("stage");
        fs::create_dir(&pipes).expect("a folder for pipes can be made");
        Self { pipes, told: run.cases().map(Told::new).collect(), next: 0, now: 0, jobs: BTreeMap::new() }
    }

    /// Takes the job of a new batch on; one that nothing refers to ends at once.
    fn hire(&mut self, id: &str, ours: &str, is_over: bool) {
        let path = self.pipes.join(ours);
        match mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            // The job may have been quicker.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => panic!("no pipe at {}: {error}", path.display()),
        }
        // Both ends: neither this open nor the job's then waits for the other.
        let pipe = File::options().read(true).write(true).open(&path).expect("a pipe can be opened");
        let mut job = Job { ours: ours.to_owned(), pipe, said: 0, runs: false, ending: false, over: false };
        if is_over {
            job.end(0);
        }
        self.jobs.insert(id.to_owned(), job);
    }

    fn later(&self) -> &[Told] {
        &self.told[self.next.min(self.told.len())..]
    }

    /// Ends all jobs that had ended there before this time, in their order: a filter by the time of the end tells them apart.
    fn end_earlier(&mut self, house: &House<'_>, time: &Value) {
        let shown = self.told.iter().flat_map(|told| &told.shown);
        let ends =
            shown.filter(|(_, batch)| batch["endTime"].as_u64() > Some(0) && batch["endTime"].as_u64() < time.as_u64());
        let mut ends: Vec<(u64, String, u8)> = ends
            .filter_map(|(id, batch)| {
                let code = match batch["state"].as_str() {
                    Some("FINISHED") => 0,
                    Some("ERROR") => 1,
                    _ => return None,
                };
                let waits = self.jobs.get(id).is_some_and(|job| !job.ending);
                waits.then(|| (batch["endTime"].as_u64().unwrap_or_default(), id.clone(), code))
            })
            .collect();
        ends.sort_unstable();
        for (_, id, code) in ends {
            self.end(house, &id, code);
        }
    }

    /// Brings one batch to the state that was recorded of it.
    fn bring(&mut self, house: &House<'_>, id: &str, shown: &Value, cleaned_up: bool) {
        if !self.jobs.contains_key(id) {
            return;
        }
        self.end_earlier(house, &shown["endTime"]);
        let job = &self.jobs[id];
        match shown["state"].as_str() {
            Some("RUNNING") if !job.runs && !job.ending => self.until(house, id, |batch| batch["state"] != "PENDING"),
            Some("FINISHED") => self.end(house, id, 0),
            Some("ERROR") => self.end(house, id, 1),
            Some("CANCELED") if cleaned_up => self.cancel(house, id),
            _ => {}
        }
    }

    fn end(&mut self, house: &House<'_>, id: &str, code: u8) {
        for at in self.now..self.told.len() {
            self.tell(id, at);
        }
        let Some(job) = self.jobs.get_mut(id).filter(|job| !job.over) else { return };
        if !job.ending {
            job.end(code);
        }
        self.until(house, id, |batch| !is_live(batch));
    }

    fn cancel(&mut self, house: &House<'_>, id: &str) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| !job.over) else { return };
        if !job.ending {
            house.delete(&job.ours);
            job.ending = true;
        }
        self.until(house, id, |batch| !is_live(batch));
    }

    /// Asks for the batch until it is so, or has ended.
    fn until(&mut self, house: &House<'_>, id: &str, is_so: impl Fn(&Value) -> bool) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some((200, batch)) = house.batch(&job.ours) else { return };
            job.over = !is_live(&batch);
            job.runs |= batch["state"] == "RUNNING";
            if job.over || is_so(&batch) {
                return;
            }
            assert!(Instant::now() < deadline, "the job of {id} did not do in {PATIENCE:?} what it was told: {batch}");
            thread::sleep(GLANCE);
        }
    }

    /// Has the job write what an exchange shows of its log, if that is of this job.
    fn tell(&mut self, id: &str, at: usize) {
        let Some(lines) = self.told[at].lines.as_ref().filter(|lines| lines.of == id && !lines.rows.is_empty()) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(id).filter(|job| !job.ending) else { return };
        let later = self.told[at..].iter().filter_map(|told| told.lines.as_ref()).filter(|lines| lines.of == id);
        let later: Vec<&Lines> = later.collect();
        let wanted = lines.from + lines.rows.len();
        for number in job.said..wanted {
            let known = later.iter().find_map(|lines| lines.rows.get(number.checked_sub(lines.from)?));
            match known {
                Some(row) if is_own(row) => job.order(&format!("say {KYUUBIS_OWN}{row}")),
                Some(row) => job.order(&format!("say {row}")),
                // No exchange shows it.
                None => job.order(&format!("say line {number}")),
            }
        }
        job.said = job.said.max(wanted);
        let said = self.pipes.join(format!("{}.said", job.ours));
        let deadline = Instant::now() + PATIENCE;
        let count = || fs::read_to_string(&said).ok()?.trim().parse::<usize>().ok();
        while count() < Some(job.said) {
            assert!(
                Instant::now() < deadline,
                "the job of {id} said {:?} of {} lines in {PATIENCE:?}",
                count(),
                job.said
            );
            thread::sleep(GLANCE);
        }
    }

    /// How a batch ended there, for a DELETE that finds it ended: as any answer shows it.
    fn ended(&self, id: &str) -> Option<Value> {
        let shown = self.told.iter().flat_map(|told| &told.shown).filter(|(shown, _)| shown == id);
        shown.map(|(_, batch)| batch).find(|batch| !is_live(batch)).cloned()
    }
}

impl Job {
    /// In one piece: the job reads a line in a given time, or none of it.
    fn order(&mut self, order: &str) {
        let line = format!("{order}\n");
        self.pipe.write_all(line.as_bytes()).expect("a pipe that is open at both ends can be written to");
    }

    fn end(&mut self, code: u8) {
        self.order(&format!("end {code}"));
        self.ending = true;
    }
}

impl Play for Stage {
    fn made(&mut self, _: &House<'_>, recorded: &str, ours: &str) {
        // The answer to a duplicate names a batch that is known already.
        if !self.jobs.contains_key(recorded) {
            let is_over = !self.later().iter().any(|told| told.refers_to(recorded));
            self.hire(recorded, ours, is_over);
        }
    }

    fn made_alone(&mut self, _: &House<'_>, ours: &str) {
        if !self.jobs.values().any(|job| job.ours == ours) {
            self.hire(ours, ours, true);
        }
    }

    fn settle(&mut self, house: &House<'_>, case: &Case) {
        self.now = self.told.iter().position(|told| told.case == case.name).expect("the case is one of the run");
        self.next = self.next.max(self.now + 1);
        let told = &self.told[self.now];
        let (shown, cleaned_up) = (told.shown.clone(), told.cleaned_up);
        let named = told.named.first().filter(|_| told.deletes).cloned();
        let terminal = case.recorded.last().and_then(|answer| json(case, answer)).is_some_and(|body| {
            let msg = body["msg"].as_str().unwrap_or_default();
            msg.ends_with("is already terminal so can not kill it.") || msg.ends_with("has been terminated.")
        });
        for (id, batch) in shown {
            self.bring(house, &id, &batch, cleaned_up);
        }
        if let Some(id) = named {
            match self.ended(&id).filter(|_| terminal) {
                Some(batch) => self.bring(house, &id, &batch, cleaned_up),
                None => self.bring(house, &id, &serde_json::json!({"state": "RUNNING"}), cleaned_up),
            }
        }
        let of = self.told[self.now].lines.as_ref().map(|lines| lines.of.clone());
        if let Some(id) = of {
            self.tell(&id, self.now);
        }
    }

    fn await_end(&mut self, house: &House<'_>, ours: &str) {
        let recorded = house.ids.recorded(ours).map(str::to_owned);
        if let Some(id) = recorded {
            self.until(house, &id, |batch| !is_live(batch));
        }
    }

    /// Learns which times of ours are which recorded ones, and which batches a recorded DELETE has ended.
    fn look(&mut self, house: &mut House<'_>, case: &Case, outcome: &Outcome) {
        let told = &self.told[self.now];
        if told.deletes
            && let Some(job) = told.named.first().and_then(|id| self.jobs.get_mut(id))
        {
            job.ending = true;
        }
        let Ok(answers) = outcome else { return };
        for ours in answers.iter().filter_map(|answer| json(case, answer)).flat_map(|body| batches(&body)) {
            let (id, ours) = ours;
            let Some(recorded) = house.ids.recorded(&id) else { continue };
            let Some((_, recorded)) = told.shown.iter().find(|(shown, _)| shown == recorded) else { continue };
            for name in ["createTime", "endTime"] {
                if let (Some(recorded @ 1..), Some(ours @ 1..)) = (recorded[name].as_u64(), ours[name].as_u64()) {
                    house.ids.bind_moment(recorded, ours);
                }
            }
        }
    }

    fn clean_up(&mut self, house: &House<'_>) {
        self.jobs.values_mut().filter(|job| !job.ending).for_each(|job| job.end(0));
        let waiting: Vec<String> = self.jobs.iter().filter(|(_, job)| !job.over).map(|(id, _)| id.clone()).collect();
        for id in waiting {
            self.until(house, &id, |batch| !is_live(batch));
        }
    }
}

impl Drop for Stage {
    /// A replay that failed half way: a job that still waits is let go.
    fn drop(&mut self) {
        for job in self.jobs.values_mut().filter(|job| !job.ending) {
            let _ = job.pipe.write_all(b"end 9\n");
        }
    }
}
