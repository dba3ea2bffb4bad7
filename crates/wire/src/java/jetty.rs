//! The pages of Jetty, the container around two of the products: it answers for the filters in front of their code, in HTML, plain text or
//! JSON by `Accept`, and for some methods with nothing at all.

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::to_vec;
use crate::{Body, RequestHead};

/// What a page says.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Why.
    pub message: &'a str,
    /// The servlet whose path it is, if it is any's.
    pub servlet: Option<&'a str>,
}

impl Page<'_> {
    /// The page as the client asks for it. Methods other than GET, POST and HEAD get its status with nothing.
    pub fn answer(&self, head: &RequestHead) -> Response<Body> {
        if ![Method::GET, Method::POST, Method::HEAD].contains(&head.method) {
            return bare(self.status, "");
        }
        let url = head.target.raw_path.as_str();
        let (content_type, body) = match PageType::of(head) {
            None => (None, String::new()),
            Some(PageType::Html) => (Some("text/html;charset=iso-8859-1"), self.html(url)),
            Some(PageType::Text) => (Some("text/plain;charset=iso-8859-1"), self.text(url)),
            Some(PageType::Json(content_type)) => (Some(content_type), self.json(url)),
        };
        let mut response = bare(self.status, body);
        put(&mut response, header::CACHE_CONTROL, "must-revalidate,no-cache,no-store");
        if let Some(content_type) = content_type {
            put(&mut response, header::CONTENT_TYPE, content_type);
        }
        response
    }

    fn html(&self, url: &str) -> String {
        let status = self.status.as_u16();
        let [url, message, servlet] = [url, self.message, self.servlet.unwrap_or("-")].map(escaped);
        format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error {status} {message}</title>\n</head>\n<body><h2>HTTP ERROR {status} {message}</h2>\n<table>\n\
             <tr><th>URI:</th><td>{url}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n\
             <tr><th>MESSAGE:</th><td>{message}</td></tr>\n<tr><th>SERVLET:</th><td>{servlet}</td></tr>\n</table>\n\n\
             </body>\n</html>\n"
        )
    }

    fn text(&self, url: &str) -> String {
        let (status, message, servlet) = (self.status.as_u16(), self.message, self.servlet.unwrap_or("-"));
        format!("HTTP ERROR {status} {message}\nURI: {url}\nSTATUS: {status}\nMESSAGE: {message}\nSERVLET: {servlet}\n")
    }

    fn json(&self, url: &str) -> String {
        let status = self.status.as_str();
        let members =
            [("servlet", self.servlet), ("message", Some(self.message)), ("url", Some(url)), ("status", Some(status))];
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let lines: Vec<_> =
            members.map(|(name, value)| format!("\"{name}\":{}", String::from_utf8_lossy(&to_vec(&value)))).collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
}

/// The container's words about a head that it cannot take.
pub fn bad_message(status: StatusCode, reason: &str) -> Response<Body> {
    let body = format!("<h1>Bad Message {}</h1><pre>reason: {}</pre>", status.as_u16(), escaped(reason));
    let mut response = bare(status, body);
    put(&mut response, header::CONTENT_TYPE, "text/html;charset=iso-8859-1");
    put(&mut response, header::CONNECTION, "close");
    response
}

fn bare(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response
}

fn put(response: &mut Response<Body>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

enum PageType {
    Html,
    Text,
    Json(&'static str),
}

impl PageType {
    /// The first type of `Accept`, by weight and then by how much it says, that the container can write.
    fn of(head: &RequestHead) -> Option<Self> {
        let Some(accept) = head.header("accept") else { return Some(Self::Html) };
        let mut wanted: Vec<(f32, u8, &str)> = Vec::new();
        for part in accept.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().unwrap_or_default();
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let detail = match name {
                "*/*" => 0,
                name if name.ends_with("/*") => 1,
                _ => 2,
            };
            if weight > 0.0 {
                wanted.push((weight, detail, name));
            }
        }
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        wanted.iter().find_map(|(_, _, name)| match *name {
            "text/html" | "text/*" | "*/*" => Some(Self::Html),
            "text/plain" => Some(Self::Text),
            "application/json" => Some(Self::Json("application/json")),
            "text/json" => Some(Self::Json("text/json")),
            _ => None,
        })
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}
