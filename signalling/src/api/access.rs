//! Who may do what: a handler takes [`As`] with the role that it needs.

use std::{marker::PhantomData, net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use utoipa::{
    Modify,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::problem::Problem;
use crate::{door::Door, keys::Scope};

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Address(pub(super) IpAddr);

/// What a handler needs its caller to be allowed.
pub(super) trait Role: Send {
    const SCOPE: Scope;
}

macro_rules! roles {
    ($($role:ident)*) => {$(
        pub(super) struct $role;
        impl Role for $role {
            const SCOPE: Scope = Scope::$role;
        }
    )*};
}

roles! { Create Invite Moderate Observe Operate }

/// Somebody with a key that lets them do it.
pub(super) struct As<R> {
    pub(super) door: Arc<Door>,
    role: PhantomData<R>,
}

impl<S: Sync, R: Role> FromRequestParts<S> for As<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let door = parts.extensions.get::<Arc<Door>>().cloned();
        let address = parts.extensions.get::<Address>().copied();
        let (Some(door), Some(Address(address))) = (door, address) else {
            return Err(Problem::internal());
        };
        if !door.store.is_durable() {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "there are no keys without a folder to keep them in: start the server with --data",
            ));
        }
        let header = parts.headers.get(AUTHORIZATION);
        let key = header
            .and_then(|value| value.to_str().ok())
            .and_then(|text| {
                let (scheme, key) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
            });
        let scopes = match key {
            Some(key) => door.store.scopes_of(key).await?,
            None => None,
        };
        let Some(scopes) = scopes else {
            // Who brings none guesses nothing.
            if key.is_some() && !door.wrong_keys.admits(address) {
                door.metrics.limited("api_keys");
                return Err(Problem::too_many("too many wrong keys from your address"));
            }
            return Err(Problem::unknown(key.is_some()));
        };
        if !scopes.contains(&R::SCOPE) {
            return Err(Problem::not_allowed(R::SCOPE));
        }
        Ok(Self {
            door,
            role: PhantomData,
        })
    }
}

/// How keys are told.
pub(super) struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("conclave_<id>_<secret>")
            .description(Some(
                "A key made with `conclave key create`. Each operation names the scope that it takes.",
            ))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("key", SecurityScheme::Http(scheme));
        }
    }
}
