//! `[backend.NAME]` of kind `kylin`.

use batchlingua_core::Project;
use batchlingua_wire::{AuthScheme, ClientConfig, ConfigError, Settings};

/// A Kylin takes a name and a password, and no other proof.
const SCHEMES: &[AuthScheme] = &[AuthScheme::Basic, AuthScheme::Caller];

/// How a Kylin is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct BackendSettings {
    /// How it is reached.
    pub(crate) client: ClientConfig,
    /// Which of Kylin's APIs it has.
    pub(crate) version: Version,
    /// The projects whose jobs are batches here; empty: of all that its account sees.
    pub(crate) projects: Vec<Project>,
}

/// Which of Kylin's APIs a backend has. Configured, since an older one answers a newer one's questions, and otherwise than they are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Kylin 5.
    Five,
    /// Kylin 4.
    Four,
    /// Kylin 3.
    Three,
    /// Kylin 2.
    Two,
}

impl Version {
    fn of(face: &str) -> Option<Self> {
        [("kylin5", Self::Five), ("kylin4", Self::Four), ("kylin3", Self::Three), ("kylin2", Self::Two)]
            .into_iter()
            .find_map(|(name, version)| (name == face).then_some(version))
    }

    /// Whether it answers in an envelope, under types of its own.
    pub(crate) fn is_five(self) -> bool {
        match self {
            Self::Five => true,
            Self::Four | Self::Three | Self::Two => false,
        }
    }

    /// `timeFilter` for all jobs: the codes of the older API moved by one. Kylin 5 has the oldest ones again.
    pub(crate) fn all_time(self) -> u8 {
        match self {
            Self::Five | Self::Two => 4,
            Self::Four | Self::Three => 5,
        }
    }
}

impl BackendSettings {
    pub(crate) fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let client = ClientConfig::read(&mut settings, SCHEMES);
        let face = settings.text("face");
        let version = face.as_deref().map_or(Some(Version::Five), Version::of).unwrap_or_else(|| {
            settings.fault("face", "must be \"kylin5\", \"kylin4\", \"kylin3\" or \"kylin2\"");
            Version::Five
        });
        let projects = projects(&mut settings);
        settings.finish()?;
        // Without a client there was a fault.
        let client = client.ok_or_else(Vec::new)?;
        Ok(Self { client, version, projects })
    }
}

fn projects(settings: &mut Settings) -> Vec<Project> {
    let Some(names) = settings.texts("projects") else { return Vec::new() };
    if names.is_empty() {
        settings.fault("projects", "names none, so no job would be seen; leave it out for all");
    }
    let mut projects: Vec<Project> = Vec::new();
    for name in names {
        let project = Project::from(name.trim());
        if project.as_str().is_empty() || projects.contains(&project) {
            settings
                .fault("projects", format!("must name each project once, and \"{name}\" is empty or there already"));
            continue;
        }
        projects.push(project);
    }
    projects
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut value: Value) -> Result<BackendSettings, Vec<ConfigError>> {
        value["url"] = json!("http://127.0.0.1:7070");
        BackendSettings::read(Settings::new("backend.k", value))
    }

    #[test]
    fn settings_have_defaults_and_tell_what_is_wrong() {
        let default = read(json!({})).expect("all keys but the address have defaults");
        assert_eq!((default.version, default.projects), (Version::Five, Vec::new()));
        let given = read(json!({"face": "kylin3", "projects": ["retail", " risk"]})).expect("valid");
        assert_eq!((given.version, given.projects), (Version::Three, vec!["retail".into(), "risk".into()]));
        let faults = |value| {
            let faults = read(value).expect_err("a fault");
            faults.into_iter().map(|fault| fault.path).collect::<Vec<_>>()
        };
        assert_eq!(faults(json!({"face": "kylin6", "project": ["a"]})), ["backend.k.face", "backend.k.project"]);
        assert_eq!(faults(json!({"projects": []})), ["backend.k.projects"]);
        assert_eq!(faults(json!({"projects": ["a", "a", ""]})), ["backend.k.projects", "backend.k.projects"]);
        assert_eq!(faults(json!({"auth": {"bearer": "x"}})), ["backend.k.auth.bearer"]);
    }

    #[test]
    fn all_of_time_has_another_number_in_the_middle_versions() {
        let all = ["kylin5", "kylin4", "kylin3", "kylin2"].map(|face| Version::of(face).expect("known").all_time());
        assert_eq!(all, [4, 5, 5, 4]);
    }
}
