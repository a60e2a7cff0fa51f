//! The bucket that files are kept in.

use tokio::runtime;

use super::Finding;
use crate::files::{self, Bucket};

const REMEDY: &str = "see that the bucket exists, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, \
    AWS_REGION and AWS_ENDPOINT; they have to allow storing, reading, listing and deleting. \
    Until then no files are shared; calls are not affected";

/// Does with it what a server would.
pub(super) fn examine(bucket: &Bucket) -> Finding {
    let what = "file store";
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Finding::doubtful(what, error.to_string(), "see ulimit -a"),
    };
    match runtime.block_on(files::try_out(bucket)) {
        Ok(()) => Finding::good(
            what,
            format!("{bucket} stores, gives back and deletes what it is told to"),
        ),
        Err(error) => Finding::bad(what, format!("{bucket}: {error}"), REMEDY),
    }
}
