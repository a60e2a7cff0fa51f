//! The way to the media side: offers go there, news about connections come back to the
//! client that they are about.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use conclave_protocol::{
    ParticipantId, RoomId,
    signal::{ErrorCode, ServerMessage},
};
use conclave_sfu::{ConnectError, Inspection, LostReason, Offer, Sfu, SfuEvent};
use serde::Serialize;
use tokio::{sync::mpsc, time::timeout};
use utoipa::ToSchema;

use crate::{
    metrics::{Metrics, Phase},
    outbound::Outbound,
};

/// A participant who has made an offer.
struct Call {
    outbound: Outbound,
    /// When, until the connection stands.
    offered: Option<Instant>,
    /// The media side has reported that the connection is no more.
    is_lost: bool,
    /// Since when it is as it is.
    since: SystemTime,
}

/// How it stands with somebody's media connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MediaState {
    /// An offer was made.
    Connecting,
    /// It stands.
    Connected,
    /// It stood, or never came about.
    Lost,
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

    /// Answers an offer, or says what is wrong with it. `permit` tells whether the participant may
    /// exchange media: who may not any more by the time of the answer gets none.
    pub(crate) async fn connect(
        &self,
        room: RoomId,
        participant: ParticipantId,
        permit: &AtomicBool,
        outbound: &Outbound,
        offer: Offer,
        within: Duration,
    ) {
        let offered = Instant::now();
        let call = Call {
            outbound: outbound.clone(),
            offered: Some(offered),
            is_lost: false,
            since: SystemTime::now(),
        };
        self.calls().insert(participant, call);
        let connect = self.sfu.connect(room, participant, offer);
        match timeout(within, connect).await {
            Ok(Ok(_)) if !permit.load(Ordering::Acquire) => self.disconnect(participant),
            // Whoever took them out has told them why.
            Ok(Err(ConnectError::Left)) => {}
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

    /// The participant has come back over another line: news go there from now on. False when
    /// there is no media connection to have news of.
    pub(crate) fn move_to(&self, participant: ParticipantId, outbound: &Outbound) -> bool {
        let mut calls = self.calls();
        let Some(call) = calls.get_mut(&participant) else {
            return false;
        };
        call.outbound = outbound.clone();
        !call.is_lost
    }

    /// How it stands with somebody's connection and since when, if they have made an offer.
    pub(crate) fn state_of(&self, participant: ParticipantId) -> Option<(MediaState, SystemTime)> {
        let calls = self.calls();
        let call = calls.get(&participant)?;
        let state = match (call.is_lost, call.offered) {
            (true, _) => MediaState::Lost,
            (false, Some(_)) => MediaState::Connecting,
            (false, None) => MediaState::Connected,
        };
        Some((state, call.since))
    }

    /// What passes between the media side and somebody; none without a connection.
    pub(crate) async fn inspect(&self, participant: ParticipantId) -> Option<Inspection> {
        self.sfu.inspect(participant).await
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
                let offered = self.calls().get_mut(&participant).and_then(|call| {
                    call.since = SystemTime::now();
                    call.offered.take()
                });
                if let Some(offered) = offered {
                    self.metrics.took(Phase::Media, offered.elapsed());
                }
            }
            SfuEvent::Lost {
                participant,
                reason,
            } => {
                tracing::debug!(%participant, ?reason, "a media connection was lost");
                let outbound = self.calls().get_mut(&participant).and_then(|call| {
                    let is_closed = matches!(reason, LostReason::Closed);
                    let was_up = is_closed || matches!(reason, LostReason::Silent);
                    if was_up && call.offered.is_some() {
                        // Of the connection that the one on offer replaces.
                        return None;
                    }
                    call.is_lost = true;
                    call.since = SystemTime::now();
                    // Who closes a connection knows.
                    (!is_closed).then(|| call.outbound.clone())
                });
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
