//! One connection, with all that can go wrong on it.

use std::{io, sync::atomic::Ordering, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::origin::Reader;

use super::{
    Shared,
    dice::{Call, Fault},
    speech::{Answer, Request},
};

/// Pieces of an answer that comes drop by drop.
const DROPS: u32 = 8;
const GARBAGE: &[u8] = b"\x00\xff{\"id\":\x1f\x8b}garbage";
const PAGE: &[u8] = b"<!doctype html><html><body>Please log in</body></html>";

/// Until the client has enough, or a fault ends it.
pub(super) async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = Reader::new(stream, 0);
    loop {
        reader.stream().readable().await?;
        if reader.stream().peek(&mut [0]).await? == 0 {
            return Ok(());
        }
        match shared.next_fault(Call::Arrival) {
            Some(Fault::Away) => shared.goes_away.notify_one(),
            Some(Fault::Amnesia) => {
                shared.forgets.store(true, Ordering::SeqCst);
                shared.goes_away.notify_one();
            }
            Some(_) => return reader.stream().set_zero_linger(),
            None => {}
        }
        let Some(asked) = reader.next().await? else { return Ok(()) };
        let request = Request::of(&asked);
        let fault = shared.next_fault(request.call());
        let label = shared.speech.label(&mut shared.world(), &request);
        if let Some(label) = &label {
            let met = fault.map_or_else(String::new, |fault| format!(": {fault}"));
            shared.world().tell(label, format!("← {} {}{met}", asked.method, asked.target));
        }
        if !exchange(reader.stream(), shared, &request, fault, label.as_deref()).await? {
            return Ok(());
        }
    }
}

fn act(shared: &Shared, request: &Request<'_>, hidden: Duration, label: Option<&str>) -> Answer {
    let mut world = shared.world();
    world.retire();
    let answer = shared.speech.answer(&mut world, request, hidden);
    if let Some(label) = label {
        let said: String = String::from_utf8_lossy(&answer.body).chars().take(160).collect();
        world.tell(label, format!("done: {} {said}", answer.status));
    }
    answer
}

/// Whether the connection goes on afterwards.
async fn exchange(
    stream: &mut TcpStream,
    shared: &Shared,
    request: &Request<'_>,
    fault: Option<Fault>,
    label: Option<&str>,
) -> io::Result<bool> {
    let act = |hidden: Duration| act(shared, request, hidden, label);
    let now = Duration::ZERO;
    match fault {
        None => send(stream, &act(now)).await.map(|()| true),
        Some(Fault::Hidden) => send(stream, &act(shared.pace.hidden)).await.map(|()| true),
        Some(Fault::ResetUnread | Fault::ResetUnacted) => reset(stream),
        Some(Fault::ResetActed) => {
            act(now);
            reset(stream)
        }
        Some(Fault::HiddenActed) => {
            act(shared.pace.hidden);
            reset(stream)
        }
        Some(Fault::ResetWithin) => {
            let bytes = whole(&act(now), 0);
            stream.write_all(&bytes[..bytes.len() / 2]).await?;
            reset(stream)
        }
        Some(Fault::StallUnacted) => stall(stream, shared).await,
        Some(Fault::StallActed) => {
            act(now);
            stall(stream, shared).await
        }
        Some(Fault::ActsLate) => {
            // Whether anybody still listens does not matter to a server that has the request.
            sleep(shared.pace.stall).await;
            send(stream, &act(now)).await.map(|()| true)
        }
        Some(Fault::Truncated) => {
            let bytes = whole(&act(now), 0);
            stream.write_all(&bytes[..bytes.len() - bytes.len() / 8 - 1]).await?;
            stream.shutdown().await.map(|()| false)
        }
        Some(Fault::Garbage) => {
            let answer = Answer { body: GARBAGE.to_vec(), ..act(now) };
            send(stream, &Answer { status: 200, ..answer }).await.map(|()| true)
        }
        Some(Fault::Html) => {
            act(now);
            send(stream, &Answer::new(200, "text/html", PAGE.to_vec())).await.map(|()| true)
        }
        Some(Fault::LengthAbove) => {
            stream.write_all(&whole(&act(now), 50)).await?;
            stream.shutdown().await.map(|()| false)
        }
        Some(Fault::LengthBelow) => stream.write_all(&whole(&act(now), -10)).await.map(|()| true),
        Some(Fault::FailsUnacted(status)) => send(stream, &shared.speech.failure(status)).await.map(|()| true),
        Some(Fault::FailsActed(status)) => {
            act(now);
            send(stream, &shared.speech.failure(status)).await.map(|()| true)
        }
        Some(Fault::Drip) => {
            for piece in whole(&act(now), 0).chunks(64) {
                stream.write_all(piece).await?;
                sleep(shared.pace.drip / DROPS).await;
            }
            Ok(true)
        }
        // Its time has come before the request was read.
        Some(Fault::Away | Fault::Amnesia) => send(stream, &act(now)).await.map(|()| true),
    }
}

fn reset(stream: &TcpStream) -> io::Result<bool> {
    // With nothing left to wait for, closing sends RST.
    stream.set_zero_linger().map(|()| false)
}

/// Silence, until nobody waits any more.
async fn stall(stream: &mut TcpStream, shared: &Shared) -> io::Result<bool> {
    let gone = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut [0; 512]) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
    };
    let _ = timeout(shared.pace.stall, gone).await;
    Ok(false)
}

async fn send(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    stream.write_all(&whole(answer, 0)).await
}

/// An answer's bytes, whose length is told as so much more than it is.
fn whole(answer: &Answer, more: isize) -> Vec<u8> {
    let Answer { status, content_type, body } = answer;
    let length = body.len().saturating_add_signed(more);
    let head = format!("HTTP/1.1 {status} Told\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
