//! The tables, and how a database of an older version becomes one of this version.
//!
//! They are in a schema of their own, `batchlingua`, so that the database may have other things in it. The table `migrations` counts those that the
//! database has seen; a new schema is one more entry at the end of [`MIGRATIONS`], and an entry that has been released is never changed.
//! All that are missing run in one transaction under a lock, so that replicas that start together do not meet, and a crash leaves nothing.
//!
//! It is SQLite's schema in PostgreSQL's words. Texts are compared byte by byte (`COLLATE "C"`), as in memory. Where a client chooses how
//! long a text is, an index has its hash: an entry of an index has room for some 2700 bytes.

use super::connection::{Connection, Fault};

/// The statements that lead from each version to the next.
pub(super) const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3];

/// Both locks are of this class; its number is `BtLg`.
pub(super) const MIGRATING: &str = "SELECT pg_advisory_xact_lock(1114917991, 1)";
pub(super) const WRITING: &str = "SELECT pg_advisory_xact_lock(1114917991, 2)";

const VERSION_1: &str = r#"
    CREATE TABLE batches (
        "row"          bigint  PRIMARY KEY,
        backend        text COLLATE "C" NOT NULL,
        dialect        text COLLATE "C",
        listener       text COLLATE "C",
        principal      text COLLATE "C",
        verified       boolean NOT NULL,
        owner          text COLLATE "C",
        project        text COLLATE "C",
        queue          text COLLATE "C",
        name           text COLLATE "C",
        kind           text COLLATE "C" NOT NULL,
        marker_name    text COLLATE "C",
        unmapped       text    NOT NULL,
        spec           text    NOT NULL,
        title          text COLLATE "C" NOT NULL,
        program        text COLLATE "C" NOT NULL,
        runs_as        text COLLATE "C",
        extensions     jsonb,
        uuid           text COLLATE "C" NOT NULL,
        created        bigint  NOT NULL,
        revision       bigint  NOT NULL,
        ordinal        bigint  NOT NULL,
        native         text COLLATE "C",
        key            text COLLATE "C",
        fingerprint    bytea,
        phase          text COLLATE "C" NOT NULL,
        holder         text COLLATE "C",
        fence          bigint  NOT NULL,
        lease_until    bigint,
        state          text COLLATE "C" NOT NULL,
        attempt        bigint  NOT NULL,
        cancel_asked   boolean NOT NULL,
        started        bigint,
        ended          bigint,
        modified       bigint  NOT NULL,
        app_id         text COLLATE "C",
        app_url        text COLLATE "C",
        driver_log_url text COLLATE "C",
        diagnostic     text COLLATE "C",
        refusal        text COLLATE "C",
        hidden         text COLLATE "C" NOT NULL
    );

    CREATE TABLE ids (
        kind  text COLLATE "C" NOT NULL,
        text  text COLLATE "C" NOT NULL,
        space text COLLATE "C" NOT NULL,
        "row" bigint NOT NULL,
        PRIMARY KEY (kind, text, space)
    );
    CREATE INDEX ids_by_row ON ids ("row");

    CREATE TABLE kept_logs (
        "row"      bigint PRIMARY KEY,
        first_line bigint NOT NULL,
        total      bigint NOT NULL,
        text       text   NOT NULL
    );

    CREATE TABLE counters (
        name  text COLLATE "C" PRIMARY KEY,
        value bigint NOT NULL
    ) WITH (fillfactor = 10);
    INSERT INTO counters VALUES ('ordinal', 0), ('row', 0);

    CREATE INDEX batches_by_created ON batches (created, "row") WHERE phase = 'accepted';
    CREATE INDEX batches_by_change ON batches (modified DESC, created, "row") WHERE phase = 'accepted';
    CREATE INDEX batches_by_name ON batches (md5(name), ended) WHERE name IS NOT NULL;
    CREATE INDEX batches_by_end ON batches (ended);
    CREATE INDEX open_intents ON batches (backend) WHERE phase IN ('intended', 'sending', 'ambiguous');
    CREATE INDEX unended_cancels ON batches ("row") WHERE cancel_asked AND phase = 'accepted' AND ended IS NULL;
    CREATE UNIQUE INDEX batches_by_key ON batches (md5(principal), dialect, md5(key)) WHERE key IS NOT NULL;
    CREATE INDEX nondescript ON batches (backend) WHERE native ~ '^[0-9]*$'
        AND coalesce(marker_name, name, '') = '' AND coalesce(app_id, '') = '';
"#;

/// Since when a backend has not shown a batch: what is waited for before it is called lost goes on in the next life.
const VERSION_2: &str = "ALTER TABLE batches ADD COLUMN missing bigint";

/// What lists are counted by, and what stands before a page is passed by, without a look at the rows. A change of `ended` is one of `modified` too, so
/// that no more entries are written than before. Projects are not among it: how long one is a client may choose.
const VERSION_3: &str = r#"
    DROP INDEX batches_by_created;
    CREATE INDEX batches_by_created ON batches (created, "row") INCLUDE (backend, hidden, ended) WHERE phase = 'accepted';
    DROP INDEX batches_by_change;
    CREATE INDEX batches_by_change ON batches (modified DESC, created, "row") INCLUDE (backend, hidden, ended) WHERE phase = 'accepted';
"#;

/// What a database says of itself before anything is changed.
pub(super) enum Found {
    Ready,
    Newer(i64),
    /// It cannot hold every text.
    Encoding(String),
}

/// Brings the database to the newest version, whoever else may be about to.
pub(super) fn migrate(connection: &Connection, migrations: &[&str]) -> Result<Found, Fault> {
    let encoding = connection.words("SHOW server_encoding")?.pop().unwrap_or_default();
    if encoding != "UTF8" {
        return Ok(Found::Encoding(encoding));
    }
    connection.words(&format!("BEGIN; {MIGRATING}"))?;
    let found = forward(connection, migrations);
    let end = if matches!(found, Ok(Found::Ready)) { "COMMIT" } else { "ROLLBACK" };
    connection.words(end)?;
    found
}

fn forward(connection: &Connection, migrations: &[&str]) -> Result<Found, Fault> {
    // Asked for by name first: to make what there is already needs a right that this user may not have.
    if connection.words("SELECT 1 FROM pg_namespace WHERE nspname = 'batchlingua'")?.is_empty() {
        connection.words("CREATE SCHEMA batchlingua")?;
    }
    if connection.words("SELECT to_regclass('batchlingua.migrations')")?.concat().is_empty() {
        connection
            .words("CREATE TABLE migrations (version bigint PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())")?;
    }
    let version: i64 = version(connection)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if version > known {
        return Ok(Found::Newer(version));
    }
    if version < known {
        // A step looks at each row of a table, however many there are, and one that is ended half way would be ended at each start.
        connection.is_patient()?;
    }
    for (at, statements) in (1..=known).zip(migrations).skip(usize::try_from(version).unwrap_or_default()) {
        connection.words(statements)?;
        connection.words(&format!("INSERT INTO migrations (version) VALUES ({at})"))?;
    }
    if version > 0 && version < known {
        tracing::info!(from = version, to = known, "the ledger was brought to a newer schema version");
    }
    Ok(Found::Ready)
}

fn version(connection: &Connection) -> Result<i64, Fault> {
    let version = connection.words("SELECT coalesce(max(version), 0) FROM migrations")?;
    Ok(version.first().and_then(|version| version.parse().ok()).unwrap_or_default())
}
