//! Rooms: making and closing them, and what goes on in them from outside.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};
use conclave_protocol::{ParticipantId, RoomId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    access::{As, Create, Moderate, Observe},
    listing::{Page, Paging, limit},
    problem::{Json, Path, Problem, Problems, Query},
};
use crate::{
    door::Door,
    draw,
    entry::{Entry, MadeRoom, NotMade},
    host::{Command, Description},
    limits::RoomSize,
    moment::Moment,
    outbox::{Event, Kind},
};

/// A room that was made, or that somebody is in.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomView {
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    name: RoomId,
    /// How it was made; null if somebody just opened its link.
    made: Option<MadeView>,
    /// What goes on in it; null if nobody is there.
    live: Option<LiveView>,
}

/// How a room was made.
#[derive(Serialize, ToSchema)]
struct MadeView {
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
    entry: Entry,
    /// How many it takes, if fewer than the server would.
    capacity: Option<usize>,
    /// When it will be closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Moment>,
}

/// What goes on in a room.
#[derive(Serialize, ToSchema)]
struct LiveView {
    /// Since when this process has it.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
    participants: usize,
    /// Those of them whose line is broken, and who may come back.
    away: usize,
    /// How many are in the group.
    members: usize,
    /// The group's epoch; null while there is no group.
    epoch: Option<u64>,
    /// Newcomers wait until a host lets them in.
    guarded: bool,
    /// How far it has got in what it tells.
    position: u64,
}

impl From<MadeRoom> for MadeView {
    fn from(made: MadeRoom) -> Self {
        Self {
            created: made.created,
            entry: made.entry,
            capacity: made.capacity.map(RoomSize::get),
            expires: made.expires,
        }
    }
}

impl From<Description> for LiveView {
    fn from(room: Description) -> Self {
        Self {
            since: room.since,
            participants: room.guests.len(),
            away: room.guests.iter().filter(|guest| guest.is_away).count(),
            members: room.group.map_or(0, |(members, _)| members),
            epoch: room.group.map(|(_, epoch)| epoch.get()),
            guarded: room.is_guarded,
            position: room.position.get(),
        }
    }
}

async fn view(door: &Door, name: RoomId, made: Option<MadeRoom>) -> RoomView {
    let live = door.rooms.ask(&name, Command::Describe).await;
    RoomView {
        name,
        made: made.map(Into::into),
        live: live.map(Into::into),
    }
}

/// A room to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoom {
    /// Drawn if left out.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    name: Option<RoomId>,
    #[serde(default)]
    #[schema(inline)]
    entry: Entry,
    /// How many it takes, if fewer than the server would.
    #[schema(minimum = 1, maximum = 1000)]
    capacity: Option<u16>,
    /// After so many seconds it is closed.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u32>,
}

/// A time that something lasts, as requests say it.
pub(super) fn lasts(seconds: Option<u32>) -> Result<Option<Duration>, Problem> {
    match seconds {
        Some(0 | 315_360_001..) => Err(Problem::unfit(
            "expires_in is from one second to ten years, which are 315360000 seconds",
        )),
        seconds => Ok(seconds.map(|it| Duration::from_secs(it.into()))),
    }
}

/// Lists rooms.
///
/// Those that were made and those that somebody is in, in the order of their names.
#[utoipa::path(
    get,
    path = "/rooms",
    tag = "rooms",
    params(Paging),
    security(("key" = ["observe"])),
    responses((status = 200, body = Page<RoomView>), Problems)
)]
pub(super) async fn list(
    caller: As<Observe>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<RoomView>>, Problem> {
    let (door, limit, after) = (caller.door, paging.limit()?, paging.after()?);
    let made = door.store.made_rooms(after.clone(), limit + 1).await?;
    let mut rooms: BTreeMap<RoomId, Option<MadeRoom>> = door
        .rooms
        .names()
        .into_iter()
        .filter(|name| after.as_deref().is_none_or(|after| name.as_str() > after))
        .take(limit + 1)
        .map(|name| (name, None))
        .collect();
    rooms.extend(made.into_iter().map(|made| (made.room.clone(), Some(made))));
    let rooms: Vec<_> = rooms.into_iter().collect();
    let more = rooms.len() > limit;
    let mut views = Vec::with_capacity(limit + 1);
    for (name, made) in rooms.into_iter().take(limit + usize::from(more)) {
        views.push(view(&door, name, made).await);
    }
    let page = Page::cut(views, limit, |room| room.name.as_str().to_owned());
    Ok(axum::Json(page))
}

/// Makes a room.
///
/// Its link is `/r/{name}#{secret}`, with 32 random bytes as unpadded base64url for the secret.
/// Whoever makes the link draws them: the server never learns them. For somebody with an invite
/// it is `/r/{name}#{secret}.{token}`.
#[utoipa::path(
    post,
    path = "/rooms",
    tag = "rooms",
    request_body = NewRoom,
    security(("key" = ["create"])),
    responses(
        (status = 201, body = RoomView, headers(("location" = String, description = "The room."))),
        Problems,
    )
)]
pub(super) async fn make(
    caller: As<Create>,
    Json(new): Json<NewRoom>,
) -> Result<impl IntoResponse, Problem> {
    let capacity = new.capacity.map(RoomSize::new).transpose();
    let capacity = capacity.map_err(|error| Problem::unfit(error.to_string()))?;
    let created = Moment::now();
    let name = match new.name {
        Some(name) => name,
        None => draw::room()?.parse().map_err(|_| Problem::internal())?,
    };
    let made = MadeRoom {
        room: name.clone(),
        created,
        entry: new.entry,
        capacity,
        expires: lasts(new.expires_in)?.map(|lasts| created.after(lasts)),
    };
    match caller.door.store.make_room(made.clone()).await? {
        Ok(()) => {}
        Err(NotMade::TooMany) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "there are too many rooms: close some",
            ));
        }
        Err(_) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "a room of this name was made before: close it first",
            ));
        }
    }
    let location = format!("/api/v1/rooms/{name}");
    let view = view(&caller.door, name, Some(made)).await;
    Ok((
        StatusCode::CREATED,
        [(LOCATION, location)],
        axum::Json(view),
    ))
}

/// Shows a room.
#[utoipa::path(
    get,
    path = "/rooms/{room}",
    tag = "rooms",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    security(("key" = ["observe"])),
    responses((status = 200, body = RoomView), Problems)
)]
pub(super) async fn show(
    caller: As<Observe>,
    Path(room): Path<RoomId>,
) -> Result<axum::Json<RoomView>, Problem> {
    let made = caller.door.store.made_room(&room).await?;
    let view = view(&caller.door, room, made).await;
    if view.made.is_none() && view.live.is_none() {
        return Err(Problem::no_room());
    }
    Ok(axum::Json(view))
}

/// Closes a room.
///
/// Everyone is shown out. What is kept of the room and its invites are deleted.
#[utoipa::path(
    delete,
    path = "/rooms/{room}",
    tag = "rooms",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    security(("key" = ["moderate"])),
    responses((status = 204), Problems)
)]
pub(super) async fn close(
    caller: As<Moderate>,
    Path(room): Path<RoomId>,
) -> Result<StatusCode, Problem> {
    if caller.door.rooms.shut(&room).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::no_room())
    }
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventPaging {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// Those with a larger sequence; what the page before had as `next`.
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_i64, default = 0)]
    after: u64,
}

/// Something that happened in a room.
#[derive(Serialize, ToSchema)]
pub(super) struct EventView {
    #[serde(rename = "type")]
    #[schema(inline)]
    kind: Kind,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Moment,
    /// In one order for all rooms; webhooks are told it as `webhook-id`.
    number: u64,
    /// In the room's own order, without gaps.
    sequence: u64,
    /// Who, if it is about somebody.
    #[schema(value_type = Option<String>)]
    participant: Option<ParticipantId>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            kind: event.kind,
            timestamp: event.at,
            number: event.number,
            sequence: event.sequence,
            participant: event.participant,
        }
    }
}

/// Lists what happened in a room.
///
/// In the last seven days. Noted are rooms that were made, and all while there is a webhook.
#[utoipa::path(
    get,
    path = "/rooms/{room}/events",
    tag = "rooms",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), EventPaging),
    security(("key" = ["observe"])),
    responses((status = 200, body = Page<EventView>), Problems)
)]
pub(super) async fn events(
    caller: As<Observe>,
    Path(room): Path<RoomId>,
    Query(paging): Query<EventPaging>,
) -> Result<axum::Json<Page<EventView>>, Problem> {
    let limit = limit(paging.limit)?;
    if paging.after > 9_007_199_254_740_991 {
        return Err(Problem::unfit("after is a sequence"));
    }
    let events = caller.door.store.events(&room, paging.after, limit + 1);
    let events = events.await?.into_iter().map(EventView::from).collect();
    let page = Page::cut(events, limit, |event: &EventView| {
        event.sequence.to_string()
    });
    Ok(axum::Json(page))
}
