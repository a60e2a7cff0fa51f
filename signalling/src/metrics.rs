//! What the front door counts. Labels are bounded: no room, participant or address.

use std::time::Duration;

use conclave_protocol::signal::{ClientMessage, ErrorCode, ServerMessage};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    core::Collector,
};

use crate::process::ProcessCollector;

/// A part of the way into a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    /// From the opened WebSocket to `joined`.
    Room,
    /// From `joined` to the founding or the accepted commit.
    Group,
    /// From the offer to the answer.
    Answer,
    /// From the offer to the first connection (ICE and DTLS).
    Media,
}

impl Phase {
    const fn label(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Group => "group",
            Self::Answer => "answer",
            Self::Media => "media",
        }
    }
}

/// The front door's metrics.
pub(crate) struct Metrics {
    joins: IntCounterVec,
    join_duration: HistogramVec,
    disconnects: IntCounterVec,
    resumptions: IntCounterVec,
    transactions: IntCounterVec,
    transaction_duration: Histogram,
    messages: IntCounterVec,
    rate_limited: IntCounterVec,
    requests: IntCounterVec,
    deliveries: IntCounterVec,
    pub(crate) rooms: IntGauge,
    pub(crate) websockets: IntGauge,
    pub(crate) draining: IntGauge,
}

impl Metrics {
    /// Makes and registers them all.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        fn add<C: Collector + Clone + 'static>(
            registry: &Registry,
            collector: C,
        ) -> Result<C, prometheus::Error> {
            registry.register(Box::new(collector.clone()))?;
            Ok(collector)
        }
        let counter = |name: &str, help: &str, labels: &[&str]| {
            add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str| add(registry, IntGauge::new(name, help)?);

        registry.register(Box::new(ProcessCollector::new()?))?;
        let build = add(
            registry,
            GaugeVec::new(
                Opts::new("conclave_build_info", "The version that runs, always 1."),
                &["version"],
            )?,
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);

        Ok(Self {
            joins: counter(
                "conclave_joins_total",
                "Attempts to come into a room, by result.",
                &["result"],
            )?,
            join_duration: add(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "conclave_join_duration_seconds",
                        "Time that the parts of coming into a call take.",
                    )
                    .buckets(vec![
                        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
                        10.0,
                    ]),
                    &["phase"],
                )?,
            )?,
            disconnects: counter(
                "conclave_disconnects_total",
                "WebSockets that ended, by reason.",
                &["reason"],
            )?,
            resumptions: counter(
                "conclave_resumptions_total",
                "Attempts to come back after a line broke, by result.",
                &["result"],
            )?,
            transactions: counter(
                "conclave_store_transactions_total",
                "Transactions of the database, by result.",
                &["result"],
            )?,
            transaction_duration: add(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "conclave_store_transaction_duration_seconds",
                        "Time until what was to be kept is on the disk.",
                    )
                    .buckets(vec![
                        0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
                    ]),
                )?,
            )?,
            messages: counter(
                "conclave_signalling_messages_total",
                "Signalling messages, by type and direction.",
                &["type", "direction"],
            )?,
            rate_limited: counter(
                "conclave_rate_limited_total",
                "What was refused because there was too much of it.",
                &["limit"],
            )?,
            requests: counter(
                "conclave_http_requests_total",
                "HTTP requests, by route and status.",
                &["route", "status"],
            )?,
            deliveries: counter(
                "conclave_webhook_deliveries_total",
                "Attempts to tell a webhook of an event, by result; given_up counts events.",
                &["result"],
            )?,
            rooms: gauge("conclave_rooms", "Rooms with someone in them.")?,
            websockets: gauge("conclave_websocket_connections", "Open WebSockets.")?,
            draining: gauge(
                "conclave_draining",
                "1 while the server drains or shuts down.",
            )?,
        })
    }

    pub(crate) fn joined(&self, result: &'static str) {
        self.joins.with_label_values(&[result]).inc();
    }

    pub(crate) fn took(&self, phase: Phase, time: Duration) {
        self.join_duration
            .with_label_values(&[phase.label()])
            .observe(time.as_secs_f64());
    }

    pub(crate) fn disconnected(&self, reason: &'static str) {
        self.disconnects.with_label_values(&[reason]).inc();
    }

    pub(crate) fn resumed(&self, result: &'static str) {
        self.resumptions.with_label_values(&[result]).inc();
    }

    pub(crate) fn stored(&self, is_stored: bool, time: Duration) {
        let result = if is_stored { "ok" } else { "failed" };
        self.transactions.with_label_values(&[result]).inc();
        self.transaction_duration.observe(time.as_secs_f64());
    }

    pub(crate) fn received(&self, kind: &'static str) {
        self.messages.with_label_values(&[kind, "in"]).inc();
    }

    pub(crate) fn sent(&self, kind: &'static str) {
        self.messages.with_label_values(&[kind, "out"]).inc();
    }

    pub(crate) fn limited(&self, limit: &'static str) {
        self.rate_limited.with_label_values(&[limit]).inc();
    }

    pub(crate) fn delivered(&self, result: &'static str) {
        self.deliveries.with_label_values(&[result]).inc();
    }

    pub(crate) fn requested(&self, route: &'static str, status: &str) {
        self.requests.with_label_values(&[route, status]).inc();
    }
}

/// A client's message as a label.
pub(crate) const fn client_kind(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Join { .. } => "join",
        ClientMessage::Resume { .. } => "resume",
        ClientMessage::KeepSession {} => "keep_session",
        ClientMessage::Probe {} => "probe",
        ClientMessage::CreateGroup { .. } => "create_group",
        ClientMessage::Commit { .. } => "commit",
        ClientMessage::Knock { .. } => "knock",
        ClientMessage::AskGroup { .. } => "ask_group",
        ClientMessage::ShowGroup { .. } => "show_group",
        ClientMessage::EpochReached { .. } => "epoch_reached",
        ClientMessage::CommitRefused { .. } => "commit_refused",
        ClientMessage::TurnAway { .. } => "turn_away",
        ClientMessage::Send { .. } => "send",
        ClientMessage::Offer { .. } => "offer",
        ClientMessage::Leave {} => "leave",
    }
}

/// A server's message as a label.
pub(crate) const fn server_kind(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Joined { .. } => "joined",
        ServerMessage::Session { .. } => "session",
        ServerMessage::Resumed { .. } => "resumed",
        ServerMessage::Heard { .. } => "heard",
        ServerMessage::Here {} => "here",
        ServerMessage::ParticipantAway { .. } => "participant_away",
        ServerMessage::ParticipantBack { .. } => "participant_back",
        ServerMessage::GroupCreated {} => "group_created",
        ServerMessage::Committed { .. } => "committed",
        ServerMessage::Stale { .. } => "stale",
        ServerMessage::Group { .. } => "group",
        ServerMessage::ShowGroup { .. } => "show_group",
        ServerMessage::Admit { .. } => "admit",
        ServerMessage::Knocking { .. } => "knocking",
        ServerMessage::TurnedAway { .. } => "turned_away",
        ServerMessage::Welcomed { .. } => "welcomed",
        ServerMessage::CommitAnnulled { .. } => "commit_annulled",
        ServerMessage::GroupLost {} => "group_lost",
        ServerMessage::EpochComplete { .. } => "epoch_complete",
        ServerMessage::Delivered { .. } => "delivered",
        ServerMessage::Answer { .. } => "answer",
        ServerMessage::ParticipantJoined { .. } => "participant_joined",
        ServerMessage::ParticipantLeft { .. } => "participant_left",
        ServerMessage::StrangerRefused {} => "stranger_refused",
        ServerMessage::Error { .. } => "error",
    }
}

/// An error code as a label.
pub(crate) const fn code_label(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "malformed",
        ErrorCode::TooLarge => "too_large",
        ErrorCode::TooFast => "too_fast",
        ErrorCode::OutOfOrder => "out_of_order",
        ErrorCode::UnsupportedVersion => "unsupported_version",
        ErrorCode::WrongSecret => "wrong_secret",
        ErrorCode::RoomFull => "room_full",
        ErrorCode::ServerFull => "server_full",
        ErrorCode::RoomBusy => "room_busy",
        ErrorCode::TooSlow => "too_slow",
        ErrorCode::UnacceptableOffer => "unacceptable_offer",
        ErrorCode::Draining => "draining",
        ErrorCode::NoSuchRoom => "no_such_room",
        ErrorCode::NotInvited => "not_invited",
        ErrorCode::RoomClosed => "room_closed",
        ErrorCode::Removed => "removed",
        ErrorCode::CommitRefused => "commit_refused",
        ErrorCode::ShownOut => "shown_out",
        ErrorCode::LinkChanged => "link_changed",
        ErrorCode::MediaLost => "media_lost",
        ErrorCode::SessionLost => "session_lost",
        ErrorCode::Replaced => "replaced",
        ErrorCode::ShuttingDown => "shutting_down",
    }
}
