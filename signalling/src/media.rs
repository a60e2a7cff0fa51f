//! The way to the media side: offers go there, news about connections come back to the
//! client that they are about.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use conclave_protocol::{
    ParticipantId, RoomId,
    signal::{ErrorCode, ServerMessage},
};
use conclave_sfu::{ConnectError, LostReason, Offer, Sfu, SfuEvent};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    metrics::{Metrics, Phase},
    outbound::Outbound,
};

/// A participant who has made an offer.
struct Call {
    outbound: Outbound,
    /// When, until the connection stands.
    offered: Option<Instant>,
}

/// The media side as the front door sees it.
pub(crate) struct Media {
    sfu: Sfu,
    calls: Mutex<HashMap<ParticipantId, Call>>,
    alive: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Media {
    pub(crate) fn new(sfu: Sfu, metrics: Arc<Metrics>) -> Self {
        Self {
            sfu,
            calls: Mutex::new(HashMap::new()),
            alive: AtomicBool::new(true),
            metrics,
        }
    }

    /// False once the media thread has ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Answers an offer, or says what is wrong with it.
    pub(crate) async fn connect(
        &self,
        room: RoomId,
        participant: ParticipantId,
        outbound: &Outbound,
        offer: Offer,
        within: Duration,
    ) {
        let offered = Instant::now();
        let call = Call {
            outbound: outbound.clone(),
            offered: Some(offered),
        };
        self.calls().insert(participant, call);
        let connect = self.sfu.connect(room, participant, offer);
        match timeout(within, connect).await {
            Ok(Ok(answer)) => {
                self.metrics.took(Phase::Answer, offered.elapsed());
                outbound.say(&ServerMessage::Answer { sdp: answer.sdp });
            }
            Ok(Err(error)) => {
                tracing::debug!(%participant, %error, "an offer was not answered");
                let code = match error {
                    ConnectError::Full => ErrorCode::ServerFull,
                    ConnectError::ShuttingDown => ErrorCode::ShuttingDown,
                    _ => ErrorCode::UnacceptableOffer,
                };
                outbound.say(&ServerMessage::Error {
                    code,
                    detail: error.to_string(),
                });
            }
            Err(_elapsed) => {
                tracing::warn!(%participant, "the media side did not answer an offer in time");
                outbound.say(&ServerMessage::Error {
                    code: ErrorCode::MediaLost,
                    detail: "the media server did not answer in time: send the offer again".into(),
                });
            }
        }
    }

    /// The participant has left.
    pub(crate) fn disconnect(&self, participant: ParticipantId) {
        if self.calls().remove(&participant).is_some() {
            self.sfu.disconnect(participant);
        }
    }

    /// Hands on what the media side reports, until it ends.
    pub(crate) async fn watch(&self, mut events: mpsc::Receiver<SfuEvent>) {
        while let Some(event) = events.recv().await {
            self.handle(event);
        }
        self.alive.store(false, Ordering::Relaxed);
    }

    /// Ends all connections and the media threads.
    pub(crate) async fn shutdown(&self) {
        self.sfu.clone().shutdown().await;
    }

    fn handle(&self, event: SfuEvent) {
        match event {
            SfuEvent::Connected { participant } => {
                let offered = self
                    .calls()
                    .get_mut(&participant)
                    .and_then(|call| call.offered.take());
                if let Some(offered) = offered {
                    self.metrics.took(Phase::Media, offered.elapsed());
                }
            }
            SfuEvent::Lost {
                participant,
                reason,
            } => {
                tracing::debug!(%participant, ?reason, "a media connection was lost");
                let outbound = self
                    .calls()
                    .get(&participant)
                    .map(|call| call.outbound.clone());
                if let Some(outbound) = outbound {
                    outbound.say(&ServerMessage::Error {
                        code: ErrorCode::MediaLost,
                        detail: explain(reason).into(),
                    });
                }
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<ParticipantId, Call>> {
        // Every change of the map is one step: it is whole even after a panic.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn explain(reason: LostReason) -> &'static str {
    match reason {
        LostReason::NeverConnected => {
            "no media path came about: a firewall may block the media port, for UDP and TCP. Send a new offer to try again"
        }
        LostReason::Silent => "the media path fell silent: send a new offer",
        LostReason::Closed => "the media connection was closed: send a new offer",
        LostReason::Failed => "the media connection failed: send a new offer",
    }
}
