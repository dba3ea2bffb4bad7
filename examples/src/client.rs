//! A client that does no more than it must: one kept connection, whole requests in one write, answers read by their framing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::Result;

const PATIENCE: Duration = Duration::from_secs(60);
const PIECE: usize = 64 << 10;

/// One kept connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

/// How an answer's end is found.
#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Client {
    /// A connection to this address.
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(PIECE, stream), line: String::new() })
    }

    /// Asks and reads the whole answer.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        self.call_accepting(method, path, "*/*", body)
    }

    /// The same of a product whose answers depend on what is accepted.
    pub fn call_accepting(&mut self, method: &str, path: &str, accept: &str, body: &str) -> Result<(u16, String)> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let status = self.answer(|piece| answer.extend_from_slice(piece))?;
        Ok((status, String::from_utf8(answer)?))
    }

    /// Writes what a request is made of, piece by piece.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Reads one answer, and gives its body piece by piece.
    pub fn answer(&mut self, mut take: impl FnMut(&[u8])) -> Result<u16> {
        let status = self.next_line()?.split(' ').nth(1).ok_or("no status line")?.parse()?;
        let mut framing = Framing::Length(0);
        while let Some((name, value)) = self.next_line()?.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
        match framing {
            Framing::Length(length) => self.read(length, &mut take)?,
            Framing::Chunked => loop {
                let length = u64::from_str_radix(self.next_line()?, 16)?;
                self.read(length, &mut take)?;
                self.next_line()?;
                if length == 0 {
                    break;
                }
            },
        }
        Ok(status)
    }

    fn next_line(&mut self) -> Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            return Err("the connection was closed within an answer".into());
        }
        Ok(self.line.trim_end())
    }

    fn read(&mut self, mut length: u64, take: &mut impl FnMut(&[u8])) -> Result<()> {
        let mut piece = [0; 8 << 10];
        while length > 0 {
            let most = piece.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            let read = self.stream.read(&mut piece[..most])?;
            if read == 0 {
                return Err("the connection was closed within a body".into());
            }
            take(&piece[..read]);
            length -= read as u64;
        }
        Ok(())
    }
}

/// The text between a mark and the next quote.
pub fn text_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let rest = text.split_once(mark)?.1;
    rest.split_once('"').map(|(found, _)| found)
}

/// The whole number after a mark.
pub fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = text.split_once(mark)?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}
