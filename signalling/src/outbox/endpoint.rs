//! Where events are sent to.

use rusqlite::{Connection, OptionalExtension, Row, params};
use url::{Host, Url};

use super::{Event, Kind, signature};
use crate::{
    draw,
    moment::Moment,
    store::{Store, StoreError},
};

/// As many webhooks there may be: each has a task of its own.
const MOST: i64 = 32;

/// As many events are looked at together.
const BATCH: i64 = 64;

/// Why nothing is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's url is an https address without a user or password; http is for loopback only"
)]
pub(crate) struct NotAnEndpoint;

/// An address that events can be sent to, in clear only on this machine.
pub(crate) fn check_url(text: &str) -> Result<Url, NotAnEndpoint> {
    let url = Url::parse(text).map_err(|_| NotAnEndpoint)?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(NotAnEndpoint),
    };
    let is_fit = match url.scheme() {
        "https" => true,
        "http" => is_here,
        _ => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if is_fit && !has_user && text.len() <= 2048 {
        Ok(url)
    } else {
        Err(NotAnEndpoint)
    }
}

/// A webhook.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) url: String,
    /// To sign with.
    pub(crate) secret: String,
    /// What it is told of; empty for everything.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) created: Moment,
    /// Told or given up, as far as this.
    pub(crate) done: u64,
    pub(crate) failures: u32,
    pub(crate) failing_since: Option<Moment>,
}

impl Endpoint {
    const COLUMNS: &str = "id, url, secret, kinds, created, done, failures, failing_since";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kinds: String = row.get(3)?;
        Ok(Self {
            id: row.get(0)?,
            url: row.get(1)?,
            secret: row.get(2)?,
            kinds: kinds.split(' ').filter_map(Kind::named).collect(),
            created: row.get(4)?,
            done: row.get(5)?,
            failures: row.get(6)?,
            failing_since: row.get(7)?,
        })
    }

    /// A new one. It is told of what happens from when it is kept.
    pub(crate) fn new(url: String, kinds: Vec<Kind>) -> Result<Self, getrandom::Error> {
        Ok(Self {
            id: draw::id()?,
            url,
            secret: signature::secret()?,
            kinds,
            created: Moment::now(),
            done: 0,
            failures: 0,
            failing_since: None,
        })
    }

    fn wants(&self, event: &Event) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&event.kind)
    }
}

/// There are too many webhooks already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// What an endpoint is to be told next.
pub(super) enum Next {
    /// The endpoint is no more.
    Gone,
    /// Nothing for now.
    Nothing,
    /// This.
    Tell(Box<(Endpoint, Event)>),
}

impl Store {
    pub(crate) async fn add_endpoint(
        &self,
        endpoint: Endpoint,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        self.run(move |connection| {
            let sql = "SELECT count(*) FROM webhook";
            let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            if count >= MOST {
                return Ok(Err(NotTaken));
            }
            let kinds: Vec<_> = endpoint.kinds.iter().map(|kind| kind.name()).collect();
            connection.execute(
                "INSERT INTO webhook VALUES (?1, ?2, ?3, ?4, ?5,
                 (SELECT coalesce(max(number), 0) FROM event), 0, NULL)",
                params![
                    endpoint.id,
                    endpoint.url,
                    endpoint.secret,
                    kinds.join(" "),
                    endpoint.created
                ],
            )?;
            Ok(Ok(()))
        })
        .await
    }

    pub(crate) async fn endpoints(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT {} FROM webhook WHERE id > ?1 ORDER BY id LIMIT ?2",
                Endpoint::COLUMNS
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection
                .prepare_cached(&sql)?
                .query_map(params![after.unwrap_or_default(), limit], Endpoint::read)?
                .collect()
        })
        .await
    }

    pub(crate) async fn remove_endpoint(&self, id: String) -> Result<bool, StoreError> {
        self.run(move |it| Ok(it.execute("DELETE FROM webhook WHERE id = ?1", [id])? == 1))
            .await
    }

    /// Has an endpoint told again of all that happened after this number.
    pub(crate) async fn replay(&self, id: String, after: u64) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let sql = "UPDATE webhook SET done = min(?2,
                       (SELECT coalesce(max(number), 0) FROM event)),
                       failures = 0, failing_since = NULL WHERE id = ?1";
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            Ok(connection.execute(sql, params![id, after])? == 1)
        })
        .await
    }

    /// What an endpoint is to be told next. What it does not want is done with.
    pub(super) async fn next_for(&self, id: String) -> Result<Next, StoreError> {
        self.run(move |connection| next_for(connection, &id)).await
    }

    /// The endpoint was told of this, or it was given up, unless it is to be told again.
    pub(super) async fn told(
        &self,
        endpoint: &Endpoint,
        event: u64,
        has_heard: bool,
    ) -> Result<(), StoreError> {
        let (id, before) = (endpoint.id.clone(), endpoint.done);
        self.run(move |connection| {
            let sql = "UPDATE webhook SET done = ?3,
                       failures = CASE WHEN ?4 THEN 0 ELSE failures END,
                       failing_since = CASE WHEN ?4 THEN NULL ELSE failing_since END
                       WHERE id = ?1 AND done = ?2";
            connection
                .prepare_cached(sql)?
                .execute(params![
                    id,
                    before.cast_signed(),
                    event.cast_signed(),
                    has_heard
                ])
                .map(|_| ())
        })
        .await
    }

    /// An attempt failed. Since when they do.
    pub(super) async fn failed(&self, id: String) -> Result<Option<Moment>, StoreError> {
        self.run(move |connection| {
            let sql = "UPDATE webhook SET failures = failures + 1,
                       failing_since = coalesce(failing_since, ?2) WHERE id = ?1
                       RETURNING failing_since";
            connection
                .prepare_cached(sql)?
                .query_row(params![id, Moment::now()], |row| row.get(0))
                .optional()
        })
        .await
    }
}

fn next_for(connection: &Connection, id: &str) -> rusqlite::Result<Next> {
    let sql = format!("SELECT {} FROM webhook WHERE id = ?1", Endpoint::COLUMNS);
    let endpoint = connection
        .prepare_cached(&sql)?
        .query_row([id], Endpoint::read)
        .optional()?;
    let Some(mut endpoint) = endpoint else {
        return Ok(Next::Gone);
    };
    let sql = format!(
        "SELECT {} FROM event WHERE number > ?1 ORDER BY number LIMIT {BATCH}",
        Event::COLUMNS
    );
    let mut query = connection.prepare_cached(&sql)?;
    loop {
        let events = query.query_map([endpoint.done.cast_signed()], Event::read)?;
        let events: Vec<_> = events.collect::<Result<_, _>>()?;
        let Some(last) = events.last().map(|event| event.number) else {
            return Ok(Next::Nothing);
        };
        if let Some(event) = events.into_iter().find(|event| endpoint.wants(event)) {
            return Ok(Next::Tell(Box::new((endpoint, event))));
        }
        endpoint.done = last;
        connection.execute(
            "UPDATE webhook SET done = ?2 WHERE id = ?1",
            params![id, last.cast_signed()],
        )?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_in_clear_on_this_machine_only() {
        for fine in [
            "https://hooks.example.org/conclave?x=1",
            "http://127.0.0.1:9000/",
            "http://[::1]/",
            "http://localhost:1/a",
        ] {
            assert!(check_url(fine).is_ok(), "{fine}");
        }
        for not in [
            "http://hooks.example.org/",
            "http://localhost.example.org/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "https://user:word@example.org/",
            "hooks.example.org",
            "https://",
            "",
        ] {
            assert!(check_url(not).is_err(), "{not}");
        }
    }
}
