//! Where the sealed bytes lie: one object a chunk, in a folder or in a bucket.

use std::{
    error::Error,
    io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use conclave_protocol::file::FileId;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::AmazonS3Builder,
    local::LocalFileSystem,
    path::{Path, PathPart},
    prefix::PrefixStore,
};

use super::bucket::Bucket;
use crate::process::free_space;

/// For how long what a bucket does not take is begun anew, before whoever waits is told that it
/// is away. They try again by themselves, and what they sent is held in memory until then. One
/// attempt at a bucket that is silent may last longer: the library gives each 30 s.
const TRIED_FOR: Duration = Duration::from_secs(4);

/// The longest pause between two attempts.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// Where sealed bytes are kept.
pub(super) struct ChunkStore {
    objects: Arc<dyn ObjectStore>,
    /// The folder, if it is one of this machine's.
    folder: Option<PathBuf>,
}

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    /// There is no room left.
    #[error("there is no room left: {0}")]
    Full(object_store::Error),
    /// The bucket does not answer, or says that it cannot for now.
    #[error("the bucket is away: {0}")]
    Away(object_store::Error),
    /// Anything else.
    #[error(transparent)]
    Other(object_store::Error),
    /// The folder could not be looked at.
    #[error(transparent)]
    Folder(#[from] io::Error),
}

impl ChunkStore {
    /// In a folder. What is stored there outlives a loss of power.
    pub(super) fn local(folder: &FilePath) -> Result<Self, object_store::Error> {
        let objects = LocalFileSystem::new_with_prefix(folder)?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(objects),
            folder: Some(folder.to_owned()),
        })
    }

    /// In a bucket; who we are there is said in the environment, as Amazon's own tools read it.
    pub(super) fn bucket(bucket: &Bucket) -> Result<Self, object_store::Error> {
        // The time alone decides: by the library's own measure it takes from one to many seconds.
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: TRIED_AGAIN_WITHIN,
                ..BackoffConfig::default()
            },
            max_retries: usize::MAX,
            retry_timeout: TRIED_FOR,
        };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(&bucket.name)
            .with_retry(retry)
            .build()?;
        Ok(Self {
            objects: Arc::new(PrefixStore::new(store, bucket.prefix.as_str())),
            folder: None,
        })
    }

    fn chunk(id: FileId, number: u32) -> Path {
        Path::from_iter([
            PathPart::from(id.to_string()),
            PathPart::from(format!("{number:08x}")),
        ])
    }

    /// Stores a chunk. When this returns, it is there for good.
    pub(super) async fn put(
        &self,
        id: FileId,
        number: u32,
        bytes: PutPayload,
    ) -> Result<(), ChunkError> {
        let put = self.objects.put(&Self::chunk(id, number), bytes).await;
        put.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// A part of a chunk.
    pub(super) async fn get(
        &self,
        id: FileId,
        number: u32,
        part: std::ops::Range<u64>,
    ) -> Result<Bytes, ChunkError> {
        let chunk = Self::chunk(id, number);
        let got = self.objects.get_range(&chunk, part).await;
        got.map_err(|error| self.failed(error))
    }

    /// Deletes all of a file.
    pub(super) async fn delete(&self, id: FileId) -> Result<(), ChunkError> {
        let prefix = Path::from(id.to_string());
        if let Some(folder) = &self.folder {
            // With what a write that was cut off has left, which is no object.
            return match tokio::fs::remove_dir_all(folder.join(id.to_string())).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        let chunks = self.objects.list(Some(&prefix));
        let chunks = chunks.map_ok(|object| object.location).boxed();
        self.objects
            .delete_stream(chunks)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| self.failed(error))
    }

    /// Stores a small object, reads it and deletes it, as is done with the chunks of a file.
    pub(super) async fn try_out(&self) -> Result<(), ChunkError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(io::Error::from)?;
        let id = FileId::new(id);
        let bytes = Bytes::from_static(b"conclave doctor was here");
        self.put(id, 0, bytes.clone().into()).await?;
        let read = self.get(id, 0, 0..bytes.len() as u64).await;
        self.delete(id).await?;
        if read? != bytes {
            let other = io::Error::other("other bytes came back than were stored");
            return Err(other.into());
        }
        Ok(())
    }

    fn failed(&self, error: object_store::Error) -> ChunkError {
        if is_for_want_of_room(&error) {
            ChunkError::Full(error)
        } else if self.folder.is_none() && matches!(error, object_store::Error::Generic { .. }) {
            ChunkError::Away(error)
        } else {
            ChunkError::Other(error)
        }
    }

    /// The files of which anything lies in the folder. A bucket is not looked through: others
    /// may keep theirs beside ours.
    pub(super) async fn files_in_folder(&self) -> Result<Vec<FileId>, ChunkError> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        let mut entries = tokio::fs::read_dir(folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            files.extend(name.to_str().and_then(|name| name.parse::<FileId>().ok()));
        }
        Ok(files)
    }

    /// Bytes that are free where the files are, if that is known.
    pub(super) fn free(&self) -> Option<u64> {
        free_space(self.folder.as_ref()?).ok()
    }
}

/// True when a disk, or what one may have of it, is used up.
fn is_for_want_of_room(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
        }
        cause = error.source();
    }
    false
}
