//! Content codings, both ways, bounded: a small body that unpacks to a large one is refused at the limit.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    read::{MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};

/// A coding that Jetty knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`.
    Gzip,
    /// `deflate`, which is zlib on the wire.
    Deflate,
}

impl Coding {
    /// Of a `Content-Encoding` value; one that is unknown is no coding, as Jetty takes it (Livy's own Java client sends `UTF-8`).
    pub fn of(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// The coding that an `Accept-Encoding` value asks for: gzip before deflate, and none that it refuses by `q=0`.
    pub fn accepted(value: &str) -> Option<Self> {
        let wanted = value.split(',').filter_map(|part| {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let q = parameters.split(';').find_map(|p| p.trim().strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            (q.unwrap_or(1.0) > 0.0).then(|| Self::of(name)).flatten()
        });
        wanted.fold(None, |best, coding| match (best, coding) {
            (Some(Self::Gzip), _) | (_, Self::Gzip) => Some(Self::Gzip),
            (_, Self::Deflate) => Some(Self::Deflate),
        })
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Unpacks a body. More than `max` bytes: `Ok(None)`.
pub fn decode_body(coding: Coding, bytes: &[u8], max: usize) -> io::Result<Option<Bytes>> {
    let limit = max as u64 + 1;
    let mut out = Vec::new();
    match coding {
        Coding::Gzip => MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out)?,
        Coding::Deflate => ZlibDecoder::new(bytes).take(limit).read_to_end(&mut out)?,
    };
    Ok((out.len() <= max).then(|| out.into()))
}

/// Packs a body.
pub fn encode_body(coding: Coding, bytes: &[u8]) -> Bytes {
    let packed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
    };
    packed.expect("writing to memory does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_up_to_the_limit() {
        let text = vec![b'x'; 100_000];
        for coding in [Coding::Gzip, Coding::Deflate] {
            let packed = encode_body(coding, &text);
            assert!(packed.len() < 2_000);
            assert_eq!(decode_body(coding, &packed, 100_000).expect("whole").as_deref(), Some(text.as_slice()));
            assert_eq!(decode_body(coding, &packed, 99_999).expect("whole"), None);
            assert!(decode_body(coding, b"plain", 100).is_err());
        }
    }

    #[test]
    fn accepted_codings_follow_the_header() {
        assert_eq!(Coding::accepted("deflate, gzip"), Some(Coding::Gzip));
        assert_eq!(Coding::accepted("gzip;q=0, deflate;q=0.5"), Some(Coding::Deflate));
        assert_eq!(Coding::accepted("gzip;q=0, identity"), None);
        assert_eq!(Coding::accepted("br"), None);
    }
}
