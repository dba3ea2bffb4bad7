//! What stands between clients and platforms: the proxy as its binary, once or twice on one database, or nginx. Each is killed and started again, always
//! at the same address.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use batchlingua_testkit::lasting_port;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Result, door::Addresses, voice::PROJECT};

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(5);
/// `nobody`.
const NOBODY: u32 = 65534;

/// What is put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One, with a ledger in SQLite.
    Proxy,
    /// Two on one PostgreSQL.
    Replicas,
    /// As its manual has it.
    Nginx,
    /// With `proxy_next_upstream error timeout non_idempotent`: what fails is sent again, submits too.
    NginxRetrying,
}

impl What {
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::Proxy | Self::Replicas => true,
            Self::Nginx | Self::NginxRetrying => false,
        }
    }

    /// What a table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Proxy => "one, SQLite",
            Self::Replicas => "two, PostgreSQL",
            Self::Nginx => "nginx, its default",
            Self::NginxRetrying => "nginx, retries of POST",
        }
    }
}

/// A program that is running.
pub(crate) struct Front {
    what: What,
    binary: PathBuf,
    dir: PathBuf,
    child: Child,
    pub(crate) addresses: Addresses,
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Front {
    /// `ledger`: its URL, of the proxy.
    pub(crate) async fn start(
        what: What,
        binary: &Path,
        dir: &Path,
        platforms: Addresses,
        ledger: &str,
    ) -> Result<Self> {
        let addresses = [local(lasting_port()), local(lasting_port()), local(lasting_port())];
        let (addresses, config) = match what {
            What::Proxy | What::Replicas => {
                ([addresses[0]; 3], proxy_config(dir, addresses[0], addresses[1], platforms, ledger))
            }
            What::Nginx | What::NginxRetrying => {
                (addresses, nginx_config(dir, addresses, platforms, what == What::NginxRetrying))
            }
        };
        fs::create_dir_all(dir)?;
        fs::write(dir.join("config"), config)?;
        let child = launch(what, binary, dir)?;
        let mut front = Self { what, binary: binary.to_owned(), dir: dir.to_owned(), child, addresses };
        front.until_ready().await?;
        Ok(front)
    }

    async fn until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let is_ready = match self.what {
                What::Proxy | What::Replicas => self.dir.join("ready").exists(),
                What::Nginx | What::NginxRetrying => TcpStream::connect(self.addresses[2]).is_ok(),
            };
            if is_ready {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status} before it was ready; see {}", self.dir.display()).into());
            }
            if Instant::now() > until {
                return Err("it was not ready in time".into());
            }
            sleep(GLANCE).await;
        }
    }

    /// Ends it, at once or gently.
    pub(crate) async fn end(&mut self, gently: bool) -> Result<()> {
        let signal = if gently { Signal::TERM } else { Signal::KILL };
        kill_process(Pid::from_child(&self.child), signal)?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err("it did not end".into());
            }
            sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Starts it again when it has ended.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.dir.join("ready"));
        self.child = launch(self.what, &self.binary, &self.dir)?;
        self.until_ready().await
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Ended or not, it is ours to reap.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(what: What, binary: &Path, dir: &Path) -> Result<Child> {
    let config = dir.join("config");
    let mut command = match what {
        What::Proxy | What::Replicas => {
            let mut command = Command::new(binary);
            command.arg("serve").arg("--config").arg(&config).arg("--ready-file").arg(dir.join("ready"));
            command
        }
        What::Nginx | What::NginxRetrying => {
            let mut command = Command::new("nginx");
            command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(&config);
            // As whoever runs this, but never as root.
            if fs::metadata("/proc/self")?.uid() == 0 {
                chown(dir, Some(NOBODY), Some(NOBODY))?;
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        }
    };
    let said = File::options().create(true).append(true).open(dir.join("stderr.log"))?;
    Ok(command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn()?)
}

/// Short times, in the order that the defaults have: an attempt is shorter than a call, and `settle` above all that a platform takes.
fn proxy_config(dir: &Path, main: SocketAddr, admin: SocketAddr, platforms: Addresses, ledger: &str) -> String {
    let dir = dir.display();
    let [livy, kyuubi, dli] = platforms;
    let times = "timeout = \"3s\"\nconnect_timeout = \"1s\"\nattempt_timeout = \"1500ms\"\nsettle = \"5s\"\n";
    let route = |name: &str| format!("[[route]]\nmatch = {{ header = {{ X-Soak = \"{name}\" }} }}\nto = \"{name}\"\n");
    format!(
        "[[listener]]\nname = \"main\"\naddress = \"{main}\"\n[admin]\naddress = \"{admin}\"\n\
         [ledger]\nurl = \"{ledger}\"\ntimeout = \"2s\"\n\
         [limits]\nupload_dir = \"{dir}/uploads\"\nrequest_timeout = \"10s\"\nsubmit_wait = \"2s\"\ncancel_wait = \"2s\"\n\
         lease = \"5s\"\nunknown_after = \"4s\"\nsweep = \"2s\"\ndrain_max = \"5s\"\n\
         [backend.livy]\nkind = \"livy\"\nurl = \"http://{livy}\"\n{times}delete_timeout = \"3s\"\nghost_after = \"3s\"\n\
         [backend.kyuubi]\nkind = \"kyuubi\"\nurl = \"http://{kyuubi}\"\n{times}delete_timeout = \"3s\"\n\
         [backend.dli]\nkind = \"dli\"\nurl = \"http://{dli}\"\n{times}project_id = \"{PROJECT}\"\nqueue = \"q1\"\n\
         auth = {{ token = \"a-token-of-the-soak\" }}\npaths = {{ \"hdfs:///soak/\" = \"obs://soak/\" }}\n\
         {}{}{}[log]\nlevel = \"info\"\n",
        route("livy"),
        route("kyuubi"),
        route("dli")
    )
}

/// Each platform at an address of its own, with the same time for an answer. Retries need a second server: it is the same one.
fn nginx_config(dir: &Path, addresses: Addresses, platforms: Addresses, retries: bool) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {dir}/{what};"))
        .concat();
    let again = if retries { "proxy_next_upstream error timeout non_idempotent;" } else { "" };
    let servers: String = addresses
        .iter()
        .zip(platforms)
        .enumerate()
        .map(|(n, (own, platform))| {
            let server = format!("server {platform} max_fails=0;");
            format!(
                "upstream p{n} {{ {server} {server} keepalive 64; }}\n\
                 server {{ listen {own}; location / {{ proxy_pass http://p{n}; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; proxy_connect_timeout 1s; proxy_read_timeout 1500ms; {again} }} }}\n"
            )
        })
        .collect();
    format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 1024; }}\nhttp {{ access_log off; {temporary}\n{servers}}}\n"
    )
}
