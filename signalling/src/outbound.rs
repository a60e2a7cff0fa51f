//! What waits to be told to one client. The queue is bounded in messages and in bytes: who
//! does not read is shown out, and nobody else waits for them.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use conclave_protocol::{
    session::Position,
    signal::{ErrorCode, ServerMessage},
};
use hyper_tungstenite::tungstenite::{Utf8Bytes, protocol::frame::coding::CloseCode};
use tokio::sync::{mpsc, watch};

use crate::{
    limits::Limits,
    metrics::{code_label, server_kind},
};

/// A message made ready once for all who get it.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) kind: &'static str,
    pub(crate) text: Utf8Bytes,
}

impl Parcel {
    pub(crate) fn pack(message: &ServerMessage) -> Result<Self, serde_json::Error> {
        Ok(Self {
            kind: server_kind(message),
            text: serde_json::to_string(message)?.into(),
        })
    }

    /// A message that was told before, as it was kept.
    pub(crate) fn again(position: Position, text: &str) -> Self {
        Self {
            kind: "again",
            text: positioned(position, text),
        }
    }

    /// The same with its place in what the room tells.
    pub(crate) fn at(&self, position: Position) -> Self {
        Self {
            kind: self.kind,
            text: positioned(position, &self.text),
        }
    }
}

/// As [`conclave_protocol::session::Positioned`] would write it, without writing it anew.
fn positioned(position: Position, text: &str) -> Utf8Bytes {
    let fields = text.strip_prefix('{').unwrap_or(text);
    format!(r#"{{"at":{},{fields}"#, position.get()).into()
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client said `leave`.
    Left,
    /// The client closed its side, or the network did.
    Gone,
    /// Nothing has come from the client for too long, not even a pong.
    Silent,
    /// The server could not go on with this client, through no fault of the client's.
    Failed,
    /// The client is shown out and told why.
    ShownOut {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        detail: Cow<'static, str>,
    },
}

impl Ending {
    pub(crate) fn shown_out(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::ShownOut {
            code,
            detail: detail.into(),
        }
    }

    /// The reason as a label.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Failed => "failed",
            Self::ShownOut { code, .. } => code_label(*code),
        }
    }

    /// The reason as the WebSocket knows it (RFC 6455 §7.4.1).
    pub(crate) const fn close_code(&self) -> CloseCode {
        match self {
            Self::Left | Self::Gone => CloseCode::Normal,
            Self::Silent => CloseCode::Away,
            Self::Failed => CloseCode::Error,
            Self::ShownOut { code, .. } => match code {
                ErrorCode::TooLarge => CloseCode::Size,
                ErrorCode::ShuttingDown => CloseCode::Restart,
                ErrorCode::Draining
                | ErrorCode::RoomFull
                | ErrorCode::ServerFull
                | ErrorCode::RoomBusy
                | ErrorCode::TooSlow
                | ErrorCode::TooFast => CloseCode::Again,
                _ => CloseCode::Policy,
            },
        }
    }

    /// What is said before the connection is closed.
    pub(crate) fn last_words(&self) -> Option<ServerMessage> {
        match self {
            Self::ShownOut { code, detail } => Some(ServerMessage::Error {
                code: *code,
                detail: detail.clone().into_owned(),
            }),
            _ => None,
        }
    }
}

struct Shared {
    queued_bytes: AtomicUsize,
    most_bytes: usize,
    ending: watch::Sender<Option<Ending>>,
}

/// The end that the server speaks into. Clones speak to the same client.
#[derive(Clone)]
pub(crate) struct Outbound {
    queue: mpsc::Sender<Parcel>,
    shared: Arc<Shared>,
}

/// The end that is written to the socket.
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Parcel>,
    shared: Arc<Shared>,
}

/// A queue for one client.
pub(crate) fn channel(limits: &Limits) -> (Outbound, Inbox) {
    let (sender, receiver) = mpsc::channel(limits.queued_messages);
    let shared = Arc::new(Shared {
        queued_bytes: AtomicUsize::new(0),
        most_bytes: limits.queued_bytes,
        ending: watch::Sender::new(None),
    });
    let outbound = Outbound {
        queue: sender,
        shared: Arc::clone(&shared),
    };
    let inbox = Inbox {
        queue: receiver,
        shared,
    };
    (outbound, inbox)
}

impl Outbound {
    /// Tells the client something. False when it is no longer listening; a client whose
    /// queue is full is shown out.
    pub(crate) fn tell(&self, parcel: Parcel) -> bool {
        let bytes = parcel.text.len();
        let waiting = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A queue that holds nothing takes any message, however long.
        let fits = waiting == 0 || waiting + bytes <= self.shared.most_bytes;
        if fits && self.queue.try_send(parcel).is_ok() {
            return true;
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.end(Ending::shown_out(
            ErrorCode::TooSlow,
            "you take messages too slowly: the connection is too slow for this call",
        ));
        false
    }

    /// Tells the client one thing that nobody else is told.
    pub(crate) fn say(&self, message: &ServerMessage) {
        match Parcel::pack(message) {
            Ok(parcel) => {
                self.tell(parcel);
            }
            Err(error) => {
                tracing::error!(%error, "a message could not be written as JSON");
                self.end(Ending::Failed);
            }
        }
    }

    /// How many bytes wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Ends the connection. The first reason given is the one that counts.
    pub(crate) fn end(&self, ending: Ending) {
        self.shared.ending.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(ending);
            }
            first
        });
    }

    /// Resolves to the reason once the connection is to end.
    pub(crate) fn ended(&self) -> impl Future<Output = Ending> + Send + 'static {
        ended(self.shared.ending.subscribe())
    }
}

impl Inbox {
    /// The next message.
    pub(crate) async fn next(&mut self) -> Option<Parcel> {
        let parcel = self.queue.recv().await;
        self.taken(parcel)
    }

    /// The next message that waits already.
    pub(crate) fn waiting(&mut self) -> Option<Parcel> {
        let parcel = self.queue.try_recv().ok();
        self.taken(parcel)
    }

    fn taken(&self, parcel: Option<Parcel>) -> Option<Parcel> {
        if let Some(parcel) = &parcel {
            self.shared
                .queued_bytes
                .fetch_sub(parcel.text.len(), Ordering::Relaxed);
        }
        parcel
    }

    /// Resolves to the reason once the connection is to end.
    pub(crate) fn ended(&self) -> impl Future<Output = Ending> + Send + 'static {
        ended(self.shared.ending.subscribe())
    }
}

async fn ended(mut watched: watch::Receiver<Option<Ending>>) -> Ending {
    match watched.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(ending)) => ending.clone(),
        _ => Ending::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(bytes: usize) -> Parcel {
        Parcel {
            kind: "delivered",
            text: "x".repeat(bytes).into(),
        }
    }

    fn is_too_slow(ending: &Ending) -> bool {
        matches!(
            ending,
            Ending::ShownOut {
                code: ErrorCode::TooSlow,
                ..
            }
        )
    }

    #[tokio::test]
    async fn too_many_messages_end_the_connection() {
        let (outbound, inbox) = channel(&Limits {
            queued_messages: 2,
            ..Limits::default()
        });
        assert!(outbound.tell(parcel(1)));
        assert!(outbound.tell(parcel(1)));
        assert!(!outbound.tell(parcel(1)));
        assert!(is_too_slow(&inbox.ended().await));
    }

    #[tokio::test]
    async fn too_many_bytes_end_the_connection_but_one_long_message_does_not() {
        let (outbound, mut inbox) = channel(&Limits {
            queued_bytes: 10,
            ..Limits::default()
        });
        assert!(outbound.tell(parcel(11)));
        inbox.next().await.expect("a message");
        assert!(outbound.tell(parcel(6)));
        assert!(outbound.tell(parcel(4)));
        assert!(!outbound.tell(parcel(1)));
        assert!(is_too_slow(&outbound.ended().await));
    }

    #[tokio::test]
    async fn the_first_reason_counts() {
        let (outbound, inbox) = channel(&Limits::default());
        outbound.end(Ending::Left);
        outbound.end(Ending::Gone);
        assert_eq!(inbox.ended().await, Ending::Left);
        assert_eq!(outbound.ended().await, Ending::Left, "also when asked late");
    }
}
