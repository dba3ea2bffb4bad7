//! A platform that costs nothing: it answers at once with bytes of the size that the product's have, and keeps no more than what it has to
//! give back.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use batchlingua_examples::{
    Result,
    client::{number_after, text_after},
};

/// Rows of the list that is measured.
pub(crate) const ROWS: usize = 100;
/// What is kept of a long body, to look for the names in it.
const KEPT: usize = 64 << 10;
/// One line of a log, with its end as it is sent on.
pub(crate) const LINE: &str =
    "2026-11-22 15:41:33.401 INFO Executor: Running task 17.0 in stage 3.0 (TID 2017); 7 of 96 have ended\n";

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kyuubi,
    Livy,
    Dli,
}

/// The platform, until the program ends.
pub(crate) struct Origin {
    pub(crate) address: String,
    world: Arc<World>,
}

struct World {
    kind: Kind,
    /// Lines of every log.
    lines: u64,
    /// Most batches that its list shows.
    listed: usize,
    asked: AtomicU64,
    batches: Mutex<Vec<Made>>,
}

#[derive(Clone)]
struct Made {
    id: String,
    name: String,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    /// All of it, or the beginning of what is long.
    body: String,
}

impl Origin {
    /// One that listens on a port of its own.
    pub(crate) fn start(kind: Kind, lines: u64, listed: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let world = Arc::new(World { kind, lines, listed, asked: AtomicU64::new(0), batches: Mutex::default() });
        let shared = world.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = shared.clone();
                // Whoever closes a connection has had enough of it.
                thread::spawn(move || serve(stream, &world).ok());
            }
        });
        Ok(Self { address, world })
    }

    /// How many calls there were.
    pub(crate) fn asked(&self) -> u64 {
        self.world.asked.load(Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, world: &World) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(KEPT, stream);
    while let Some(asked) = read(&mut stream)? {
        world.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = world.answer(&asked);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let (mut length, mut is_chunked) = (0, false);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let piece = u64::from_str_radix(line.trim_end(), 16)?;
            take(stream, piece, &mut body)?;
            stream.read_line(&mut line)?;
            if piece == 0 {
                break;
            }
        }
    } else {
        take(stream, length, &mut body)?;
    }
    Ok(Some(Asked { method, path, query, body: String::from_utf8_lossy(&body).into_owned() }))
}

/// Reads so many bytes and keeps the first.
fn take(stream: &mut BufReader<TcpStream>, mut length: u64, body: &mut Vec<u8>) -> Result<()> {
    while length > 0 {
        let there = stream.fill_buf()?;
        if there.is_empty() {
            return Err("the connection was closed within a body".into());
        }
        let used = there.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let kept = used.min(KEPT.saturating_sub(body.len()));
        body.extend_from_slice(&there[..kept]);
        stream.consume(used);
        length -= used as u64;
    }
    Ok(())
}

impl World {
    fn batches(&self) -> MutexGuard<'_, Vec<Made>> {
        self.batches.lock().expect("nothing panics while it is held")
    }

    fn answer(&self, asked: &Asked) -> (u16, String) {
        let below: Vec<&str> = match asked.path.split_once("/batches") {
            Some((_, rest)) => rest.split('/').filter(|part| !part.is_empty()).collect(),
            None => return (200, self.version().to_owned()),
        };
        match (asked.method.as_str(), &below[..]) {
            ("POST", []) => (if self.kind == Kind::Livy { 201 } else { 200 }, self.make(asked)),
            ("GET", []) => (200, self.list(&asked.query)),
            ("GET", [id]) => self.show(id),
            ("GET", [id, "state"]) if self.kind == Kind::Livy => {
                (200, format!("{{\"id\":{id},\"state\":\"running\"}}"))
            }
            ("GET", [id, "state"]) => (200, format!("{{\"id\":\"{id}\",\"state\":\"running\"}}")),
            ("GET", [_, "log" | "localLog"]) => (200, self.log(&asked.query)),
            _ => (404, "{\"message\":\"no such call\"}".to_owned()),
        }
    }

    fn version(&self) -> &'static str {
        match self.kind {
            Kind::Kyuubi => "{\"version\":\"1.12.0\"}",
            Kind::Livy => {
                "{\"url\":\"https://github.com/apache/incubator-livy.git\",\"branch\":\"HEAD\",\"revision\":\"0\",\"version\":\"0.9.0-incubating\",\"date\":\"\",\"user\":\"livy\"}"
            }
            Kind::Dli => "{}",
        }
    }

    fn make(&self, asked: &Asked) -> String {
        let mut batches = self.batches();
        let number = batches.len();
        let id = match self.kind {
            Kind::Livy => number.to_string(),
            Kind::Kyuubi => text_after(&asked.body, "\"kyuubi.batch.id\":\"").unwrap_or_default().to_owned(),
            Kind::Dli => format!("07a3e4e6-9a28-4e92-8d3f-{number:012x}"),
        };
        let name = text_after(&asked.body, "\"name\":\"").unwrap_or("hello").to_owned();
        let made = Made { id, name };
        batches.push(made.clone());
        self.object(&made)
    }

    fn show(&self, id: &str) -> (u16, String) {
        let made = match self.kind {
            Kind::Livy => id.parse::<usize>().ok().and_then(|at| self.batches().get(at).cloned()),
            Kind::Kyuubi | Kind::Dli => Some(Made { id: id.to_owned(), name: "hello".to_owned() }),
        };
        made.map_or((404, format!("{{\"msg\":\"Session '{id}' not found.\"}}")), |made| (200, self.object(&made)))
    }

    /// However many there are, a walk over them has so many rows as it is to have.
    fn list(&self, query: &str) -> String {
        let query = format!("&{query}&");
        let number = |name| number_after(&query, name).and_then(|number| usize::try_from(number).ok());
        let (from, size) = (number("&from=").unwrap_or(0), number("&size=").unwrap_or(ROWS));
        let batches = self.batches();
        let listed = batches.iter().take(self.listed);
        let rows: Vec<String> = listed.skip(from).take(size).map(|made| self.object(made)).collect();
        let (total, rows) = (batches.len().min(self.listed), rows.join(","));
        let name = if self.kind == Kind::Kyuubi { "batches" } else { "sessions" };
        format!("{{\"from\":{from},\"total\":{total},\"{name}\":[{rows}]}}")
    }

    fn log(&self, query: &str) -> String {
        let query = format!("&{query}&");
        let from = number_after(&query, "&from=").unwrap_or(0).min(self.lines);
        let size = number_after(&query, "&size=").unwrap_or(100);
        let count = size.min(self.lines - from);
        let line = format!("\"{}\",", LINE.trim_end());
        let mut rows = line.repeat(usize::try_from(count).unwrap_or(0));
        rows.pop();
        match self.kind {
            Kind::Kyuubi => format!("{{\"logRowSet\":[{rows}],\"rowCount\":{count}}}"),
            Kind::Livy | Kind::Dli => format!("{{\"id\":0,\"from\":{from},\"total\":{},\"log\":[{rows}]}}", self.lines),
        }
    }

    fn object(&self, made: &Made) -> String {
        let Made { id, name } = made;
        let mut object = String::with_capacity(768);
        let written = match self.kind {
            Kind::Kyuubi => write!(
                object,
                r#"{{"id":"{id}","user":"anonymous","batchType":"SPARK","name":"{name}","appStartTime":1795362093730,"appId":"application_1795362000000_0042","appUrl":"http://rm.example.com:8088/proxy/application_1795362000000_0042/","appState":"RUNNING","appDiagnostic":"","kyuubiInstance":"127.0.0.1:10099","state":"RUNNING","createTime":1795362093248,"endTime":0,"batchInfo":{{}}}}"#
            ),
            Kind::Livy => write!(
                object,
                r#"{{"id":{id},"name":"{name}","owner":null,"proxyUser":null,"state":"running","appId":"application_1795362000000_0042","appInfo":{{"driverLogUrl":"http://node7.example.com:8042/node/containerlogs/container_1795362000000_0042_01_000001/livy","sparkUiUrl":"http://rm.example.com:8088/proxy/application_1795362000000_0042/"}},"log":["stdout: ","hello from the job","\nstderr: ","26/11/22 15:41:33 INFO SparkContext: Running Spark version 3.5.8"]}}"#
            ),
            Kind::Dli => write!(
                object,
                r#"{{"id":"{id}","appId":"application_1795362000000_0042","name":"{name}","owner":"test1","proxyUser":"","state":"running","kind":"","log":[],"sc_type":"CUSTOMIZED","cluster_name":"q1","queue":"q1","create_time":1795362093248,"update_time":1795362093730,"duration":482,"req_body":"{{\"file\":\"obs://bucket/job.py\",\"queue\":\"q1\"}}"}}"#
            ),
        };
        written.expect("memory takes text");
        object
    }
}
