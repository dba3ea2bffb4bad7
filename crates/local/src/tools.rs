//! What this machine has to run batches with.
//!
//! Spark is looked for where a person would: the configured home, `SPARK_HOME`, `spark-submit` on `PATH`, a `pyspark` that Python has. Asking
//! Python takes a while, so nobody who starts waits for it: the search begins beside, and the first batch waits for its answer. The answer
//! is remembered; a probe looks again only where it is not good, and then not more often than every [`SEARCH_EVERY`].

use std::{
    collections::BTreeMap,
    env,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::Config;

/// How often a Spark that was not there is looked for again.
const SEARCH_EVERY: Duration = Duration::from_secs(60);

/// How long Python may take to say whether it has `pyspark`.
const PYTHON_TIME: Duration = Duration::from_secs(20);

/// Finds a package without importing it.
const FIND_PYSPARK: &str = "import importlib.util as u, sys
s = u.find_spec('pyspark')
print(list(s.submodule_search_locations)[0] if s and s.submodule_search_locations else '')
print(sys.executable)";

/// The answer to the search, once there is one.
#[derive(Debug)]
pub(crate) struct Search {
    config: Arc<Config>,
    found: Mutex<Found>,
    told: Condvar,
}

#[derive(Debug)]
struct Found {
    tools: Option<Arc<Tools>>,
    asked: Instant,
}

impl Search {
    /// Begins to look.
    pub(crate) fn begin(config: Arc<Config>) -> Arc<Self> {
        let found = Mutex::new(Found { tools: None, asked: Instant::now() });
        let search = Arc::new(Self { config, found, told: Condvar::new() });
        search.look();
        search
    }

    fn look(self: &Arc<Self>) {
        let search = Arc::clone(self);
        thread::spawn(move || {
            let tools = Arc::new(Tools::find(&search.config));
            search.found.lock().unwrap_or_else(PoisonError::into_inner).tools = Some(tools);
            search.told.notify_all();
        });
    }

    /// What there is. Waits for the first answer, which may take as long as Python takes to start.
    pub(crate) fn tools(&self) -> Arc<Tools> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &found.tools {
                Some(tools) => return Arc::clone(tools),
                None => found = self.told.wait(found).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// What there is as far as is known, without waiting; where that is no Spark, or one that is gone, it is looked for again beside.
    pub(crate) fn check(self: &Arc<Self>) -> Option<Arc<Tools>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |tools: &Tools| tools.spark.as_ref().is_some_and(|spark| is_executable(&spark.submit));
        let again = self.config.spark && found.tools.as_ref().is_some_and(|tools| !good(tools));
        if again && found.asked.elapsed() >= SEARCH_EVERY {
            found.asked = Instant::now();
            self.look();
        }
        found.tools.clone()
    }
}

/// The programs that run batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) spark: Option<Spark>,
    /// The configuration names a Spark that is not there: a batch must not run as if none were wanted.
    pub(crate) fault: Option<String>,
    pub(crate) python: String,
    pub(crate) java: String,
}

/// A Spark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spark {
    /// Its `spark-submit`.
    pub(crate) submit: PathBuf,
    /// What it is to find in its environment.
    pub(crate) env: BTreeMap<String, String>,
}

impl Tools {
    /// Looks around. May run Python, so it may take a moment.
    pub(crate) fn find(config: &Config) -> Self {
        let mut tools = Self {
            spark: None,
            fault: None,
            python: config.python.clone().unwrap_or_else(|| "python3".to_owned()),
            java: config.java.clone().unwrap_or_else(java_of_environment),
        };
        if !config.spark {
            return tools;
        }
        let from_environment = || env::var_os("SPARK_HOME").map(PathBuf::from).and_then(|home| Spark::at_home(&home));
        tools.spark = match &config.spark_home {
            Some(home) => Spark::at_home(home),
            None => from_environment().or_else(Spark::on_path).or_else(|| Spark::of_python(&tools.python)),
        };
        if let (Some(home), None) = (&config.spark_home, &tools.spark) {
            tools.fault = Some(format!("spark_home is {}, but there is no bin/spark-submit in it", home.display()));
        }
        if let Some(spark) = &mut tools.spark {
            if let Some(python) = &config.python {
                spark.env.insert("PYSPARK_PYTHON".to_owned(), python.clone());
            }
            if let Some(home) = config.java.as_deref().and_then(|java| java.strip_suffix("/bin/java")) {
                spark.env.insert("JAVA_HOME".to_owned(), home.to_owned());
            }
        }
        tools
    }
}

impl Spark {
    fn at_home(home: &Path) -> Option<Self> {
        let home = std::path::absolute(home).ok()?;
        let submit = home.join("bin/spark-submit");
        // Its scripts believe SPARK_HOME more than the folder they lie in.
        let env = BTreeMap::from([("SPARK_HOME".to_owned(), home.to_str()?.to_owned())]);
        is_executable(&submit).then_some(Self { submit, env })
    }

    fn on_path() -> Option<Self> {
        let path = env::var_os("PATH")?;
        let submit = env::split_paths(&path).map(|dir| dir.join("spark-submit")).find(|file| is_executable(file))?;
        Some(Self { submit, env: BTreeMap::new() })
    }

    fn of_python(python: &str) -> Option<Self> {
        let said = ask(python, FIND_PYSPARK)?;
        let mut lines = said.lines();
        let home = lines.next().filter(|home| !home.is_empty())?;
        let mut spark = Self::at_home(Path::new(home))?;
        if env::var_os("PYSPARK_PYTHON").is_none() {
            spark.env.extend(lines.next().map(|python| ("PYSPARK_PYTHON".to_owned(), python.to_owned())));
        }
        Some(spark)
    }
}

fn java_of_environment() -> String {
    let of_home = || Some(Path::new(&env::var_os("JAVA_HOME")?).join("bin/java"));
    match of_home().filter(|java| is_executable(java)).and_then(|java| java.to_str().map(str::to_owned)) {
        Some(java) => java,
        None => "java".to_owned(),
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|entry| entry.is_file() && entry.permissions().mode() & 0o111 != 0)
}

/// What a Python program prints, unless it fails or takes too long.
fn ask(python: &str, program: &str) -> Option<String> {
    let mut command = Command::new(python);
    command.args(["-c", program]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        // Nobody listens any more if it took too long.
        let _ = stdout.read_to_string(&mut text).map(|_| said.send(text));
    });
    let text = heard.recv_timeout(PYTHON_TIME).ok();
    if text.is_none() {
        // It may have ended by itself just now.
        let _ = child.kill();
    }
    child.wait().ok()?.success().then_some(text)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_spark_that_is_missing_is_a_fault_and_not_a_silent_loss() {
        let home = tempfile::tempdir().expect("a folder");
        let config = Config { spark_home: Some(home.path().to_owned()), ..Config::default() };
        let tools = Tools::find(&config);
        assert_eq!(tools.spark, None);
        assert!(tools.fault.is_some_and(|fault| fault.contains("bin/spark-submit")));

        std::fs::create_dir(home.path().join("bin")).expect("made");
        let submit = home.path().join("bin/spark-submit");
        std::fs::write(&submit, "#!/bin/sh\n").expect("written");
        assert_eq!(Tools::find(&config).spark, None, "not executable");
        std::fs::set_permissions(&submit, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        let spark = Tools::find(&config).spark.expect("a Spark");
        assert_eq!(spark.submit, submit);
        assert_eq!(spark.env.get("SPARK_HOME").map(String::as_str), home.path().to_str());

        let off = Config { spark: false, ..config };
        assert_eq!((Tools::find(&off).spark, Tools::find(&off).fault), (None, None));
    }

    #[test]
    fn a_python_that_does_not_work_has_no_spark() {
        assert_eq!(ask("/nonexistent/python", "print(1)"), None);
        assert_eq!(ask("/bin/false", "print(1)"), None);
    }
}
