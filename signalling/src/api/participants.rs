//! Who is in a room.

use axum::http::StatusCode;
use conclave_protocol::{ParticipantId, RoomId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::{As, Moderate, Observe},
    exchange::ExchangeView,
    listing::{Page, Paging},
    problem::{Path, Problem, Problems, Query},
};
use crate::{
    host::{Command, GuestDescription},
    media::MediaState,
    moment::Moment,
};

/// Somebody in a room. Their name is between the members.
#[derive(Serialize, ToSchema)]
pub(super) struct ParticipantView {
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
    id: ParticipantId,
    /// Their line is broken; they may come back.
    away: bool,
    /// Since when this process has them.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
    /// A commit has brought them into the group.
    in_group: bool,
    /// Null while they have not offered to exchange any.
    media: Option<MediaView>,
    /// Bytes of signalling that wait to be sent to them.
    queued_bytes: usize,
}

/// How it stands with somebody's media connection.
#[derive(Serialize, ToSchema)]
struct MediaView {
    #[schema(inline)]
    state: MediaState,
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
}

impl From<GuestDescription> for ParticipantView {
    fn from(guest: GuestDescription) -> Self {
        let media = guest.media.map(|(state, since)| MediaView { state, since });
        Self {
            id: guest.id,
            away: guest.is_away,
            since: guest.since,
            in_group: guest.in_group,
            media,
            queued_bytes: guest.queued_bytes,
        }
    }
}

/// Lists who is in a room.
#[utoipa::path(
    get,
    path = "/rooms/{room}/participants",
    tag = "participants",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), Paging),
    security(("key" = ["observe"])),
    responses((status = 200, body = Page<ParticipantView>), Problems)
)]
pub(super) async fn list(
    caller: As<Observe>,
    Path(room): Path<RoomId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<ParticipantView>>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let guests = match caller.door.rooms.ask(&room, Command::Describe).await {
        Some(description) => description.guests,
        None if caller.door.store.made_room(&room).await?.is_some() => Vec::new(),
        None => return Err(Problem::no_room()),
    };
    let is_later = |guest: &GuestDescription| {
        let after = after.as_deref();
        after.is_none_or(|after| guest.id.to_string().as_str() > after)
    };
    let guests = guests.into_iter().filter(is_later).take(limit + 1);
    let views = guests.map(ParticipantView::from).collect();
    let page = Page::cut(views, limit, |it: &ParticipantView| it.id.to_string());
    Ok(axum::Json(page))
}

/// Somebody in a room, and what passes between the server and them.
#[derive(Serialize, ToSchema)]
pub(super) struct ParticipantDetail {
    #[serde(flatten)]
    participant: ParticipantView,
    /// Null while they have no media connection.
    exchange: Option<ExchangeView>,
}

/// Shows somebody in a room.
///
/// With what they send and are given at this moment: enough to tell whose network is bad.
#[utoipa::path(
    get,
    path = "/rooms/{room}/participants/{id}",
    tag = "participants",
    params(
        ("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("id" = String, Path, pattern = "^[0-9a-f]{16}$"),
    ),
    security(("key" = ["observe"])),
    responses((status = 200, body = ParticipantDetail), Problems)
)]
pub(super) async fn show(
    caller: As<Observe>,
    Path((room, participant)): Path<(RoomId, ParticipantId)>,
) -> Result<axum::Json<ParticipantDetail>, Problem> {
    let rooms = &caller.door.rooms;
    let description = rooms.ask(&room, Command::Describe).await;
    let guests = description.ok_or_else(nobody_there)?.guests;
    let guest = guests.into_iter().find(|guest| guest.id == participant);
    let guest = guest.ok_or_else(no_participant)?;
    let exchange = caller.door.media.inspect(participant).await;
    Ok(axum::Json(ParticipantDetail {
        participant: guest.into(),
        exchange: exchange.map(Into::into),
    }))
}

/// Removes somebody from a room.
///
/// They are shown out, and the group takes them out as it does whoever leaves. Unless their
/// invite is used up or the link changes, they can join anew.
#[utoipa::path(
    delete,
    path = "/rooms/{room}/participants/{id}",
    tag = "participants",
    params(
        ("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("id" = String, Path, pattern = "^[0-9a-f]{16}$"),
    ),
    security(("key" = ["moderate"])),
    responses((status = 204), Problems)
)]
pub(super) async fn remove(
    caller: As<Moderate>,
    Path((room, participant)): Path<(RoomId, ParticipantId)>,
) -> Result<StatusCode, Problem> {
    let ask = |answer| Command::Remove(participant, answer);
    match caller.door.rooms.ask(&room, ask).await {
        Some(true) => Ok(StatusCode::NO_CONTENT),
        Some(false) => Err(no_participant()),
        None => Err(nobody_there()),
    }
}

fn no_participant() -> Problem {
    Problem::not_found("nobody in the room has this id")
}

fn nobody_there() -> Problem {
    Problem::not_found("nobody is in such a room")
}
