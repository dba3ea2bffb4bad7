//! Whatever a platform does not get is told, or refused where the job would do something else; never left out in silence. Whatever it gets
//! is not complained of, and has come.

use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{BatchSpec, Mapping, PathMap};
use batchlingua_testkit::conformance::Job;
use serde_json::{Value, json};

use crate::{
    chains::{Chain, Platform},
    house::{Ask, House},
    voices::{VOICES, Voice},
};

/// Something that not every platform has a place for, as one dialect's client says it.
struct Said {
    by: &'static str,
    member: &'static str,
    value: fn() -> Value,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// Only a platform of its own dialect knows it; told by this name.
    Own(&'static str),
    /// The user that it is to run as.
    RunAs,
    /// A conf key.
    Conf(&'static str),
}

const IMAGE: &str = "spark.kubernetes.driver.container.image";
const USER: &str = "hive.server2.proxy.user";

const SAID: [Said; 6] = [
    Said { by: "dli", member: "spark_version", value: || json!("3.3.1"), what: What::Own("extension:spark_version") },
    Said {
        by: "kyuubi",
        member: "conf",
        value: || json!({ "kyuubi.batch.priority": "10" }),
        what: What::Own("extension:kyuubi.batch.priority"),
    },
    Said { by: "livy", member: "proxyUser", value: || json!("ann"), what: What::RunAs },
    Said { by: "livy", member: "conf", value: || json!({ IMAGE: "spark:1" }), what: What::Conf(IMAGE) },
    Said { by: "kyuubi", member: "conf", value: || json!({ IMAGE: "spark:1" }), what: What::Conf(IMAGE) },
    Said { by: "livy", member: "conf", value: || json!({ USER: "ann" }), what: What::Conf(USER) },
];

/// What is to become of it.
enum Fate {
    Carried,
    Told(String),
    Refused(String),
}

impl Said {
    /// By the platform's own table, from which its documentation comes too.
    fn fate(&self, kind: &str, mapping: &Mapping) -> Fate {
        let (spec, name) = match self.what {
            What::Own(_) if kind == self.by => return Fate::Carried,
            What::Own(name) => return Fate::Told(name.to_owned()),
            What::RunAs => (BatchSpec { run_as: Some("ann".into()), ..BatchSpec::default() }, "run_as".to_owned()),
            What::Conf(key) => {
                let conf = [(key.to_owned(), "a value".to_owned())].into_iter().collect();
                (BatchSpec { conf, ..BatchSpec::default() }, format!("conf:{key}"))
            }
        };
        let load = mapping.load(&spec, &self.by.into(), &PathMap::default());
        let is_lost = load.map(|load| load.fates.iter().any(|fate| fate.is_lost() && fate.to_string() == name));
        match is_lost {
            Ok(false) => Fate::Carried,
            // What only places a job is told; what makes it another one is refused.
            Ok(true) if name.starts_with("conf:spark.") => Fate::Told(name),
            Ok(true) | Err(_) => Fate::Refused(name),
        }
    }
}

pub(crate) async fn what_is_lost_is_told(platform: &'static Platform) {
    if platform.begun_by.is_some() {
        // It cannot be told to run anything, which `behaviours` looks at.
        return;
    }
    let house = Chain::house(platform).await;
    let memory = house.chain.as_ref().expect("a chain").upstream.life().memory;
    let kind = platform.voice.dialect();
    let adapter = ADAPTERS.iter().find(|adapter| adapter.name == kind).expect("it is there");
    for said in &SAID {
        let front = VOICES.into_iter().find(|voice| voice.dialect() == said.by).expect("it is there");
        let ask = front.submit(&house.rig.spec(Job::Succeeds)).expect("it submits");
        let jobs = memory.jobs_created();
        let answer = house.ask(&ask.with(said.member, (said.value)())).await;
        let pair = format!("{} of {} on {kind}", said.member, said.by);
        let told = answer.header("batchlingua-unmapped");
        match said.fate(kind, adapter.mappings[0]) {
            Fate::Carried => assert_eq!((answer.status / 100, told), (2, None), "{pair}: {answer:?}"),
            Fate::Told(name) => assert_eq!((answer.status / 100, told), (2, Some(&*name)), "{pair}: {answer:?}"),
            Fate::Refused(name) => {
                assert_eq!(answer.status, front.refused(), "{pair}: {answer:?}");
                assert!(answer.text().contains(&name) && answer.text().contains("'here'"), "{pair}: {answer:?}");
                assert_eq!(memory.jobs_created(), jobs, "{pair}");
                continue;
            }
        }
        assert_eq!(memory.jobs_created(), jobs + 1, "{pair}");
    }
}

/// The queue as each says it.
fn queued(front: &dyn Voice, ask: Ask) -> Ask {
    match front.dialect() {
        "kyuubi" => ask.with("conf", json!({ "spark.yarn.queue": "nightly", "spark.x": "y" })),
        _ => ask.with("conf", json!({ "spark.x": "y" })).with("queue", json!("nightly")),
    }
}

/// File, arguments, name, queue and conf are what they were, two translations later.
pub(crate) async fn what_goes_along_has_come(platform: &'static Platform) {
    if platform.begun_by.is_some() {
        return;
    }
    let house = Chain::house(platform).await;
    for front in VOICES {
        let spec = house.rig.spec(Job::Prints(7));
        let Some(ask) = front.submit(&spec) else { continue };
        let name = format!("the nightly one of {}", front.dialect());
        let ask = queued(front, ask).with("name", json!(name));
        let came = there(&house, front, &ask).await;
        let pair = format!("{} on {}", front.dialect(), platform.voice.dialect());
        assert_eq!((came.file.as_deref(), &came.args), (Some(platform.file), &spec.args), "{pair}");
        assert_eq!(came.kind, spec.kind, "{pair}");
        assert_eq!((came.name.as_deref(), came.queue.as_deref()), (Some(&*name), Some("nightly")), "{pair}");
        assert_eq!(came.conf.get("spark.x"), Some("y"), "{pair}: {:?}", came.conf);
    }
}

/// The batch as the far end has understood it.
async fn there(house: &House, front: &dyn Voice, ask: &Ask) -> BatchSpec {
    let answer = house.ask(ask).await;
    assert_eq!(answer.status / 100, 2, "{}: {answer:?}", front.dialect());
    assert_eq!(answer.header("batchlingua-unmapped"), None, "{}: {answer:?}", front.dialect());
    let native = house.native(front.wanted(&front.submitted(&answer.json()))).await;
    let chain = house.chain.as_ref().expect("a chain");
    chain.upstream.life().house.spec(&chain.platform.voice.wanted(native.as_str())).await
}
