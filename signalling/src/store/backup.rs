//! A copy of the database while the server goes on, and the way back.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{FILE_NAME, OpenError, database, lock};

/// Why there is no backup, or none was brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no database in {0}: is it the folder that the server has as --data?")]
    NoDatabase(PathBuf),
    /// Something would be lost.
    #[error("{0} exists already, and is left as it is")]
    Exists(PathBuf),
    /// Something would be lost.
    #[error(
        "{0} has a database already: say --replace to give it up for the backup, after a look at \
         what is in it"
    )]
    InUse(PathBuf),
    /// It is damaged, or something else.
    #[error("{path} is not a backup that could be used: {reason}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// A later version made it.
    #[error(
        "{path} was made by a later version of conclave (format {found}, this one knows {known})"
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// The folder cannot be had.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// A file could not be read or written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite could not do it.
    #[error("the database could not be copied: {0}")]
    Database(#[from] rusqlite::Error),
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupContents {
    /// Rooms that somebody can come back to.
    pub rooms: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Copies the database in a data folder, as it is at one moment, to a new file. The server may
/// run meanwhile.
pub fn back_up(data: &Path, to: &Path) -> Result<BackupContents, BackupError> {
    let from = data.join(FILE_NAME);
    if !from.exists() {
        return Err(BackupError::NoDatabase(data.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // Whole or not there, whatever happens meanwhile.
    let unfinished = beside(to);
    remove(&unfinished)?;
    let connection = database::open_to_read(&from)?;
    let target = unfinished.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [target.as_ref()])?;
    let contents = examine(&unfinished)?;
    settle(&unfinished, to)?;
    Ok(contents)
}

/// Puts a backup into a data folder that no server uses.
pub fn restore(from: &Path, data: &Path, replace: bool) -> Result<BackupContents, BackupError> {
    let contents = examine(from)?;
    let _lock = lock(data)?;
    let to = data.join(FILE_NAME);
    if to.exists() && !replace {
        return Err(BackupError::InUse(data.to_owned()));
    }
    let unfinished = beside(&to);
    let failed = |source| BackupError::Io {
        path: unfinished.clone(),
        source,
    };
    fs::copy(from, &unfinished).map_err(failed)?;
    // What was written after the old database belongs to it.
    for rest in ["-wal", "-shm"] {
        remove(&data.join(format!("{FILE_NAME}{rest}")))?;
    }
    settle(&unfinished, &to)?;
    Ok(contents)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(BackupError::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Gives a file that is on the disk its name, for good.
fn settle(unfinished: &Path, path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(unfinished)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(unfinished, path))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| BackupError::Io {
            path: path.to_owned(),
            source,
        })
}

fn examine(path: &Path) -> Result<BackupContents, BackupError> {
    let unusable = |reason: String| BackupError::Unusable {
        path: path.to_owned(),
        reason,
    };
    let connection = database::open_to_read(path).map_err(|error| unusable(error.to_string()))?;
    let look = |connection: &Connection| -> rusqlite::Result<(String, i64)> {
        let health = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((health, database::format_of(connection)?))
    };
    let (health, found) = look(&connection).map_err(|error| unusable(error.to_string()))?;
    if health != "ok" {
        return Err(unusable(health));
    }
    if found == 0 {
        return Err(unusable("it is a database of something else".into()));
    }
    let known = database::newest_format();
    if found > known {
        return Err(BackupError::TooNew {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let rooms: i64 = connection.query_row("SELECT count(*) FROM room", [], |row| row.get(0))?;
    let bytes = fs::metadata(path)
        .map_err(|source| BackupError::Io {
            path: path.to_owned(),
            source,
        })?
        .len();
    Ok(BackupContents {
        rooms: rooms.unsigned_abs(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with_a_room() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let connection = database::open(&folder.path().join(FILE_NAME)).unwrap();
        connection
            .execute("INSERT INTO room VALUES ('garden', '', 0, 0)", [])
            .unwrap();
        folder
    }

    #[test]
    fn a_backup_can_be_made_while_somebody_writes_and_brought_back() {
        let folder = folder_with_a_room();
        let writer = database::open(&folder.path().join(FILE_NAME)).unwrap();
        writer
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO room VALUES ('cellar', '', 0, 0)")
            .unwrap();
        let file = folder.path().join("backup");
        let made = back_up(folder.path(), &file).unwrap();
        assert_eq!(made.rooms, 1, "what is not committed is not in it");
        let other = tempfile::tempdir().unwrap();
        assert_eq!(restore(&file, other.path(), false).unwrap().rooms, 1);
        assert!(matches!(
            restore(&file, other.path(), false),
            Err(BackupError::InUse(_))
        ));
        restore(&file, other.path(), true).unwrap();
    }

    #[test]
    fn nothing_is_written_over_and_nothing_under_a_running_server() {
        let folder = folder_with_a_room();
        let file = folder.path().join("backup");
        back_up(folder.path(), &file).unwrap();
        assert!(matches!(
            back_up(folder.path(), &file),
            Err(BackupError::Exists(_))
        ));
        let _running = lock(folder.path()).unwrap();
        assert!(matches!(
            restore(&file, folder.path(), true),
            Err(BackupError::Folder(OpenError::InUse { .. }))
        ));
    }

    #[test]
    fn a_damaged_backup_leaves_everything_as_it_was() {
        let folder = folder_with_a_room();
        let file = folder.path().join("backup");
        back_up(folder.path(), &file).unwrap();
        let whole = fs::read(&file).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"something else", b""] {
            fs::write(&file, damaged).unwrap();
            let refused = restore(&file, folder.path(), true).unwrap_err();
            assert!(matches!(refused, BackupError::Unusable { .. }), "{refused}");
        }
        let kept = database::open_to_read(&folder.path().join(FILE_NAME)).unwrap();
        let rooms: i64 = kept
            .query_row("SELECT count(*) FROM room", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rooms, 1);
    }
}
