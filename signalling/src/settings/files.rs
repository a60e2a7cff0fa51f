//! What an operator can set about files that participants share.

use bytesize::ByteSize;
use clap::Args;
use humantime::Duration;

use crate::files::{Bucket, FileLimits, FilesConfig};

/// How files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct FileSettings {
    /// Where the bytes of files that participants share go, instead of into the data folder: a
    /// bucket of Amazon S3 or of another store that speaks its protocol. Who we are there is read from
    /// the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT for
    /// another store than Amazon's.
    #[arg(long, env = "CONCLAVE_FILE_STORE", value_name = "s3://BUCKET/PREFIX")]
    pub file_store: Option<Bucket>,

    /// The largest file that can be shared. 0 switches files off.
    #[arg(long, env = "CONCLAVE_FILE_SIZE", value_name = "BYTES", default_value_t = ByteSize(LIMITS.per_file))]
    pub file_size: ByteSize,

    /// Bytes of all files of one participant.
    #[arg(long, env = "CONCLAVE_FILES_PER_PARTICIPANT", value_name = "BYTES", default_value_t = ByteSize(LIMITS.per_participant))]
    pub files_per_participant: ByteSize,

    /// Bytes of all files of one call.
    #[arg(long, env = "CONCLAVE_FILES_PER_ROOM", value_name = "BYTES", default_value_t = ByteSize(LIMITS.per_room))]
    pub files_per_room: ByteSize,

    /// Bytes of all files on this server.
    #[arg(long, env = "CONCLAVE_FILES_IN_ALL", value_name = "BYTES", default_value_t = ByteSize(LIMITS.in_all))]
    pub files_in_all: ByteSize,

    /// Bytes that files leave free on the disk that they are on.
    #[arg(long, env = "CONCLAVE_FILES_LEAVE_FREE", value_name = "BYTES", default_value_t = ByteSize(LIMITS.disk_reserve))]
    pub files_leave_free: ByteSize,

    /// How long a file is kept.
    #[arg(long, env = "CONCLAVE_FILES_KEPT", value_name = "TIME", default_value_t = Duration::from(LIMITS.kept))]
    pub files_kept: Duration,

    /// How long a file is kept, at most, after everybody has left the call.
    #[arg(long, env = "CONCLAVE_FILES_KEPT_AFTER_CALL", value_name = "TIME", default_value_t = Duration::from(LIMITS.kept_after_call))]
    pub files_kept_after_call: Duration,
}

const LIMITS: FileLimits = FileLimits::DEFAULT;

impl FileSettings {
    pub(super) fn into_config(self) -> FilesConfig {
        FilesConfig {
            bucket: self.file_store,
            limits: FileLimits {
                per_file: self.file_size.as_u64(),
                per_participant: self.files_per_participant.as_u64(),
                per_room: self.files_per_room.as_u64(),
                in_all: self.files_in_all.as_u64(),
                disk_reserve: self.files_leave_free.as_u64(),
                kept: self.files_kept.into(),
                kept_after_call: self.files_kept_after_call.into(),
                ..LIMITS
            },
        }
    }
}
