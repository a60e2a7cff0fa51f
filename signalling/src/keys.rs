//! Keys for the operators' API. They are made on the machine that holds the data, by whoever may
//! read it anyway: no key can make another.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::{
    OpenError, draw,
    moment::Moment,
    store::{self, Store, StoreError},
};

/// What keys begin with, so that scanners for lost secrets find them.
const PREFIX: &str = "conclave_";

/// What a key lets do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Make rooms.
    Create,
    /// Invite people to rooms.
    Invite,
    /// Close rooms and remove people.
    Moderate,
    /// See rooms, people and what happened.
    Observe,
    /// Webhooks and draining.
    Operate,
}

impl Scope {
    const ALL: [Self; 5] = [
        Self::Create,
        Self::Invite,
        Self::Moderate,
        Self::Observe,
        Self::Operate,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Invite => "invite",
            Self::Moderate => "moderate",
            Self::Observe => "observe",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key's scopes are create, invite, moderate, observe and operate, separated by commas")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.name() == text).ok_or(UnknownScope)
    }
}

/// Why a key was not made, found or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or the database could not be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not do it.
    #[error("the database cannot take it: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Nothing of that id.
    #[error("there is no key {0} that could be revoked: `conclave key list` shows all there are")]
    Unknown(String),
}

/// The keys in a data folder, whether or not a server runs on it.
pub struct Keys(Connection);

impl Keys {
    /// Opens the database in this folder, which is made if there is none.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self(store::open_beside(folder)?))
    }

    /// Makes a key. It is shown this once.
    pub fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        lasts: Option<Duration>,
    ) -> Result<String, KeyError> {
        let (id, secret) = (draw::id()?, draw::secret()?);
        let now = Moment::now();
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
        self.0.execute(
            "INSERT INTO api_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)",
            params![
                id,
                name,
                hash_of(&secret),
                scopes.join(" "),
                now,
                lasts.map(|lasts| now.after(lasts))
            ],
        )?;
        Ok(format!("{PREFIX}{id}_{secret}"))
    }

    /// A line for each key, the oldest first.
    pub fn list(&self) -> Result<Vec<String>, KeyError> {
        let sql = "SELECT id, name, scopes, created, expires, revoked FROM api_key
                   ORDER BY created, id";
        let mut query = self.0.prepare(sql)?;
        let lines = query.query_map([], |row| {
            let (id, name, scopes): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let created: Moment = row.get(3)?;
            let (expires, revoked): (Option<Moment>, Option<Moment>) = (row.get(4)?, row.get(5)?);
            let end = match (revoked, expires) {
                (Some(revoked), _) => format!("revoked {}", revoked.text()),
                (None, Some(expires)) => format!("expires {}", expires.text()),
                (None, None) => "does not expire".to_owned(),
            };
            let scopes = scopes.replace(' ', ",");
            Ok(format!(
                "{id}  {name}  {scopes}  made {}, {end}",
                created.text()
            ))
        })?;
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// Takes a key back. A running server refuses it from the next request on.
    pub fn revoke(&self, id: &str) -> Result<(), KeyError> {
        let sql = "UPDATE api_key SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
        match self.0.execute(sql, params![id, Moment::now()])? {
            1 => Ok(()),
            _ => Err(KeyError::Unknown(id.to_owned())),
        }
    }
}

impl Store {
    /// What a key lets do; none if it is not one, or not any more. It is found by its hash, so
    /// how long this takes says nothing about how near a guess is.
    pub(crate) async fn scopes_of(&self, key: &str) -> Result<Option<Vec<Scope>>, StoreError> {
        let parts = key.strip_prefix(PREFIX).and_then(|key| key.split_once('_'));
        let Some((id, secret)) = parts.filter(|(id, secret)| id.len() == 16 && secret.len() == 43)
        else {
            return Ok(None);
        };
        let (id, hash) = (id.to_owned(), hash_of(secret));
        self.run(move |connection| {
            let sql = "SELECT scopes FROM api_key WHERE id = ?1 AND hash = ?2
                       AND revoked IS NULL AND (expires IS NULL OR expires > ?3)";
            let scopes: Option<String> = connection
                .prepare_cached(sql)?
                .query_row(params![id, hash, Moment::now()], |row| row.get(0))
                .optional()?;
            let words = |scopes: String| {
                let scopes = scopes.split(' ').filter_map(|word| word.parse().ok());
                scopes.collect()
            };
            Ok(scopes.map(words))
        })
        .await
    }
}

fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
