//! The tables, and how a file of an older version becomes one of this version.
//!
//! `PRAGMA user_version` counts the migrations that a file has seen; a new schema is one more entry at the end of [`MIGRATIONS`], and an
//! entry that has been released is never changed. Each runs in a transaction of its own together with the new number, so a crash
//! between two leaves a file that the next start goes on with.
//!
//! One wide table rather than many: a row is read whole on each miss and written whole on each change. Indexes are partial where only
//! few rows are asked for by them (open intents, cancels without an end, keys).

use rusqlite::{Connection, TransactionBehavior};

/// `BtLg`: tells a ledger from the database of another program.
pub(super) const APPLICATION_ID: i32 = 0x4274_4c67;

/// The statements that lead from each version to the next.
pub(super) const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7];

const VERSION_1: &str = "
    CREATE TABLE batches (
        row            INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid           TEXT    NOT NULL,
        ordinal        INTEGER NOT NULL,
        backend        TEXT    NOT NULL,
        dialect        TEXT,
        listener       TEXT,
        principal      TEXT,
        verified       INTEGER NOT NULL,
        owner          TEXT,
        project        TEXT,
        queue          TEXT,
        name           TEXT,
        kind           TEXT    NOT NULL,
        marker_name    TEXT,
        unmapped       TEXT    NOT NULL,
        created        INTEGER NOT NULL,
        revision       INTEGER NOT NULL,
        native         TEXT,
        key            TEXT,
        fingerprint    BLOB,
        phase          TEXT    NOT NULL,
        holder         TEXT,
        fence          INTEGER NOT NULL,
        lease_until    INTEGER,
        state          TEXT    NOT NULL,
        attempt        INTEGER NOT NULL,
        cancel_asked   INTEGER NOT NULL,
        started        INTEGER,
        ended          INTEGER,
        modified       INTEGER NOT NULL,
        app_id         TEXT,
        app_url        TEXT,
        driver_log_url TEXT,
        diagnostic     TEXT,
        refusal        TEXT,
        hidden         TEXT    NOT NULL,
        spec           TEXT    NOT NULL
    ) STRICT;

    CREATE TABLE ids (
        kind  TEXT    NOT NULL,
        text  TEXT    NOT NULL,
        space TEXT    NOT NULL,
        row   INTEGER NOT NULL,
        PRIMARY KEY (kind, text, space)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ids_by_row ON ids (row);

    CREATE TABLE kept_logs (
        row        INTEGER PRIMARY KEY,
        first_line INTEGER NOT NULL,
        total      INTEGER NOT NULL,
        text       TEXT    NOT NULL
    ) STRICT;

    CREATE TABLE counters (
        name  TEXT    PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counters VALUES ('ordinal', 0);

    CREATE INDEX batches_by_created ON batches (created, row, backend, project, hidden) WHERE phase = 'accepted';
    CREATE INDEX batches_by_name ON batches (name, created) WHERE name IS NOT NULL;
    CREATE INDEX batches_by_end ON batches (ended);
    CREATE INDEX open_intents ON batches (backend, marker_name) WHERE phase IN ('intended', 'sending', 'ambiguous');
    CREATE INDEX unended_cancels ON batches (cancel_asked, ended) WHERE cancel_asked = 1 AND phase = 'accepted' AND ended IS NULL;
    CREATE UNIQUE INDEX batches_by_key ON batches (principal, dialect, key) WHERE key IS NOT NULL;
";

/// What lists ask for beside names: title, program and the user that a batch runs as. Old rows get them from their specs.
const VERSION_2: &str = "
    ALTER TABLE batches ADD COLUMN title   TEXT NOT NULL DEFAULT '';
    ALTER TABLE batches ADD COLUMN program TEXT NOT NULL DEFAULT '';
    ALTER TABLE batches ADD COLUMN user    TEXT;
    UPDATE batches SET
        program = coalesce(nullif(spec ->> '$.class_name', ''), spec ->> '$.file', ''),
        user    = coalesce(spec ->> '$.run_as', owner);
    UPDATE batches SET title = coalesce(
        nullif(name, ''),
        nullif(spec ->> '$.class_name', ''),
        replace(spec ->> '$.file', rtrim(spec ->> '$.file', replace(spec ->> '$.file', '/', '')), ''),
        '');
";

/// Rows that give their numbers up when their backend counts anew, since nothing else tells them from later ones. Few, and none of backends
/// whose ids are no integers.
const VERSION_3: &str = "
    CREATE INDEX nondescript ON batches (backend) WHERE native NOT GLOB '*[^0-9]*'
        AND coalesce(marker_name, name, '') = '' AND coalesce(app_id, '') = '';
";

/// What a ledger of a million rows needs: the batches of a name that live or have just ended, however many had it before; and lists in the order
/// of the last change, or of what changed lately, without looking at all rows.
const VERSION_4: &str = "
    DROP INDEX batches_by_name;
    CREATE INDEX batches_by_name ON batches (name, ended) WHERE name IS NOT NULL;
    CREATE INDEX batches_by_change ON batches (modified DESC, created, row) WHERE phase = 'accepted';
";

/// Since when a backend has not shown a batch: what is waited for before it is called lost goes on in the next life.
const VERSION_5: &str = "
    ALTER TABLE batches ADD COLUMN missing INTEGER;
";

/// What a submit need not pay for: nearly all ids of a row are in its own columns, so that only the others are looked for by the row. Of older
/// rows nobody looked which they are: all of theirs count as such.
const VERSION_6: &str = "
    ALTER TABLE ids ADD COLUMN apart INTEGER NOT NULL DEFAULT 1;
    DROP INDEX ids_by_row;
    CREATE INDEX ids_apart ON ids (row) WHERE apart = 1;
";

/// A page from far inside a list in the order of the last change: what stands before it is passed without a look at the rows.
const VERSION_7: &str = "
    DROP INDEX batches_by_change;
    CREATE INDEX batches_by_change ON batches (modified DESC, created, row, backend, project, hidden) WHERE phase = 'accepted';
";

/// Brings the file to the newest version; where it was before.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<usize> {
    let from = usize::try_from(version(connection)?).unwrap_or_default();
    for (at, statements) in migrations.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(statements)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(at + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(from)
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |value| value.get(0))
}
