//! What is asked about files over HTTP, and what is answered (docs/protocol.md, "Files").

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use conclave_protocol::{
    file::{DeclareFile, DeclaredFile, FileId, SEALED_CHUNK_BYTES},
    session::SessionToken,
};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        ETAG, HeaderValue, LOCATION,
    },
};
use tokio::time::timeout;

use super::{
    Asker, Files, Outgoing,
    range::{self, Part},
    refusal::Refusal,
};
use crate::{
    answer::{Body, fresh},
    door::Door,
    http::Caller,
    registry::Place,
};

/// Everything about files begins like this.
pub(crate) const PREFIX: &str = "/api/v1/files";

/// Longest request to declare a file, in bytes.
const LONGEST_DECLARATION: usize = 1024;

/// How long a request to declare a file may take.
const DECLARED_WITHIN: Duration = Duration::from_secs(10);

/// How long the rest of a refused chunk may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// Who takes an answer more slowly than this many bytes a second may find it cut off. It can
/// ask for the rest.
const SLOWEST: u64 = 32 << 10;

/// What is answered: all at once, or as it is read.
pub(crate) type Reply = Response<Either<Body, Outgoing>>;

/// What a request is about, from the rest of its path.
enum Subject {
    All,
    File(FileId),
    Progress(FileId),
    Chunk(FileId, u32),
}

impl Subject {
    fn of(path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(Self::All);
        }
        let path = path.strip_prefix('/')?;
        match path.split_once('/') {
            None => path.parse().ok().map(Self::File),
            Some((file, "chunks")) => file.parse().ok().map(Self::Progress),
            Some((file, number)) => {
                // One way to write a number.
                let plain = number.bytes().all(|b| b.is_ascii_digit());
                let number = number.parse().ok().filter(|_| plain)?;
                Some(Self::Chunk(file.parse().ok()?, number))
            }
        }
    }
}

/// Answers a request about files; `path` is what follows [`PREFIX`].
pub(crate) async fn answer(
    door: &Door,
    caller: &Caller,
    request: Request<Incoming>,
    path: &str,
) -> Reply {
    let files = &door.files;
    match act(door, files, caller, request, path).await {
        Ok(reply) => reply,
        Err(refusal) => {
            files.figures.refused(refusal.label());
            refusal.answer().map(Either::Left)
        }
    }
}

async fn act(
    door: &Door,
    files: &Arc<Files>,
    caller: &Caller,
    request: Request<Incoming>,
    path: &str,
) -> Result<Reply, Refusal> {
    // Whoever is in no call costs no more than this.
    let asker = asker(door, caller, request.headers())?;
    let subject = Subject::of(path).ok_or(Refusal::NoSuchFile)?;
    match (request.method(), subject) {
        (&Method::POST, Subject::All) => declare(files, asker, request.into_body()).await,
        (&Method::PUT, Subject::Chunk(id, number)) => {
            caller.is_busy_until(Instant::now() + files.limits.chunk_within);
            let mut body = request.into_body();
            if let Err(refusal) = files.take(&asker, id, number, &mut body).await {
                // Who sends nothing has nothing left that could be taken.
                if !matches!(refusal, Refusal::TooSlow) {
                    drain(body).await;
                }
                return Err(refusal);
            }
            Ok(done(StatusCode::NO_CONTENT))
        }
        (&Method::GET | &Method::HEAD, Subject::File(id)) => {
            let body = request.method() == Method::GET;
            send(files, &asker, caller, id, request.headers(), body).await
        }
        (&Method::GET | &Method::HEAD, Subject::Progress(id)) => {
            let file = files.find(&asker, id).await?;
            json(StatusCode::OK, &files.progress(file).await?)
        }
        (&Method::DELETE, Subject::File(id)) => {
            files.delete(&asker, id).await?;
            Ok(done(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::WrongMethod),
    }
}

/// Who asks, by the token of their session (RFC 6750 §2.1).
fn asker(door: &Door, caller: &Caller, headers: &HeaderMap) -> Result<Asker, Refusal> {
    let place = place(door, headers).ok_or(Refusal::Stranger)?;
    // Who waits at a guarded door is not in the call, and takes none of its room.
    if !place.permit.load(Ordering::Acquire) {
        return Err(Refusal::NotLetIn);
    }
    Ok(Asker {
        room: place.room,
        participant: place.participant,
        address: caller.address,
    })
}

fn place(door: &Door, headers: &HeaderMap) -> Option<Place> {
    let credentials = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = credentials.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = SessionToken::try_from(token.trim().to_owned()).ok()?;
    door.rooms.who(&token)
}

/// Takes what is left of a chunk that is refused: a connection with unread bytes in it would be
/// reset, and the reason might never be read.
async fn drain(body: Incoming) {
    let mut rest = Limited::new(body, SEALED_CHUNK_BYTES as usize);
    let rest = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Whether it came in time makes no difference to the answer.
    timeout(DRAINED_WITHIN, rest).await.ok();
}

async fn declare(files: &Files, asker: Asker, body: Incoming) -> Result<Reply, Refusal> {
    let body = Limited::new(body, LONGEST_DECLARATION).collect();
    let body = timeout(DECLARED_WITHIN, body)
        .await
        .map_err(|_| Refusal::TooSlow)?;
    let body = body.map_err(|_| Refusal::Malformed)?.to_bytes();
    let asked: DeclareFile = serde_json::from_slice(&body).map_err(|_| Refusal::Malformed)?;
    let id = files.declare(asker, asked.bytes).await?;
    let declared = DeclaredFile {
        id,
        chunks: asked.bytes.chunks(),
    };
    let mut reply = json(StatusCode::CREATED, &declared)?;
    if let Ok(location) = HeaderValue::try_from(format!("{PREFIX}/{id}")) {
        reply.headers_mut().insert(LOCATION, location);
    }
    Ok(reply)
}

/// A file or a part of it.
async fn send(
    files: &Files,
    asker: &Asker,
    caller: &Caller,
    id: FileId,
    headers: &HeaderMap,
    with_body: bool,
) -> Result<Reply, Refusal> {
    let file = files.find(asker, id).await?;
    if !file.is_complete {
        return Err(Refusal::Incomplete);
    }
    let bytes = file.length.get();
    // A complete file never changes.
    let tag = format!("\"{id}\"");
    // Ranges are defined for GET alone (RFC 9110 §14.2).
    let asked = if with_body {
        range::asked(headers, bytes, &tag)?
    } else {
        Part::Whole
    };
    let (status, part) = match asked {
        Part::Whole => (StatusCode::OK, 0..bytes),
        Part::Of(part) => (StatusCode::PARTIAL_CONTENT, part),
    };
    let mut fields = vec![
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (part.end - part.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, tag),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{bytes}", part.start, part.end - 1);
        fields.push((CONTENT_RANGE, range));
    }
    let body = if with_body {
        let caller = caller.clone();
        let taken = move |bytes: u64| {
            let patience = Duration::from_secs(30 + bytes / SLOWEST);
            caller.is_busy_until(Instant::now() + patience);
        };
        Either::Right(files.read(asker, &file, part, taken).await?)
    } else {
        Either::Left(Full::default())
    };
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers_mut().insert(name, value);
        }
    }
    Ok(reply)
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Result<Reply, Refusal> {
    let body = serde_json::to_vec(value).map_err(|error| super::broken(&error))?;
    Ok(fresh(status, "application/json", body).map(Either::Left))
}

fn done(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(Bytes::new())));
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_files_and_chunks_in_one_way_only() {
        let id = "a5".repeat(16);
        let is = |path: &str| Subject::of(path);
        assert!(matches!(is(""), Some(Subject::All)));
        assert!(matches!(is(&format!("/{id}")), Some(Subject::File(_))));
        assert!(matches!(
            is(&format!("/{id}/chunks")),
            Some(Subject::Progress(_))
        ));
        assert!(matches!(
            is(&format!("/{id}/70")),
            Some(Subject::Chunk(_, 70))
        ));
        for path in [
            "/",
            "/x",
            "x",
            "/../x",
            &format!("/{id}/"),
            &format!("/{id}/+7"),
            &format!("/{id}/-1"),
            &format!("/{id}/4294967296"),
            &format!("/{id}/7/"),
            &id.to_string(),
        ] {
            assert!(is(path).is_none(), "{path}");
        }
    }
}
