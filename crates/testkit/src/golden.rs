//! Golden files: what a dialect makes of real bytes, pinned.
//!
//! A case is a few files of one name under `fixtures/<dialect>/<operation>/`:
//!
//! | file | holds |
//! |---|---|
//! | `<case>.source.txt` | where the bytes are from; every case has one |
//! | `<case>.request.http` | a request as a client sends it |
//! | `<case>.operation.txt` | what it is decoded to ([`describe_operation`]), who sends it, or why it is refused |
//! | `<case>.outcome.txt` | what a backend made of it, in the lines of `golden/outcome.rs` |
//! | `<case>.response.http` | the answer: the outcome's, or the one that needs no backend |
//! | `<case>.face.txt` | where the listener is not the default one: `face csrf=true prefix=/gw principal=ana …` |
//!
//! A case may have one side only. Without an `operation.txt` the request merely says what is answered; without a `request.http` the
//! outcome's `request` line does. Of a response the status, the headers (but those of framing, `Date` and `Server`) and the bytes of the
//! body are compared, so that JSON keeps its order and its numbers' text. `BLESS=1` writes `operation.txt` and `response.http` where they
//! differ or are missing; the diff is reviewed.

mod describe;
mod exchange;
mod outcome;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use batchlingua_core::{Credentials, Identity, Principal, Result as CoreResult, Rights};
use batchlingua_wire::{
    Asker, Body, BodyKind, Decoded, Dialect, FormLimits, Match, Miss, RequestBody, RequestHead, encode_reply, find,
    read_form,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, header};

use describe::{describe_credentials, describe_error};
pub use describe::{describe_operation, describe_spec};
pub use exchange::parse_request;
use exchange::{answer_of, parse_answer};
use outcome::{Written, parse_outcome, take_face};

const SUFFIXES: [&str; 6] = ["source.txt", "request.http", "operation.txt", "outcome.txt", "response.http", "face.txt"];

/// Whether files are compared or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Differences are faults.
    Compare,
    /// Differences are written.
    Bless,
}

impl Mode {
    /// `BLESS=1` writes.
    pub fn of_environment() -> Self {
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") { Self::Bless } else { Self::Compare }
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases there were.
    pub cases: usize,
    /// What differs, each with the case's path.
    pub faults: Vec<String>,
    /// The files that were written.
    pub blessed: Vec<PathBuf>,
}

impl Report {
    /// Panics with every fault; an empty folder is one too, since a moved folder must not read as success.
    pub fn assert_clean(&self) {
        assert!(self.cases > 0, "there are no cases");
        let (faults, cases) = (self.faults.len(), self.cases);
        assert!(self.faults.is_empty(), "{faults} faults in {cases} cases:\n\n{}", self.faults.join("\n\n"));
    }
}

/// Runs every case below a folder such as `fixtures/livy`.
pub async fn run(dialect: &dyn Dialect, root: &Path, mode: Mode) -> Report {
    let mut report = Report::default();
    let spool = tempfile::tempdir().expect("a directory for uploads");
    let cases = match cases_below(root) {
        Ok(cases) => cases,
        Err(error) => {
            report.faults.push(format!("{}: {error}", root.display()));
            return report;
        }
    };
    for (path, files) in cases {
        report.cases += 1;
        let case = Case { dialect, path: &path, files, spool: spool.path() };
        if let Err(fault) = case.run(mode, &mut report).await {
            report.faults.push(format!("{}: {fault}", path.display()));
        }
    }
    report
}

/// The cases by their paths without a suffix, in order.
fn cases_below(root: &Path) -> Result<BTreeMap<PathBuf, Vec<&'static str>>, String> {
    let mut cases: BTreeMap<PathBuf, Vec<&'static str>> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if let Some((stem, suffix)) =
                SUFFIXES.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?.strip_suffix('.')?, *suffix)))
            {
                cases.entry(folder.join(stem)).or_default().push(suffix);
            }
        }
    }
    Ok(cases)
}

struct Case<'a> {
    dialect: &'a dyn Dialect,
    path: &'a Path,
    files: Vec<&'static str>,
    spool: &'a Path,
}

/// What a request comes to.
struct Decided {
    operation: String,
    /// Where no backend is needed.
    answer: Option<Response<Body>>,
    head: Option<RequestHead>,
}

impl Case<'_> {
    async fn run(&self, mode: Mode, report: &mut Report) -> Result<(), String> {
        if !self.has("source.txt") {
            return Err("there is no source.txt to say where the bytes are from".to_owned());
        }
        let outcome = match self.has("outcome.txt") {
            true => Some(parse_outcome(&self.text("outcome.txt")?).map_err(|error| format!("outcome.txt: {error}"))?),
            false => None,
        };
        let line = outcome.as_ref().and_then(|(line, _)| line.as_deref());
        let decided = self.decide(self.request(line)?).await?;

        if self.has("operation.txt") || (self.has("request.http") && outcome.is_none() && mode == Mode::Bless) {
            let got = decided.operation.as_bytes();
            let same = self.has("operation.txt") && self.bytes("operation.txt")? == got;
            self.judge("operation.txt", same, got, mode, report)?;
        } else if !self.has("response.http") && mode == Mode::Compare {
            return Err("nothing is compared: there is neither an operation.txt nor a response.http".to_owned());
        }
        match self.respond(decided, outcome.map(|(_, written)| written))? {
            Some(response) if self.has("response.http") || mode == Mode::Bless => {
                let got = answer_of(response).await?;
                let same = self.has("response.http") && parse_answer(&self.bytes("response.http")?)? == got;
                self.judge("response.http", same, &got.render(), mode, report)
            }
            None if self.has("response.http") => Err("response.http needs an outcome.txt".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    /// The case's request, or the one that its outcome names.
    fn request(&self, line: Option<&str>) -> Result<Request<Bytes>, String> {
        match line {
            _ if self.has("request.http") => parse_request(&self.bytes("request.http")?),
            Some(line) => parse_request(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()),
            None => Err("there is neither a request.http nor a request line in outcome.txt".to_owned()),
        }
    }

    /// The answer: the outcome's, or the one that needs no backend. A request line has no body, so it need not decode to anything.
    fn respond(&self, decided: Decided, outcome: Option<Written>) -> Result<Option<Response<Body>>, String> {
        let Some(outcome) = outcome else { return Ok(decided.answer) };
        match decided.head {
            Some(head) if decided.answer.is_none() || !self.has("request.http") => Ok(Some(match outcome {
                Written::Reply(reply) => encode_reply(self.dialect, &head, *reply),
                Written::Error(error) => self.dialect.encode_error(&head, &error),
            })),
            _ => Err(format!("no backend is asked, so there is no outcome to answer with:\n{}", decided.operation)),
        }
    }

    /// The way of a request through a server, up to where a backend is needed.
    async fn decide(&self, request: Request<Bytes>) -> Result<Decided, String> {
        let (face, principal) = match self.has("face.txt") {
            true => take_face(&self.text("face.txt")?).map_err(|error| format!("face.txt: {error}"))?,
            false => take_face("")?,
        };
        let (parts, bytes) = request.into_parts();
        let Some(mut head) = RequestHead::new("golden".into(), &parts, face) else {
            return Ok(Decided { operation: "unreadable target\n".to_owned(), answer: None, head: None });
        };
        if self.dialect.folds_methods() {
            head.fold_method();
        }
        let mut told = String::new();
        let answer = match self.enter(&mut head) {
            Ok(kind) => {
                let decoded = self.decode(&mut head, principal, kind, bytes, &mut told).await;
                decoded.unwrap_or_else(|error| {
                    told.push_str(&describe_error(&error));
                    Some(self.dialect.encode_error(&head, &error))
                })
            }
            Err((reason, answer)) => {
                told.push_str(&reason);
                Some(*answer)
            }
        };
        Ok(Decided { operation: told, answer, head: Some(head) })
    }

    /// Route and admission, before the body.
    fn enter(&self, head: &mut RequestHead) -> Result<BodyKind, (String, Box<Response<Body>>)> {
        match find(self.dialect.routes(), head) {
            Match::Route(route, params) => {
                head.params = params;
                head.route = Some(route);
                let refused = |answer| ("refused before its body is read\n".to_owned(), answer);
                self.dialect.admit(head).map(|()| route.body).map_err(refused)
            }
            Match::Miss(miss) => {
                let reason = match &miss {
                    Miss::Path => "miss path\n".to_owned(),
                    Miss::Method(allowed) => format!("miss method, allowed {allowed:?}\n"),
                };
                Err((reason, Box::new(self.dialect.encode_miss(head, &miss))))
            }
        }
    }

    /// Body, credentials and decoding; what is learned is told line by line.
    async fn decode(
        &self,
        head: &mut RequestHead,
        principal: Option<Principal>,
        kind: BodyKind,
        bytes: Bytes,
        told: &mut String,
    ) -> CoreResult<Option<Response<Body>>> {
        let body = self.read_body(head, kind, bytes).await?;
        let shown = self.dialect.credentials(head, &body)?;
        if let Some(credentials) = &shown {
            told.push_str(&describe_credentials(credentials));
        }
        let name = match shown {
            Some(Credentials::Basic { user, .. } | Credentials::Session(user)) if !user.is_empty() => user,
            Some(_) | None => self.dialect.nobody().to_owned(),
        };
        let claimed = Principal { name: name.into(), verified: head.face.authenticated };
        let identity = Identity { principal: principal.unwrap_or(claimed), rights: Arc::new(Rights::all()) };
        let session = self.dialect.has_sessions().then(|| "a-session".to_owned());
        head.asker = Asker { identity, session }.into();
        if let Some(project) = self.dialect.project(head) {
            told.push_str(&format!("project {project:?}\n"));
        }
        let (text, answer) = match self.dialect.decode(head, body)? {
            Decoded::Operation(operation) => (describe_operation(&operation), None),
            Decoded::Answer(answer) => ("answer\n".to_owned(), Some(answer)),
            Decoded::Relay(answer) => ("relay\n".to_owned(), Some(answer)),
        };
        told.push_str(&text);
        Ok(answer)
    }

    async fn read_body(&self, head: &RequestHead, kind: BodyKind, bytes: Bytes) -> CoreResult<RequestBody> {
        let content_type = head.header(header::CONTENT_TYPE.as_str()).unwrap_or("");
        let is_form = content_type.to_ascii_lowercase().starts_with("multipart/form-data");
        match kind {
            BodyKind::None | BodyKind::Stream => Ok(RequestBody::Empty),
            BodyKind::FormOrBytes if is_form => {
                let dir = self.spool.to_owned();
                let limits = FormLimits { dir, max_parts: 100, max_values: 1 << 20, max_files: 1 << 26 };
                read_form(content_type, stream::iter([Ok(bytes)]), &limits).await
            }
            BodyKind::Bytes | BodyKind::FormOrBytes => Ok(RequestBody::Bytes(bytes)),
        }
    }

    fn judge(&self, suffix: &str, same: bool, got: &[u8], mode: Mode, report: &mut Report) -> Result<(), String> {
        let path = self.file(suffix);
        match mode {
            _ if same => Ok(()),
            Mode::Bless => {
                fs::write(&path, got).map_err(|error| format!("{suffix}: {error}"))?;
                report.blessed.push(path);
                Ok(())
            }
            Mode::Compare => {
                let wanted = fs::read(&path).unwrap_or_default();
                Err(format!("{suffix} differs\n{}", difference(&wanted, got)))
            }
        }
    }

    fn has(&self, suffix: &str) -> bool {
        self.files.contains(&suffix)
    }

    fn file(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}.{suffix}", self.path.display()))
    }

    fn bytes(&self, suffix: &str) -> Result<Vec<u8>, String> {
        fs::read(self.file(suffix)).map_err(|error| format!("{suffix}: {error}"))
    }

    fn text(&self, suffix: &str) -> Result<String, String> {
        String::from_utf8(self.bytes(suffix)?).map_err(|_| format!("{suffix} is no UTF-8"))
    }
}

/// Both texts from the first line on that differs.
fn difference(wanted: &[u8], got: &[u8]) -> String {
    let (wanted, got) = (String::from_utf8_lossy(wanted), String::from_utf8_lossy(got));
    let same = wanted.lines().zip(got.lines()).take_while(|(wanted, got)| wanted == got).count();
    let shown = |text: &str, sign: char| -> String {
        text.lines().skip(same).map(|line| format!("  {sign} {line}\n")).collect()
    };
    format!("  from line {} on:\n{}{}", same + 1, shown(&wanted, '-'), shown(&got, '+'))
}

#[cfg(test)]
mod tests;
