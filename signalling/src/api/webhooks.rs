//! Webhooks: who is told of what happens.

use axum::{http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{As, Operate},
    listing::{Page, Paging},
    problem::{Json, Path, Problem, Problems, Query},
};
use crate::{
    moment::Moment,
    outbox::{Endpoint, Kind, check_url},
};

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// https, or http on the server's own machine. Redirects are not followed.
    #[schema(
        format = "uri",
        max_length = 2048,
        example = "https://hooks.example.org/conclave"
    )]
    url: String,
    /// What it is told of; everything if empty or left out.
    #[serde(default)]
    events: Vec<Kind>,
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookView {
    id: String,
    url: String,
    events: Vec<Kind>,
    #[schema(value_type = String, format = DateTime)]
    created: Moment,
    /// The number of the last event that it has heard, or that was given up or not for it.
    done: u64,
    /// Attempts in a row that failed.
    failures: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Moment>,
}

/// A webhook that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct FreshWebhook {
    #[serde(flatten)]
    webhook: WebhookView,
    /// To check signatures with (Standard Webhooks). Shown this once.
    secret: String,
}

/// From where on to tell again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Events with a larger number are told again, as far as they are still kept.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after: u64,
}

impl From<Endpoint> for WebhookView {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            events: endpoint.kinds,
            created: endpoint.created,
            done: endpoint.done,
            failures: endpoint.failures,
            failing_since: endpoint.failing_since,
        }
    }
}

/// Makes a webhook.
///
/// It is told of what happens from then on: one event after the other, signed as Standard
/// Webhooks has it, again and again until it answers with 2xx or has failed for three days.
#[utoipa::path(
    post,
    path = "/webhooks",
    tag = "webhooks",
    request_body = NewWebhook,
    security(("key" = ["operate"])),
    responses((status = 201, body = FreshWebhook), Problems)
)]
pub(super) async fn make(
    caller: As<Operate>,
    Json(mut new): Json<NewWebhook>,
) -> Result<impl IntoResponse, Problem> {
    let url = check_url(&new.url).map_err(|error| Problem::unfit(error.to_string()))?;
    new.events.sort_unstable();
    new.events.dedup();
    let endpoint = Endpoint::new(url.into(), new.events)?;
    let secret = endpoint.secret.clone();
    let added = caller.door.store.add_endpoint(endpoint.clone()).await?;
    added.map_err(|_| {
        let detail = "there are too many webhooks: delete some";
        Problem::new(StatusCode::CONFLICT, detail)
    })?;
    caller.door.rooms.outbox.fresh.notify_waiters();
    let fresh = FreshWebhook {
        webhook: endpoint.into(),
        secret,
    };
    Ok((StatusCode::CREATED, axum::Json(fresh)))
}

/// Lists webhooks.
#[utoipa::path(
    get,
    path = "/webhooks",
    tag = "webhooks",
    params(Paging),
    security(("key" = ["operate"])),
    responses((status = 200, body = Page<WebhookView>), Problems)
)]
pub(super) async fn list(
    caller: As<Operate>,
    Query(paging): Query<Paging>,
) -> Result<axum::Json<Page<WebhookView>>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let endpoints = caller.door.store.endpoints(after, limit + 1).await?;
    let views = endpoints.into_iter().map(WebhookView::from).collect();
    let page = Page::cut(views, limit, |it: &WebhookView| it.id.clone());
    Ok(axum::Json(page))
}

/// Deletes a webhook.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(("id" = String, Path, max_length = 64)),
    security(("key" = ["operate"])),
    responses((status = 204), Problems)
)]
pub(super) async fn remove(
    caller: As<Operate>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if caller.door.store.remove_endpoint(id).await? {
        caller.door.rooms.outbox.fresh.notify_waiters();
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("there is no such webhook"))
    }
}

/// Has a webhook told again.
///
/// Events keep their `webhook-id`, by which a receiver knows what it has heard before.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/replay",
    tag = "webhooks",
    params(("id" = String, Path, max_length = 64)),
    request_body = Replay,
    security(("key" = ["operate"])),
    responses((status = 202), Problems)
)]
pub(super) async fn replay(
    caller: As<Operate>,
    Path(id): Path<String>,
    Json(replay): Json<Replay>,
) -> Result<StatusCode, Problem> {
    if replay.after > 9_007_199_254_740_991 {
        return Err(Problem::unfit("after is the number of an event"));
    }
    if caller.door.store.replay(id, replay.after).await? {
        caller.door.rooms.outbox.fresh.notify_waiters();
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Problem::not_found("there is no such webhook"))
    }
}
