//! Processes that a program has started: they end with it, and are measured from outside.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::Result;

const PATIENCE: Duration = Duration::from_secs(60);
/// What the kernel counts a process's time in, for everybody outside of it (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// A process that ends when this is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    /// Whether it has ended by itself, which nothing started here should.
    pub fn check(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => Err(format!("it has ended: {status}").into()),
            None => Ok(()),
        }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The processor time that it and its own processes have used, in seconds.
    pub fn processor_seconds(&self) -> Result<f64> {
        let mut ticks = times(self.id())?.own;
        for entry in fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has just ended is nobody's child any more.
            if let Ok(times) = times(id)
                && times.parent == self.id()
            {
                ticks += times.own;
            }
        }
        Ok(ticks as f64 / TICKS_A_SECOND)
    }

    /// The memory that it has in the machine's.
    pub fn resident_kib(&self) -> Result<u64> {
        resident_kib(self.id())
    }

    /// Watches its memory until the watch is told to end.
    pub fn watch(&self) -> Watch {
        let (id, ends) = (self.id(), Arc::new(AtomicBool::new(false)));
        let told = ends.clone();
        let watching = thread::spawn(move || {
            let mut most = 0;
            while !told.load(Ordering::Relaxed) {
                most = most.max(resident_kib(id).unwrap_or(0));
                thread::sleep(Duration::from_millis(10));
            }
            most
        });
        Watch { ends, watching }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended or not, it is ours to reap.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks at a process's memory a hundred times a second.
pub struct Watch {
    ends: Arc<AtomicBool>,
    watching: JoinHandle<u64>,
}

impl Watch {
    /// The most that was seen, in KiB.
    pub fn most_kib(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.watching.join().expect("looking at a file does not panic")
    }
}

struct Times {
    parent: u32,
    own: u64,
}

/// Of `/proc/ID/stat`: user and system time, without that of processes that it has waited for.
fn times(id: u32) -> Result<Times> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The program's name stands in parentheses and may have any character.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |at: usize| fields.get(at).copied().ok_or("a field of stat is missing");
    Ok(Times { parent: field(1)?.parse()?, own: field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()? })
}

fn resident_kib(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A proxy on ports of its own choice.
pub struct Proxy {
    /// Its process.
    pub process: Process,
    /// Where its listener `main` is.
    pub address: String,
}

impl Proxy {
    /// Starts it with this configuration, which it gets as a file in the folder, and waits until it is ready.
    pub fn start(binary: &Path, dir: &Path, config: &str) -> Result<Self> {
        let (file, ready) = (dir.join("batchlingua.toml"), dir.join("ready"));
        fs::write(&file, config)?;
        let _ = fs::remove_file(&ready);
        // It starts in the folder, and would look there for a relative path.
        let binary = binary.canonicalize().map_err(|cause| format!("{}: {cause}", binary.display()))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&file).arg("--ready-file").arg(&ready).current_dir(dir);
        let mut process = Process::start(&mut command)?;
        let deadline = Instant::now() + PATIENCE;
        let told = loop {
            if let Ok(told) = fs::read_to_string(&ready) {
                break told;
            }
            process.check()?;
            if Instant::now() > deadline {
                return Err("the proxy was not ready in time".into());
            }
            thread::yield_now();
        };
        let address = crate::client::text_after(&told, "\"main\":\"").ok_or("no address in the ready file")?;
        Ok(Self { process, address: address.to_owned() })
    }
}
