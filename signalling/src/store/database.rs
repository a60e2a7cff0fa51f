//! Opening the database, bringing it to this version's format, and transactions.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::OpenError;

/// Each brings the database from the one before to its own format, which is its number.
const FORMATS: [(i64, &str); 4] = [
    (1, include_str!("schema/0001_rooms.sql")),
    (10, include_str!("schema/0010_files.sql")),
    (20, include_str!("schema/0020_operators.sql")),
    (21, include_str!("schema/0021_floors.sql")),
];

/// How long to wait for a backup that reads at the same time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens or makes a database, for one writer.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    // WAL lets backups read meanwhile; FULL waits for the disk with every transaction, so that
    // what was answered outlives a loss of power too (sqlite.org/pragma.html#pragma_synchronous).
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST;",
        )
        .map_err(failed)?;
    migrate(&connection, path)?;
    Ok(connection)
}

/// Opens a database for reading, whoever writes meanwhile.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// A database that nobody finds again.
pub(super) fn in_memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(|source| OpenError::Database {
        path: path.to_owned(),
        source,
    })?;
    migrate(&connection, path)?;
    Ok(connection)
}

/// The format that a database has; 0 for a new one.
pub(super) fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The newest format that this version knows.
pub(super) const fn newest_format() -> i64 {
    FORMATS[FORMATS.len() - 1].0
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let found = format_of(connection).map_err(failed)?;
    if found > newest_format() {
        return Err(OpenError::TooNew {
            path: path.to_owned(),
            found,
            known: newest_format(),
        });
    }
    for (format, sql) in FORMATS.iter().filter(|(format, _)| *format > found) {
        let step = format!("BEGIN; {sql} PRAGMA user_version = {format}; COMMIT;");
        if let Err(error) = connection.execute_batch(&step) {
            // What was begun is undone by closing, too.
            connection.execute_batch("ROLLBACK").ok();
            return Err(failed(error));
        }
        tracing::debug!(format, "the database has a new format");
    }
    Ok(())
}

/// Does something in a transaction.
pub(super) fn in_transaction(
    connection: &Connection,
    work: impl FnOnce(&Connection),
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    work(connection);
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    committed
}

/// Does something within a transaction; if it fails, it alone is undone.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let done = job(connection);
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO job")?;
    }
    if !connection.is_autocommit() {
        connection.execute_batch("RELEASE job")?;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_an_earlier_version_is_brought_to_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let earlier = Connection::open(&path).unwrap();
        for (format, sql) in &FORMATS[..3] {
            earlier.execute_batch(sql).unwrap();
            earlier.pragma_update(None, "user_version", format).unwrap();
        }
        earlier
            .execute_batch(
                "INSERT INTO room VALUES ('garden', '', 9, 5);
                 INSERT INTO session VALUES (x'00', 'garden', 1, 2);
                 INSERT INTO session VALUES (x'01', 'gone', 1, 2);",
            )
            .unwrap();
        drop(earlier);
        let now = open(&path).unwrap();
        assert_eq!(format_of(&now).unwrap(), newest_format());
        let mut floors = now
            .prepare("SELECT floor FROM session ORDER BY token_hash")
            .unwrap();
        let floors: Vec<i64> = floors
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .unwrap();
        assert_eq!(floors, [5, 0]);
    }
}
