//! Requests that no client should send, made from ones that clients do send.
//!
//! Seeded and without state of its own: the same seed gives the same cases, so a failure is found again by its number. Every kind of
//! damage is taken in turn, since a purely random walk would spend its time on cut bodies and hardly meet a smuggled one. What must hold
//! for each case is the tester's to say: an answer in the dialect's words or a closed connection, no panic, no hang, no job.

mod bytes;
mod framing;
mod head;
mod json;
mod multipart;
mod raw;

pub use multipart::{Form, Part};
use raw::Raw;

/// One damaged request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its number, the kind of damage and which request it was.
    pub name: String,
    /// What to write to the socket, flushed one by one. After the last nothing comes: whether the connection then stays open is the
    /// tester's choice.
    pub writes: Vec<Vec<u8>>,
}

/// A kind of damage. `None`: the request has nothing that could be damaged so, such as a body.
type Damage = fn(&Raw, &mut Rng) -> Option<Vec<Vec<u8>>>;

/// So many cases from these recorded requests.
pub fn cases(seed: u64, seeds: &[Vec<u8>], n: usize) -> Vec<Case> {
    let requests: Vec<Raw> = seeds.iter().map(|bytes| Raw::parse(bytes)).collect();
    let mut kinds: Vec<(&str, Damage)> = [bytes::KINDS, head::KINDS, framing::KINDS, json::KINDS].concat();
    // Few products take forms; the others would get a cut request in the place of each of these.
    if requests.iter().any(|request| Form::of(request).is_some()) {
        kinds.extend(multipart::KINDS);
    }
    let mut rng = Rng::new(seed);
    let mut cases = Vec::with_capacity(n);
    if requests.is_empty() {
        return cases;
    }
    for number in 0..n {
        let (kind, damage) = kinds[number % kinds.len()];
        // The first request from a random one on that can be damaged so; where none can, one is cut.
        let from = rng.below(requests.len());
        let tried = (0..requests.len()).map(|at| (from + at) % requests.len());
        let found = tried.into_iter().find_map(|at| damage(&requests[at], &mut rng).map(|writes| (at, kind, writes)));
        let (at, kind, writes) = found.unwrap_or_else(|| (from, "cut", bytes::cut(&requests[from], &mut rng)));
        cases.push(Case { name: format!("{number:05} {kind} of request {at}"), writes });
    }
    cases
}

/// xorshift64*: small, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        // The state must not be zero; an odd factor keeps different seeds apart.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is above 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        let form = Form::new([Part::value("v", "{\"a\":[1]}"), Part::file("f", "a.jar", "bytes")]);
        let head = format!("POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n", form.body().len());
        let form = [head.as_bytes(), b"Content-Type: ", &form.content_type(), b"\r\n\r\n", &form.body()].concat();
        let plain = [
            "POST /batches HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n\
             {\"file\": \"/a.py\", \"args\": [\"x\"], \"n\":1}",
            "GET /batches/0 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
        ];
        plain.into_iter().map(|text| text.as_bytes().to_vec()).chain([form]).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_cases_and_another_one_others() {
        let one = cases(1, &seeds(), 500);
        assert_eq!(one, cases(1, &seeds(), 500));
        assert_ne!(one, cases(2, &seeds(), 500));
        assert_eq!(one[..100], cases(1, &seeds(), 100), "a case is found again by its number");
        assert_eq!(cases(1, &[], 5), []);
    }

    #[test]
    fn every_kind_of_damage_is_there_and_damages() {
        let all = cases(7, &seeds(), 1_000);
        let kinds: HashSet<_> = all.iter().map(|case| case.name[6..].split(" of ").next()).collect();
        let all_kinds = [bytes::KINDS, head::KINDS, framing::KINDS, json::KINDS, multipart::KINDS].map(<[_]>::len);
        assert_eq!(kinds.len(), all_kinds.iter().sum::<usize>());
        let whole: HashSet<_> = seeds().into_iter().collect();
        let unharmed = all.iter().filter(|case| whole.contains(&case.writes.concat()));
        let unharmed: HashSet<_> = unharmed.map(|case| case.name[6..].split(" of ").next()).collect();
        assert_eq!(
            unharmed,
            [Some("slow, in pieces"), Some("slow, head and body apart")].into(),
            "only the slow are whole"
        );
    }

    #[test]
    fn requests_that_are_no_http_can_be_damaged_too() {
        let odd: Vec<Vec<u8>> = vec![vec![], b"\0".to_vec(), b"GET".to_vec(), vec![0xff; 10]];
        assert_eq!(cases(3, &odd, 300).len(), 300);
    }
}
