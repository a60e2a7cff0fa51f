//! Invites to rooms that take those who have one.

use axum::{http::StatusCode, response::IntoResponse};
use conclave_protocol::{InviteToken, RoomId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{self, As, Observe},
    listing::{Page, Paging},
    problem::{Json, Path, Problem, Problems, Query},
    rooms::lasts,
};
use crate::{
    draw,
    entry::{Invite, NotMade},
    moment::Moment,
};

/// An invite to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    /// As often it can be used; without end if null or left out. Each join uses it once, also
    /// that of a page that was opened anew; who comes back after a broken line does not.
    #[schema(minimum = 1, maximum = 1_000_000)]
    uses: Option<u32>,
    /// After so many seconds it lets nobody in any more. Whoever is in stays.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u32>,
}

/// An invite.
#[derive(Serialize, ToSchema)]
pub(super) struct InviteView {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
    uses: Option<u32>,
    used: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Moment>,
}

/// An invite that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct FreshInvite {
    #[serde(flatten)]
    invite: InviteView,
    /// Shown this once: the server keeps its hash only. It belongs into the fragment of the
    /// link, behind the secret and a dot.
    token: String,
}

impl From<Invite> for InviteView {
    fn from(invite: Invite) -> Self {
        Self {
            id: invite.id,
            created: invite.created,
            uses: invite.uses,
            used: invite.used,
            expires: invite.expires,
        }
    }
}

/// Makes an invite.
#[utoipa::path(
    post,
    path = "/rooms/{room}/invites",
    tag = "invites",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body = NewInvite,
    security(("key" = ["invite"])),
    responses((status = 201, body = FreshInvite), Problems)
)]
pub(super) async fn make(
    caller: As<access::Invite>,
    Path(room): Path<RoomId>,
    Json(new): Json<NewInvite>,
) -> Result<impl IntoResponse, Problem> {
    if matches!(new.uses, Some(0 | 1_000_001..)) {
        return Err(Problem::unfit("uses is from 1 to 1000000"));
    }
    let created = Moment::now();
    let token = InviteToken::new(draw::bytes()?);
    let invite = Invite {
        id: draw::id()?,
        created,
        uses: new.uses,
        used: 0,
        expires: lasts(new.expires_in)?.map(|lasts| created.after(lasts)),
    };
    let store = &caller.door.store;
    match store.invite(&room, invite.clone(), &token).await? {
        Ok(()) => {}
        Err(NotMade::TooMany) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "the room has too many invites: revoke some",
            ));
        }
        Err(_) => return Err(Problem::not_found("no such room was made")),
    }
    let fresh = FreshInvite {
        invite: invite.into(),
        token: token.into(),
    };
    Ok((StatusCode::CREATED, axum::Json(fresh)))
}

/// Lists the invites of a room.
#[utoipa::path(
    get,
    path = "/rooms/{room}/invites",
    tag = "invites",
    params(("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), Paging),
    security(("key" = ["observe"])),
    responses((status = 200, body = Page<InviteView>), Problems)
)]
pub(super) async fn list(
    caller: As<Observe>,
    Path(room): Path<RoomId>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<InviteView>>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let invites = caller.door.store.invites(&room, after, limit + 1).await?;
    let invites = invites.ok_or_else(|| Problem::not_found("no such room was made"))?;
    let views = invites.into_iter().map(InviteView::from).collect();
    let page = Page::cut(views, limit, |it: &InviteView| it.id.clone());
    Ok(axum::Json(page))
}

/// Revokes an invite.
///
/// Whoever came in by it stays.
#[utoipa::path(
    delete,
    path = "/rooms/{room}/invites/{id}",
    tag = "invites",
    params(
        ("room" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("id" = String, Path, max_length = 64),
    ),
    security(("key" = ["invite"])),
    responses((status = 204), Problems)
)]
pub(super) async fn revoke(
    caller: As<access::Invite>,
    Path((room, id)): Path<(RoomId, String)>,
) -> Result<StatusCode, Problem> {
    if caller.door.store.revoke_invite(&room, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("the room has no such invite"))
    }
}
