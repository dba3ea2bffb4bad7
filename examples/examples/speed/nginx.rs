//! nginx, as its manual would have it pass requests on: one process, which is its own worker, connections to the platform kept, nothing logged.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use batchlingua_examples::{Result, process::Process};

const PATIENCE: Duration = Duration::from_secs(10);
/// `nobody`.
const NOBODY: u32 = 65534;

/// A running nginx.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl Nginx {
    /// Starts one in front of this address, with all its files in this folder.
    pub(crate) fn start(dir: &Path, origin: &str) -> Result<Self> {
        let port = free_port()?;
        let config = dir.join("nginx.conf");
        let dir_shown = dir.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {dir_shown}/{what};"))
            .join(" ");
        fs::write(
            &config,
            format!(
                "daemon off; master_process off; pid {dir_shown}/nginx.pid; error_log {dir_shown}/error.log;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{\n  access_log off; {temporary}\n\
                 \x20 upstream platform {{ server {origin}; keepalive 64; keepalive_requests 1000000000; }}\n\
                 \x20 server {{\n    listen 127.0.0.1:{port}; keepalive_requests 1000000000; client_max_body_size 0;\n\
                 \x20   location / {{ proxy_pass http://platform; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n  }}\n}}\n"
            ),
        )?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(&config).stderr(Stdio::null());
        // As whoever runs this, but never as root.
        if fs::metadata("/proc/self")?.uid() == 0 {
            chown(dir, Some(NOBODY), Some(NOBODY))?;
            command.uid(NOBODY).gid(NOBODY);
        }
        let started = Process::start(&mut command);
        let mut process = started.map_err(|error| format!("nginx cannot be started: {error}"))?;
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            process.check()?;
            if Instant::now() > deadline {
                return Err("nginx was not ready in time".into());
            }
            thread::yield_now();
        }
        Ok(Self { process, address })
    }
}

/// One below those that the machine gives to whoever asks for any.
fn free_port() -> io::Result<u16> {
    let free = (7_000..10_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.ok_or_else(|| io::Error::other("no port from 7000 to 9999 is free"))
}
