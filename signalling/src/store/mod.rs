//! What outlives the process: one SQLite database, spoken to by one thread. Whatever is asked
//! of it while it works on something is done next in one transaction, so that many rooms share
//! the wait for the disk. An answer comes when the transaction is on the disk, not before.
//!
//! * [`rooms`] is what is kept of rooms;
//! * [`backup`] copies it all, and brings it back.

pub(crate) mod backup;
mod database;
pub(crate) mod rooms;

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;
use rooms::KeptRoom;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder could not be used.
    #[error("cannot use the folder {path} (--data): {source}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server has it.
    #[error(
        "another conclave uses the folder {path} (--data): stop it, or give each a folder of its own"
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// A later version has written it.
    #[error(
        "{path} was written by a later version of conclave (format {found}, this one knows \
         {known}): run that version, or bring back a backup made by this one"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// SQLite could not work with it.
    #[error("cannot use the database {path}: {source}. Bring back a backup with conclave restore")]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The system gave no thread.
    #[error("cannot start the thread of the database: {0}")]
    Thread(io::Error),
}

/// Something was not kept.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite could not do it: most likely the disk is full.
    #[error("the database cannot take it: {0}. Is the disk full?")]
    Database(Arc<rusqlite::Error>),
    /// The thread has ended.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// Tells whoever asked, once it is known whether the transaction is on the disk.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Finish + Send>;

/// As many jobs as share a transaction.
const MOST_TOGETHER: usize = 512;

/// The name of the database in the data folder.
pub(crate) const FILE_NAME: &str = "conclave.sqlite";
const LOCK_NAME: &str = "conclave.lock";

/// The way to the database. Clones lead to the same.
#[derive(Clone)]
pub(crate) struct Store {
    /// None once it is closed.
    jobs: Arc<Mutex<Option<mpsc::UnboundedSender<Job>>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    is_durable: bool,
}

impl Store {
    /// Opens the database in the folder, or one in memory if nothing is to be kept.
    /// Tells which rooms were kept there.
    pub(crate) fn open(
        folder: Option<&Path>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Vec<KeptRoom>), OpenError> {
        let (connection, lock) = match folder {
            None => (database::in_memory()?, None),
            Some(folder) => {
                let lock = lock(folder)?;
                (database::open(&folder.join(FILE_NAME))?, Some(lock))
            }
        };
        let kept = rooms::kept(&connection).map_err(|source| OpenError::Database {
            path: folder.map_or_else(PathBuf::new, |folder| folder.join(FILE_NAME)),
            source,
        })?;
        // As many as there are rooms, since each waits for its answer.
        let (jobs, mailbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("conclave-store".into())
            .spawn(move || {
                work(connection, mailbox, &metrics);
                drop(lock);
            })
            .map_err(OpenError::Thread)?;
        let store = Self {
            jobs: Arc::new(Mutex::new(Some(jobs))),
            thread: Arc::new(Mutex::new(Some(thread))),
            is_durable: folder.is_some(),
        };
        Ok((store, kept))
    }

    /// False when what it takes ends with the process.
    pub(crate) const fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Has something done in its turn: what is asked later is done later, whether or not the
    /// answer is waited for.
    pub(crate) fn run<T, F>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = database::in_savepoint(connection, job);
            Box::new(move |committed| {
                let result = done.map_err(StoreError::from);
                // Who asked may have gone.
                drop(answer.send(result.and_then(|done| committed.map(|()| done))));
            })
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        drop(jobs);
        async move {
            if is_open {
                answered.await.unwrap_or(Err(StoreError::Closed))
            } else {
                Err(StoreError::Closed)
            }
        }
    }

    /// Waits until all that was asked for is on the disk, and closes the database. Blocks.
    pub(crate) fn close(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread.take();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        drop(jobs.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the database has failed");
        }
    }
}

/// Opens the database in a folder for a command, whether or not a server runs on it.
pub(crate) fn open_beside(folder: &Path) -> Result<Connection, OpenError> {
    std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    database::open(&folder.join(FILE_NAME))
}

/// Makes the folder and holds it against other servers, until the file is dropped.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Folder {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = File::create(folder.join(LOCK_NAME)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn work(connection: Connection, mut mailbox: mpsc::UnboundedReceiver<Job>, metrics: &Metrics) {
    let mut jobs = Vec::new();
    while mailbox.blocking_recv_many(&mut jobs, MOST_TOGETHER) > 0 {
        let began = std::time::Instant::now();
        let mut finishes = Vec::with_capacity(jobs.len());
        let committed = database::in_transaction(&connection, |connection| {
            finishes.extend(jobs.drain(..).map(|job| job(connection)));
        });
        metrics.stored(committed.is_ok(), began.elapsed());
        let committed = committed.map_err(StoreError::from);
        if let Err(error) = &committed {
            tracing::error!(%error, "a transaction failed");
        }
        // If not even a transaction began, nobody is there to be told but by dropping.
        jobs.clear();
        for finish in finishes {
            finish(committed.clone());
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "the database was not closed well");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap())
    }

    fn put(
        store: &Store,
        name: &'static str,
    ) -> impl Future<Output = Result<(), StoreError>> + use<> {
        store.run(move |connection| {
            let sql = "INSERT INTO room VALUES (?1, '', 0, 0)";
            connection.execute(sql, [name]).map(|_| ())
        })
    }

    async fn names(store: &Store) -> Vec<String> {
        let all = store.run(|connection| {
            let mut query = connection.prepare("SELECT id FROM room ORDER BY id")?;
            query.query_map([], |row| row.get(0))?.collect()
        });
        all.await.unwrap()
    }

    #[tokio::test]
    async fn one_job_that_fails_takes_no_other_with_it() {
        let store = Store::open(None, metrics()).unwrap().0;
        let jobs = [put(&store, "a"), put(&store, "a"), put(&store, "b")];
        let mut results = Vec::new();
        for job in jobs {
            results.push(job.await.is_ok());
        }
        assert_eq!(results, [true, false, true]);
        assert_eq!(names(&store).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_closing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path()), metrics()).unwrap().0;
        put(&store, "a").await.unwrap();
        // Not waited for, but asked for before the close.
        let late = put(&store, "b");
        let closed = store.clone();
        tokio::task::spawn_blocking(move || closed.close())
            .await
            .unwrap();
        late.await.unwrap();
        let store = Store::open(Some(folder.path()), metrics()).unwrap().0;
        assert_eq!(names(&store).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_folder_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path()), metrics()).unwrap().0;
        let second = Store::open(Some(folder.path()), metrics()).err().unwrap();
        assert!(matches!(second, OpenError::InUse { .. }), "{second}");
        tokio::task::spawn_blocking(move || store.close())
            .await
            .unwrap();
        assert!(Store::open(Some(folder.path()), metrics()).is_ok());
    }

    #[tokio::test]
    async fn a_database_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        Connection::open(&path)
            .and_then(|it| it.execute_batch("PRAGMA user_version = 9999"))
            .unwrap();
        let refused = Store::open(Some(folder.path()), metrics()).err().unwrap();
        assert!(
            matches!(refused, OpenError::TooNew { found: 9999, .. }),
            "{refused}"
        );
    }
}
