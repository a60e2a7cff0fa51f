//! Sealed files: the server keeps them for the members of a room, chunk by chunk, and cannot
//! open them. What a file is called, and its key, members tell each other.
//!
//! * [`api`] is what is asked over HTTP;
//! * [`ledger`] says what there is, in SQLite, and [`chunks`] has the bytes;
//! * [`quota`] bounds what is stored, [`transfers`] what is on its way;
//! * [`sweeping`] deletes what nobody may have any more.

pub(crate) mod api;
mod bucket;
mod chunks;
mod figures;
mod ledger;
mod quota;
mod range;
mod refusal;
mod sweeping;
mod transfers;

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    ParticipantId, RoomId,
    file::{FileId, FileProgress, SEALED_CHUNK_BYTES, SealedLength},
};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame};
use prometheus::Registry;
use rusqlite::{Connection, ErrorCode};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::timeout};

use crate::store::{Store, StoreError};

pub use bucket::{Bucket, InvalidBucket};
pub use quota::FileLimits;

pub(crate) use sweeping::sweep;

use chunks::{ChunkError, ChunkStore};
use figures::Figures;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use ledger::{Entry, Time};
use refusal::Refusal;
use transfers::Transfers;

/// How files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilesConfig {
    /// Where their bytes go, instead of into the data folder.
    pub bucket: Option<Bucket>,
    /// How much, and for how long.
    pub limits: FileLimits,
}

/// Why files cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A folder could not be made or looked at.
    #[error("cannot keep files in {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store of the chunks could not be opened.
    #[error("cannot open the store of files (--file-store): {0}")]
    Store(#[from] object_store::Error),
    /// The metrics could not be registered.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Who asks: a participant, the room that they are in, and where they ask from.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    pub(crate) address: IpAddr,
}

/// The bytes of a file on their way out.
pub(crate) type Outgoing = StreamBody<BoxStream<'static, Result<Frame<Bytes>, ChunkError>>>;

/// Why a bucket is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// It is not known where it is or who we are there.
    #[error(transparent)]
    Unnamed(#[from] object_store::Error),
    /// An object could not be stored, read or deleted.
    #[error(transparent)]
    Failed(#[from] ChunkError),
}

/// Stores something in a bucket, reads it and deletes it.
pub(crate) async fn try_out(bucket: &Bucket) -> Result<(), BucketError> {
    Ok(ChunkStore::bucket(bucket)?.try_out().await?)
}

/// All sealed files of a server.
pub(crate) struct Files {
    store: Store,
    chunks: Arc<ChunkStore>,
    limits: FileLimits,
    transfers: Arc<Transfers>,
    figures: Figures,
    /// Where files go when nothing is to outlive the process.
    _scratch: Option<TempDir>,
}

impl Files {
    /// Opens what is kept in the data folder, or keeps everything for as long as this lives.
    pub(crate) fn open(
        config: &FilesConfig,
        data: Option<&Path>,
        store: Store,
        registry: &Registry,
    ) -> Result<Self, FilesError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FilesError::Folder { path, source }
        };
        let scratch = match data {
            Some(_) => None,
            None => Some(TempDir::with_prefix("conclave-").map_err(failed(&std::env::temp_dir()))?),
        };
        let home = scratch.as_ref().map(TempDir::path).or(data);
        let chunks = match (&config.bucket, home) {
            (Some(bucket), _) => ChunkStore::bucket(bucket)?,
            (None, home) => {
                let folder = home.unwrap_or(Path::new(".")).join("files");
                fs::create_dir_all(&folder).map_err(failed(&folder))?;
                ChunkStore::local(&folder)?
            }
        };
        Ok(Self {
            store,
            figures: Figures::register(registry)?,
            chunks: Arc::new(chunks),
            transfers: Transfers::new(&config.limits),
            limits: config.limits,
            _scratch: scratch,
        })
    }

    /// Makes room for a file.
    async fn declare(&self, asker: Asker, length: SealedLength) -> Result<FileId, Refusal> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| broken(&error))?;
        let file = Entry {
            id: FileId::new(id),
            room: asker.room,
            owner: asker.participant,
            length,
            is_complete: false,
        };
        let (limits, chunks) = (self.limits, Arc::clone(&self.chunks));
        self.with_ledger(move |ledger| {
            let declared = ledger::declared(ledger, &file.room, file.owner)?;
            if let Err(refusal) = limits.admit(file.length, declared, chunks.free()) {
                return Ok(Err(refusal));
            }
            let now = now();
            ledger::declare(ledger, &file, now, now.saturating_add(seconds(limits.kept)))?;
            Ok(Ok(file.id))
        })
        .await?
    }

    /// A file of the asker's room. Of another room's files they learn nothing.
    async fn find(&self, asker: &Asker, id: FileId) -> Result<Entry, Refusal> {
        let found = self
            .with_ledger(move |ledger| ledger::find(ledger, id, now()))
            .await?;
        found
            .filter(|file| file.room == asker.room)
            .ok_or(Refusal::NoSuchFile)
    }

    /// Takes a chunk. Who sends the same one again is answered as the first time.
    async fn take<B>(
        self: &Arc<Self>,
        asker: &Asker,
        id: FileId,
        number: u32,
        body: B,
    ) -> Result<(), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        // Before it is looked up: from now on its record stays, see [`Self::discard`].
        let transfer = self.transfers.arriving(asker, id, number)?;
        let file = self.find(asker, id).await?;
        let place = file.length.chunk(number).ok_or(Refusal::NoSuchChunk)?;
        let expected = place.end - place.start;
        let known = self
            .with_ledger(move |ledger| ledger::digest(ledger, id, number))
            .await?;
        let arrival = timeout(self.limits.chunk_within, collect(body, expected));
        let (bytes, digest) = arrival.await.map_err(|_| Refusal::TooSlow)??;
        match known {
            Some(known) if known == digest => {
                self.figures.took_chunk("repeated");
                return Ok(());
            }
            Some(_) => return Err(Refusal::OtherBytes),
            None => {}
        }
        let files = Arc::clone(self);
        // To its end, even if whoever sends it hangs up: nothing is to lie in the store that
        // stands nowhere.
        let stored = tokio::spawn(async move {
            let _arriving = transfer;
            files.keep(id, number, bytes, digest).await
        });
        stored.await.map_err(|error| broken(&error))?
    }

    /// Stores a chunk, and writes down that it is.
    async fn keep(
        &self,
        id: FileId,
        number: u32,
        bytes: Bytes,
        digest: ledger::Digest,
    ) -> Result<(), Refusal> {
        let length = bytes.len() as u64;
        let chunks = Arc::clone(&self.chunks);
        let free = spawn_blocking(move || chunks.free()).await;
        let needed = self.limits.disk_reserve.saturating_add(length);
        if free
            .map_err(|error| broken(&error))?
            .is_some_and(|free| free < needed)
        {
            return Err(Refusal::DiskFull);
        }
        let put = self.chunks.put(id, number, bytes.into()).await;
        put.map_err(refused)?;
        let stored = self
            .with_ledger(move |ledger| ledger::store(ledger, id, number, length, &digest, now()))
            .await?;
        if !stored {
            // Its file was deleted meanwhile, and is swept once more.
            return Err(Refusal::NoSuchFile);
        }
        self.figures.stored.add(length.cast_signed());
        self.figures.took_chunk("stored");
        Ok(())
    }

    /// The bytes of a complete file, from here to there. The first of them are there when this
    /// returns, so that what cannot be read is answered as such. Calls `taken` with the length of
    /// each piece that is about to be sent.
    async fn read(
        &self,
        asker: &Asker,
        file: &Entry,
        part: std::ops::Range<u64>,
        taken: impl Fn(u64) + Send + 'static,
    ) -> Result<Outgoing, Refusal> {
        let transfer = self.transfers.leaving(asker)?;
        let (id, served) = (file.id, self.figures.served.clone());
        let mut pieces = pieces(file.length, part);
        let first = match pieces.next() {
            Some((number, piece)) => self.chunks.get(id, number, piece).await,
            None => Ok(Bytes::new()),
        };
        let first = first.map_err(refused)?;
        let chunks = Arc::clone(&self.chunks);
        let rest = stream::iter(pieces)
            .map(move |(number, piece)| {
                let chunks = Arc::clone(&chunks);
                async move { chunks.get(id, number, piece).await }
            })
            // One is read while another is sent.
            .buffered(2)
            .inspect_err(|error| tracing::error!(%error, "a file could not be read"));
        let bytes = stream::once(async { Ok(first) })
            .chain(rest)
            .map_ok(move |bytes| {
                let _held = &transfer;
                taken(bytes.len() as u64);
                served.inc_by(bytes.len() as u64);
                Frame::data(bytes)
            });
        Ok(StreamBody::new(bytes.boxed()))
    }

    async fn progress(&self, file: Entry) -> Result<FileProgress, Refusal> {
        self.with_ledger(move |ledger| {
            Ok(FileProgress {
                bytes: file.length,
                chunks: file.length.chunks(),
                missing: ledger::missing(ledger, &file)?,
            })
        })
        .await
    }

    /// Deletes a file: its owner, or whoever declared it and lost their place in the call,
    /// since nobody else knows of an incomplete one.
    async fn delete(&self, asker: &Asker, id: FileId) -> Result<(), Refusal> {
        let file = self.find(asker, id).await?;
        if file.is_complete && file.owner != asker.participant {
            return Err(Refusal::NotYours);
        }
        self.with_ledger(move |ledger| ledger::expire(ledger, id))
            .await?;
        self.discard(id).await;
        Ok(())
    }

    /// Deletes the bytes of a file that is not to be had any more. What fails is tried again
    /// when the store is next swept, and so is a file of which a chunk is still on its way: once
    /// the record is gone nobody would look for it.
    async fn discard(&self, id: FileId) {
        if self.transfers.is_arriving(id) {
            return;
        }
        if let Err(error) = self.chunks.delete(id).await {
            tracing::warn!(%error, "a file could not be deleted yet");
            return;
        }
        let left = self.with_ledger(move |ledger| {
            ledger::forget(ledger, id)?;
            ledger::stored(ledger)
        });
        if let Ok(left) = left.await {
            self.figures.stored.set(left);
        }
    }

    /// Does something with the ledger. When this returns, it is there for good.
    async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> ledger::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.store.run(work).await.map_err(|error| match &error {
            StoreError::Database(cause)
                if cause.sqlite_error_code() == Some(ErrorCode::DiskFull) =>
            {
                Refusal::DiskFull
            }
            _ => broken(&error),
        })
    }
}

/// What the operator has to know and participants do not.
fn broken(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a file could not be stored or read");
    Refusal::Broken
}

fn refused(error: ChunkError) -> Refusal {
    match error {
        ChunkError::Full(error) => {
            tracing::warn!(%error, "there is no room left for files");
            Refusal::DiskFull
        }
        ChunkError::Away(error) => {
            tracing::warn!(%error, "the bucket of the files is away");
            Refusal::StoreAway
        }
        error => broken(&error),
    }
}

/// A chunk as it comes in, and its digest. Not a byte more than expected is taken.
///
/// It is copied together: a piece of a body keeps the whole buffer that it was read into, and
/// somebody may send a byte at a time.
async fn collect<B>(mut body: B, expected: u64) -> Result<(Bytes, ledger::Digest), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let wrong = Refusal::WrongLength { expected };
    let length = usize::try_from(expected).map_err(|_| wrong)?;
    let mut bytes = BytesMut::with_capacity(length);
    let mut digest = Sha256::new();
    while let Some(frame) = body.frame().await {
        // The line broke: there is nobody to answer.
        let frame = frame.map_err(|_| wrong)?;
        if let Ok(data) = frame.into_data() {
            if data.len() > length - bytes.len() {
                return Err(wrong);
            }
            digest.update(&data);
            bytes.extend_from_slice(&data);
        }
    }
    if bytes.len() != length {
        return Err(wrong);
    }
    Ok((bytes.freeze(), digest.finalize().into()))
}

/// The parts of chunks that make up a part of a file.
fn pieces(
    length: SealedLength,
    part: std::ops::Range<u64>,
) -> impl Iterator<Item = (u32, std::ops::Range<u64>)> {
    let first = part.start / u64::from(SEALED_CHUNK_BYTES);
    let first = u32::try_from(first).unwrap_or(u32::MAX);
    (first..length.chunks()).map_while(move |number| {
        let place = length.chunk(number)?;
        let start = part.start.max(place.start);
        let end = part.end.min(place.end);
        (start < end).then(|| (number, start - place.start..end - place.start))
    })
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    seconds(since.unwrap_or_default())
}

fn seconds(time: std::time::Duration) -> Time {
    Time::try_from(time.as_secs()).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::metrics::Metrics;

    /// What a socket was read into.
    struct Buffer(Arc<[u8; 4096]>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    #[tokio::test]
    async fn a_chunk_that_comes_a_byte_at_a_time_holds_no_more_than_its_bytes() {
        let read = Arc::new([7; 4096]);
        let body = |bytes| {
            let read = Arc::clone(&read);
            let piece = move |_| Bytes::from_owner(Buffer(Arc::clone(&read))).slice(..1);
            let pieces = (0..bytes).map(piece);
            StreamBody::new(stream::iter(
                pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))),
            ))
        };
        let (bytes, digest) = collect(body(16), 16).await.expect("a chunk");
        assert_eq!(Arc::strong_count(&read), 1, "the buffers are free");
        assert_eq!(bytes, [7; 16].as_slice());
        assert_eq!(digest, ledger::Digest::from(Sha256::digest([7; 16])));
        let wrong = Refusal::WrongLength { expected: 16 };
        for length in [0, 15, 17] {
            assert_eq!(collect(body(length), 16).await.err(), Some(wrong));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_stands_there_until_no_chunk_of_it_is_on_its_way() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).expect("metrics"));
        let (store, _) = Store::open(None, metrics).expect("a store");
        let files = Files::open(&FilesConfig::default(), None, store, &registry).expect("files");
        let asker = Asker {
            room: "garden".parse().expect("a room"),
            participant: ParticipantId::new(1),
            address: [192, 0, 2, 1].into(),
        };
        let length = SealedLength::of_content(5).expect("a length");
        let id = files.declare(asker.clone(), length).await.expect("a file");
        let arriving = files.transfers.arriving(&asker, id, 0).expect("a place");
        files.delete(&asker, id).await.expect("deleted");
        let is_known = || files.with_ledger(move |ledger| ledger::is_known(ledger, id));
        assert_eq!(is_known().await, Ok(true));
        // It comes too late, and is found by whoever sweeps next.
        let late = files.keep(id, 0, Bytes::from_static(&[7; 21]), [7; 32]);
        assert_eq!(late.await, Err(Refusal::NoSuchFile));
        assert!(files.chunks.get(id, 0, 0..21).await.is_ok());
        drop(arriving);
        files.sweep(|_| true).await.expect("swept");
        assert_eq!(is_known().await, Ok(false));
        assert!(files.chunks.get(id, 0, 0..21).await.is_err());
    }

    #[test]
    fn a_part_of_a_file_is_put_together_from_parts_of_chunks() {
        let length = SealedLength::of_content((2 << 20) + 5).expect("a length");
        let whole = u64::from(SEALED_CHUNK_BYTES);
        let of = |part| pieces(length, part).collect::<Vec<_>>();
        assert_eq!(
            of(0..length.get()),
            [(0, 0..whole), (1, 0..whole), (2, 0..21)]
        );
        assert_eq!(of(5..10), [(0, 5..10)]);
        assert_eq!(of(whole - 1..whole + 1), [(0, whole - 1..whole), (1, 0..1)]);
        assert_eq!(of(2 * whole + 20..length.get()), [(2, 20..21)]);
    }
}
