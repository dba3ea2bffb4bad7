//! What a principal may do: which projects, queues and users he may name, whose batches he may act on.
//!
//! All of it is asked before anything is written or sent. Where nobody has to prove who he is, everybody has [`Rights::all`] and no
//! question is in anybody's way. What lies outside somebody's projects is not refused but not there, so that nobody learns of it; only who
//! names a project himself is told that it is not his.
//!
//! [`Rights::all`]: batchlingua_core::Rights::all

use batchlingua_core::{
    Allowed, Batch, BatchId, BatchSpec, Context, Denial, Error, ErrorKind, Missing, Project, RUN_AS_CONF, Result,
};

/// Spark's conf names a queue too, and what it says there is what YARN gets.
const QUEUE_CONF: &[&str] = &["spark.yarn.queue"];

/// Which projects and queues there are for clients.
#[derive(Clone, Debug)]
pub struct Scoping {
    /// These projects; `None`: every well-formed name is one.
    pub projects: Option<Vec<String>>,
    /// These queues; `None`: every well-formed name is one.
    pub queues: Option<Vec<String>>,
    /// Whether who names a project sees the batches that have none, too.
    pub show_unscoped: bool,
}

impl Default for Scoping {
    fn default() -> Self {
        Self { projects: None, queues: None, show_unscoped: true }
    }
}

impl Scoping {
    /// The projects whose batches are shown to who names this one or none (`None`: all), and whether those without a project are shown
    /// beside them. `unscoped`: the project that those are shown in. Naming it shows them, and nothing that is not there for him else.
    pub(crate) fn shown(
        &self,
        ctx: &Context,
        project: Option<&Project>,
        unscoped: Option<&str>,
    ) -> (Option<Vec<Project>>, bool) {
        let Some(project) = project else {
            // A client that names none, and may have no word for it, must find its own.
            return (self.projects(ctx), true);
        };
        let own = self.check_project(ctx, Some(project)).is_ok().then(|| project.clone());
        (Some(own.into_iter().collect()), self.show_unscoped || unscoped == Some(project.as_str()))
    }

    fn projects(&self, ctx: &Context) -> Option<Vec<Project>> {
        let named = |names: &[String]| names.iter().map(|name| Project::from(name.as_str())).collect();
        match (&ctx.rights.projects, &self.projects) {
            (Allowed::Any, None) => None,
            (Allowed::Any, Some(known)) => Some(named(known)),
            (Allowed::Only(own), None) => Some(named(own)),
            (Allowed::Only(own), Some(known)) => {
                Some(known.iter().filter(|name| own.contains(name)).map(|name| Project::from(name.as_str())).collect())
            }
        }
    }

    /// Whether this project can be named. Who may not use it does not learn whether it is there.
    pub(crate) fn check_project(&self, ctx: &Context, project: Option<&Project>) -> Result<()> {
        let Some(name) = project.map(Project::as_str) else { return Ok(()) };
        if !ctx.rights.projects.has(name) {
            let denial = Denial::Project(name.to_owned());
            return Err(denied(ctx, denial, format_args!("may not use the project '{name}'")));
        }
        if !is_known(self.projects.as_deref(), name) {
            let message = format!("there is no project '{name}' here");
            return Err(Error::new(ErrorKind::NotFound(Missing::Project(name.to_owned())), message));
        }
        Ok(())
    }

    /// Whether there is no user and no queue that this request's client may not name.
    pub(crate) fn is_open_to(&self, ctx: &Context) -> bool {
        ctx.rights.run_as == Allowed::Any && ctx.rights.queues == Allowed::Any && self.queues.is_none()
    }

    /// Whether a batch with this project and spec may be submitted.
    pub(crate) fn check_submit(&self, ctx: &Context, project: Option<&Project>, spec: &BatchSpec) -> Result<()> {
        self.check_project(ctx, project)?;
        let said = |keys: &'static [&'static str]| keys.iter().filter_map(|key| spec.conf.get(key));
        for queue in spec.queue.as_deref().into_iter().chain(said(QUEUE_CONF)) {
            self.check_queue(ctx, queue)?;
        }
        for user in spec.run_as.as_deref().into_iter().chain(said(&RUN_AS_CONF)) {
            if user != &*ctx.principal.name && !ctx.rights.run_as.has(user) {
                let denial = Denial::RunAs { wanted: user.to_owned() };
                return Err(denied(ctx, denial, format_args!("may not run batches as '{user}'")));
            }
        }
        Ok(())
    }

    fn check_queue(&self, ctx: &Context, queue: &str) -> Result<()> {
        if !ctx.rights.queues.has(queue) {
            let denial = Denial::Queue(queue.to_owned());
            return Err(denied(ctx, denial, format_args!("may not use the queue '{queue}'")));
        }
        if !is_known(self.queues.as_deref(), queue) {
            let message = format!("there is no queue '{queue}' here");
            return Err(Error::new(ErrorKind::NotFound(Missing::Queue(queue.to_owned())), message));
        }
        Ok(())
    }
}

fn is_known(known: Option<&[String]>, name: &str) -> bool {
    known.is_none_or(|known| known.iter().any(|known| known == name))
}

/// Whether the principal may act on a batch where only its own people may. Nobody's batch is the administrators'.
pub(crate) fn check_owner(ctx: &Context, batch: &Batch<BatchId>) -> Result<()> {
    let me = &*ctx.principal.name;
    let owner = batch.owner.as_ref().map(|owner| &*owner.name);
    let user = batch.user();
    let is_own = owner == Some(me) || user.is_some_and(|user| user == me || ctx.rights.run_as.has(user));
    if is_own || ctx.rights.administrator {
        return Ok(());
    }
    let owner = user.unwrap_or("nobody").to_owned();
    let whose = format!("may not act on a batch of '{owner}'; its owner or an administrator may");
    Err(denied(ctx, Denial::Owner { owner }, format_args!("{whose}")))
}

fn denied(ctx: &Context, denial: Denial, what: std::fmt::Arguments<'_>) -> Error {
    Error::new(ErrorKind::Forbidden(denial), format!("'{}' {what}", ctx.principal.name))
}
