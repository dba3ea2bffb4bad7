//! Forms, spooled: the part that says what to run may come after the file that is run, and memory stays flat whatever is uploaded.
//!
//! A part with a file name goes to `dir` under a name of our own (never the client's), readable by this user only; the client's name is
//! kept without any directory. Whatever was written is removed again if the form turns out not to be whole. Of parts with one name the
//! first counts, as Jersey has it; the others are read and left.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use batchlingua_core::{Error, ErrorKind, Payload, Purpose, Uuid};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use tokio::{fs, io::AsyncWriteExt};

use crate::{BodyError, Part, RequestBody};

/// Bytes after the last boundary that are read for the sake of the connection. Hardly any client sends one.
const MAX_EPILOGUE: usize = 64 << 10;

/// Most bytes that may come before a part's content: its own head, and what stands in front of the first part.
const MAX_HEAD: usize = 64 << 10;

/// The bounds of a form.
#[derive(Clone, Debug)]
pub struct FormLimits {
    /// Where files go.
    pub dir: PathBuf,
    /// Most parts.
    pub max_parts: usize,
    /// Most bytes of all parts together that are no files: they are held in memory.
    pub max_values: usize,
    /// Most bytes of all files together.
    pub max_files: u64,
}

/// Reads a form of this content type to its end.
pub async fn read_form<S>(content_type: &str, body: S, limits: &FormLimits) -> Result<RequestBody, Error>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| Error::invalid("Content-Type", "the form's Content-Type names no boundary"))?;
    let heads = HeadLimit::default();
    let (mut body, mut spooled) = (Box::pin(body), Vec::new());
    let form = multer::Multipart::new(heads.over(body.as_mut()), boundary);
    let read = read_parts(form, &heads, limits, &mut spooled).await;
    if read.is_ok() {
        to_the_end(body).await;
    }
    if read.is_err() {
        for path in spooled {
            // Nothing half-done stays behind; a file that is gone already is what we want.
            let _ = fs::remove_file(path).await;
        }
    }
    read.map(RequestBody::Form)
}

/// Bounds the heads of parts, which the parser would gather without end.
#[derive(Clone, Debug, Default)]
struct HeadLimit(Arc<AtomicUsize>);

impl HeadLimit {
    fn over<S>(&self, body: S) -> PieceByPiece<S> {
        PieceByPiece { body, left: self.0.clone(), has_given: false }
    }

    fn begin(&self) {
        self.0.store(MAX_HEAD, Ordering::Relaxed);
    }

    /// What comes now is content, and has bounds of its own.
    fn end(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// The same stream, but for its end while a head is too long. The parser takes what it can get before it looks at any of it; so after each
/// piece there is nothing for a moment, and whether another one is asked for tells whether the head has ended in this one.
struct PieceByPiece<S> {
    body: S,
    left: Arc<AtomicUsize>,
    has_given: bool,
}

impl<S> Stream for PieceByPiece<S>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Unpin,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Some(Err(BodyError("the head of a part is too long".into()))));
        }
        let piece = ready!(self.body.poll_next_unpin(cx));
        if let Some(Ok(piece)) = &piece {
            self.left.store(left.saturating_sub(piece.len()), Ordering::Relaxed);
            self.has_given = true;
        }
        Poll::Ready(piece)
    }
}

async fn read_parts(
    mut form: multer::Multipart<'_>,
    heads: &HeadLimit,
    limits: &FormLimits,
    spooled: &mut Vec<PathBuf>,
) -> Result<BTreeMap<String, Part>, Error> {
    let broken = |error: multer::Error| Error::invalid("body", "the form cannot be read to its end").caused_by(error);
    let mut parts = BTreeMap::new();
    let (mut count, mut value_bytes, mut file_bytes) = (0, 0, 0);
    loop {
        heads.begin();
        let next = form.next_field().await.map_err(|error| match heads.is_exceeded() {
            true => Error::invalid("body", format!("the head of a part of the form has more than {MAX_HEAD} bytes")),
            false => broken(error),
        })?;
        heads.end();
        let Some(mut field) = next else { return Ok(parts) };
        count += 1;
        if count > limits.max_parts {
            return Err(too_large("max_parts", limits.max_parts as u64, "parts of a form"));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if parts.contains_key(&name) {
            while let Some(chunk) = field.chunk().await.map_err(broken)? {
                file_bytes += chunk.len() as u64;
                if file_bytes > limits.max_files {
                    return Err(too_large("max_upload", limits.max_files, "bytes of files"));
                }
            }
            continue;
        }
        let file_name = field.file_name().map(str::to_owned).or_else(|| extended_file_name(field.headers()));
        let part = match file_name.as_deref().map(base_name) {
            Some(file_name) => {
                fs::create_dir_all(&limits.dir)
                    .await
                    .map_err(|error| Error::internal(format!("upload_dir: {error}")))?;
                let path = limits.dir.join(Uuid::new_v4().to_string());
                let mut file =
                    create_private(&path).await.map_err(|error| Error::internal(format!("upload_dir: {error}")))?;
                spooled.push(path.clone());
                let mut bytes = 0;
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    bytes += chunk.len() as u64;
                    file_bytes += chunk.len() as u64;
                    if file_bytes > limits.max_files {
                        return Err(too_large("max_upload", limits.max_files, "bytes of files"));
                    }
                    file.write_all(&chunk).await.map_err(|error| Error::internal(format!("upload_dir: {error}")))?;
                }
                file.flush().await.map_err(|error| Error::internal(format!("upload_dir: {error}")))?;
                Part::File(Payload { part: name.clone(), file_name, bytes, path, purpose: Purpose::default() })
            }
            None => {
                let content_type = field.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let content_type = content_type.map(str::to_owned);
                let mut value = BytesMut::new();
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    value_bytes += chunk.len();
                    if value_bytes > limits.max_values {
                        return Err(too_large("max_body", limits.max_values as u64, "bytes of a form's values"));
                    }
                    value.extend_from_slice(&chunk);
                }
                Part::Small { content_type, bytes: value.freeze() }
            }
        };
        parts.insert(name, part);
    }
}

/// Reads what follows the last boundary. That a chunked body is over is seen only by asking for more, and a connection whose request was not
/// read to its end is closed after the answer. Whatever comes there is no part of the form, so nothing in it is an error.
async fn to_the_end(mut body: impl Stream<Item = Result<Bytes, BodyError>> + Unpin) {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = body.next().await {
        bytes += chunk.len();
        if bytes > MAX_EPILOGUE {
            return;
        }
    }
}

async fn create_private(path: &PathBuf) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

/// A file name that is written as RFC 5987 has it: `filename*=UTF-8''n%C3%A4me.py`.
fn extended_file_name(headers: &HeaderMap) -> Option<String> {
    let disposition = String::from_utf8_lossy(headers.get(header::CONTENT_DISPOSITION)?.as_bytes()).into_owned();
    let (_, value) = disposition
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("filename*"))?;
    let (charset, rest) = value.trim().split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then(|| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
}

/// A client's file name without any directory; what would name one becomes `file`.
fn base_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or(given).trim_matches('\0');
    match name {
        "" | "." | ".." => "file".to_owned(),
        name => name.to_owned(),
    }
}

fn too_large(limit: &'static str, max: u64, what: &str) -> Error {
    Error::new(ErrorKind::TooLarge { limit, max }, format!("more than {max} {what} ({limit})"))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;

    fn limits(dir: &std::path::Path) -> FormLimits {
        FormLimits { dir: dir.to_owned(), max_parts: 3, max_values: 20, max_files: 100 }
    }

    async fn read(dir: &std::path::Path, body: &str) -> Result<RequestBody, Error> {
        // One byte at a time: a boundary may fall anywhere.
        let bytes: Vec<_> = body.bytes().map(|b| Ok(Bytes::copy_from_slice(&[b]))).collect();
        read_form("multipart/form-data; boundary=x", futures_util::stream::iter(bytes), &limits(dir)).await
    }

    fn part(disposition: &str, content: &str) -> String {
        format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    }

    fn left_in(dir: &std::path::Path) -> Result<usize, Infallible> {
        Ok(std::fs::read_dir(dir).map_or(0, Iterator::count))
    }

    #[tokio::test]
    async fn a_file_is_spooled_and_the_json_part_may_come_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let body = part("name=\"resourceFile\"; filename=\"../../etc/a.jar\"", "jar bytes")
            + &part("name=\"batchRequest\"\r\nContent-Type: application/json", "{\"a\":1}")
            + "--x--\r\n";
        let RequestBody::Form(parts) = read(dir.path(), &body).await.expect("a form") else { panic!("a form") };
        let Some(Part::File(file)) = parts.get("resourceFile") else { panic!("a file") };
        assert_eq!((file.file_name.as_str(), file.bytes), ("a.jar", 9));
        assert_eq!(std::fs::read(&file.path).expect("spooled"), b"jar bytes");
        let Some(Part::Small { content_type, bytes }) = parts.get("batchRequest") else { panic!("a value") };
        assert_eq!((content_type.as_deref(), bytes.as_ref()), (Some("application/json"), b"{\"a\":1}".as_slice()));
    }

    #[tokio::test]
    async fn a_file_name_may_be_written_in_its_longer_form() {
        let dir = tempfile::tempdir().expect("a directory");
        let body = part("name=\"f\"; filename*=UTF-8'en'..%2Fn%C3%A4me.py", "one") + "--x--\r\n";
        let RequestBody::Form(parts) = read(dir.path(), &body).await.expect("a form") else { panic!("a form") };
        assert!(matches!(parts.get("f"), Some(Part::File(file)) if file.file_name == "näme.py"), "{parts:?}");
    }

    #[tokio::test]
    async fn of_parts_with_one_name_the_first_counts_and_the_others_leave_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let body = part("name=\"f\"; filename=\"a\"", "one") + &part("name=\"f\"; filename=\"b\"", "two") + "--x--\r\n";
        let RequestBody::Form(parts) = read(dir.path(), &body).await.expect("a form") else { panic!("a form") };
        assert!(matches!(parts.get("f"), Some(Part::File(file)) if file.file_name == "a" && file.bytes == 3));
        assert_eq!(left_in(dir.path()), Ok(1));
    }

    #[tokio::test]
    async fn what_follows_the_last_boundary_is_read_and_is_no_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let form = part("name=\"a\"", "1") + "--x--\r\n";
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let pieces =
            [Ok(Bytes::from(form)), Ok(Bytes::from_static(b"epilogue")), Err(BodyError("it breaks off".into()))];
        // Each piece comes after many polls: what comes sooner is read along with the form.
        let body = futures_util::stream::iter(pieces).then(move |piece| {
            let count = Arc::clone(&count);
            async move {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                count.fetch_add(1, Ordering::Relaxed);
                piece
            }
        });
        read_form("multipart/form-data; boundary=x", body, &limits(dir.path())).await.expect("a form");
        assert_eq!(seen.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let content = |bytes: usize| part("name=\"f\"; filename=\"f\"", &"y".repeat(bytes));
        for (begin, endless) in [
            (String::new(), "x".repeat(1_000)),
            (content(10) + "--x\r\nContent-Disposition: ", "x".repeat(1_000)),
            (content(10) + "--x\r\n", "X-Y: z\r\n".repeat(100)),
        ] {
            let taken = Arc::new(AtomicUsize::new(0));
            let seen = taken.clone();
            let endless = Bytes::from(endless);
            let pieces = futures_util::stream::iter([Ok(Bytes::from(begin))]).chain(futures_util::stream::repeat_with(
                move || {
                    seen.fetch_add(endless.len(), Ordering::Relaxed);
                    Ok(endless.clone())
                },
            ));
            let limits = FormLimits { max_files: 1 << 20, ..limits(dir.path()) };
            let error = read_form("multipart/form-data; boundary=x", pieces, &limits).await.expect_err("no end");
            assert!(error.message.contains("more than 65536 bytes"), "{error}");
            assert!(taken.load(Ordering::Relaxed) < 2 * MAX_HEAD, "{taken:?}");
            assert_eq!(left_in(dir.path()), Ok(0));
        }
        // What a file has is no head, however much comes at once.
        let long = content(500_000) + "--x--\r\n";
        let pieces: Vec<_> = long.as_bytes().chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let limits = FormLimits { max_files: 1 << 20, ..limits(dir.path()) };
        let form = read_form("multipart/form-data; boundary=x", futures_util::stream::iter(pieces), &limits).await;
        assert!(form.is_ok(), "{form:?}");
    }

    #[tokio::test]
    async fn nothing_stays_behind_when_a_form_is_cut_or_too_large() {
        let file = part("name=\"f\"; filename=\"f\"", &"y".repeat(60));
        let cut = file.clone();
        let large = file.clone() + &part("name=\"g\"; filename=\"g\"", &"y".repeat(60)) + "--x--\r\n";
        let many = file.clone() + &part("name=\"a\"", "1").repeat(3) + "--x--\r\n";
        let long = file.clone() + &part("name=\"a\"", &"1".repeat(21)) + "--x--\r\n";
        let together = file + &part("name=\"a\"", &"1".repeat(11)) + &part("name=\"b\"", &"2".repeat(10)) + "--x--\r\n";
        for body in [cut, large, many, long, together] {
            let dir = tempfile::tempdir().expect("a directory");
            read(dir.path(), &body).await.expect_err("not whole");
            assert_eq!(left_in(dir.path()), Ok(0));
        }
    }
}
