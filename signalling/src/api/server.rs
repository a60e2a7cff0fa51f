//! The server as a whole.

use axum::{http::StatusCode, response::IntoResponse};

use super::{
    API,
    access::{As, Operate},
    problem::Problems,
};

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "server",
    security(()),
    responses((status = 200, description = "An OpenAPI document.", content_type = "application/json"))
)]
pub(super) async fn document() -> impl IntoResponse {
    axum::Json(&API.document)
}

/// Drains the server.
///
/// It takes no new calls. Those that are held go on until they end, or until the time that
/// `--drain-within` gives them is over; then it stops. There is no way back.
#[utoipa::path(
    post,
    path = "/drain",
    tag = "server",
    security(("key" = ["operate"])),
    responses((status = 202, description = "It has begun."), Problems)
)]
pub(super) async fn drain(caller: As<Operate>) -> StatusCode {
    caller.door.drain();
    StatusCode::ACCEPTED
}
