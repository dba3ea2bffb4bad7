//! All that stands between clients and platforms, and what is done to it: replicas are killed, or ended gently, and started again; their database is stopped,
//! or crashes, and is away for a while, with a replica killed meanwhile or not.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use batchlingua_testkit::{Postgres, faults::mix};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use crate::{
    Result,
    door::{Addresses, Door},
    front::{Front, What},
};

const DATABASE: &str = "soak";
const REPLICAS: usize = 2;
/// Every so manieth disturbance is the database's.
const DATABASE_EVERY: u64 = 6;
/// Every so manieth end of a replica is a gentle one.
const GENTLE_EVERY: u64 = 3;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbed {
    pub(crate) kills: u64,
    pub(crate) terms: u64,
    pub(crate) database_stops: u64,
    pub(crate) database_crashes: u64,
}

/// Fronts, and the database of those that need one.
pub(crate) struct Fleet {
    fronts: Vec<Front>,
    database: Option<Arc<Postgres>>,
}

/// Where a ledger is, and who can read it.
#[derive(Clone)]
pub(crate) struct LedgerAt {
    binary: PathBuf,
    url: String,
}

impl Fleet {
    pub(crate) async fn start(
        what: What,
        binary: &Path,
        dir: &Path,
        platforms: Addresses,
    ) -> Result<(Self, Option<LedgerAt>)> {
        let (many, database, url) = match what {
            What::Replicas => {
                // It waits for the disk, as one that is relied upon does.
                let server = spawn_blocking(|| Postgres::start(true)).await?;
                server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
                let url = server.url(DATABASE);
                (REPLICAS, Some(Arc::new(server)), url)
            }
            What::Proxy => (1, None, format!("sqlite://{}", dir.join("ledger.db").display())),
            What::Nginx | What::NginxRetrying => (1, None, String::new()),
        };
        // nginx runs as somebody else, who has to get to his folder in it.
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        let mut fronts = Vec::new();
        for replica in 0..many {
            fronts.push(Front::start(what, binary, &dir.join(replica.to_string()), platforms, &url).await?);
        }
        let ledger = what.is_ours().then(|| LedgerAt { binary: binary.to_owned(), url });
        Ok((Self { fronts, database }, ledger))
    }

    pub(crate) fn door(&self, keeps_ids: bool) -> Door {
        Door { replicas: self.fronts.iter().map(|front| front.addresses).collect(), keeps_ids }
    }

    /// Every few seconds one of them, until all is done. Gives it back with what was done.
    pub(crate) async fn disturb(
        mut self,
        seed: u64,
        every: u64,
        mut is_done: watch::Receiver<bool>,
    ) -> Result<(Self, Disturbed)> {
        let mut done = Disturbed::default();
        for round in 0_u64.. {
            let dice = mix(seed ^ round);
            let pause = Duration::from_millis(every * 500 + dice % (every * 1_000).max(1));
            tokio::select! {
                _ = is_done.wait_for(|done| *done) => break,
                () = sleep(pause), if every > 0 => {}
            }
            match &self.database {
                Some(server) if round % DATABASE_EVERY == DATABASE_EVERY - 1 => {
                    let server = server.clone();
                    self.without(server, mix(dice), &mut done).await?;
                }
                Some(_) | None => self.restart(mix(dice), round % GENTLE_EVERY == GENTLE_EVERY - 1, &mut done).await?,
            }
        }
        Ok((self, done))
    }

    async fn restart(&mut self, dice: u64, gently: bool, done: &mut Disturbed) -> Result<()> {
        let front = self.one(dice);
        front.end(gently).await?;
        if gently {
            done.terms += 1
        } else {
            done.kills += 1
        }
        front.begin().await
    }

    /// One to three seconds without the database. Every other time a replica does not live to see its return.
    async fn without(&mut self, server: Arc<Postgres>, dice: u64, done: &mut Disturbed) -> Result<()> {
        let (crashes, kills) = (dice & 1 == 1, dice & 2 == 2);
        if crashes {
            done.database_crashes += 1
        } else {
            done.database_stops += 1
        }
        let ending = server.clone();
        spawn_blocking(move || if crashes { ending.crash() } else { ending.stop() }).await?;
        let away = Duration::from_millis(1_000 + dice / 4 % 2_000);
        sleep(away / 2).await;
        if kills {
            self.one(dice / 8).end(false).await?;
            done.kills += 1;
        }
        sleep(away / 2).await;
        spawn_blocking(move || server.start_again()).await?;
        match kills {
            true => self.one(dice / 8).begin().await,
            false => Ok(()),
        }
    }

    fn one(&mut self, dice: u64) -> &mut Front {
        let at = usize::try_from(dice % self.fronts.len() as u64).expect("a small number");
        &mut self.fronts[at]
    }
}

impl LedgerAt {
    /// How many submits it has without an outcome; `None`: it could not be read.
    pub(crate) fn open(&self) -> Option<usize> {
        let mut list = Command::new(&self.binary);
        list.args(["ledger", "list", "--open", "--json", "--url", &self.url]).stderr(Stdio::null());
        let listed = list.output().ok().filter(|listed| listed.status.success())?;
        Some(String::from_utf8_lossy(&listed.stdout).lines().count())
    }
}
