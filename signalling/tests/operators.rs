//! The operators' API as programs use it: doors, rooms, invites and people.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod rig;

use std::time::Duration;

use conclave_protocol::{
    InviteToken, PROTOCOL_VERSION,
    signal::{ClientMessage, ErrorCode, ServerMessage},
};
use conclave_signalling::{
    Limits, Server, ServerConfig,
    keys::{Keys, Scope},
};
use rig::{
    Client, LINK, OTHER_LINK, founder, join_as, loopback_config,
    operator::{Asked, ask},
    second_member,
};
use serde_json::json;

const ALL: [Scope; 5] = [
    Scope::Create,
    Scope::Invite,
    Scope::Moderate,
    Scope::Observe,
    Scope::Operate,
];

/// A server with a folder, and a key for everything.
struct House {
    server: Server,
    key: String,
    folder: tempfile::TempDir,
}

impl House {
    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = ServerConfig {
            data_dir: Some(folder.path().to_owned()),
            ..loopback_config()
        };
        let server = Server::start_with_limits(config, limits).expect("a server");
        // While the server runs, as people do.
        let keys = Keys::open(folder.path()).expect("keys");
        let key = keys.create("all", &ALL, None).expect("a key");
        Self {
            server,
            key,
            folder,
        }
    }

    fn new() -> Self {
        Self::with(Limits::default())
    }

    async fn ask(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> Asked {
        let address = self.server.http_address().to_string();
        ask(&address, method, path, Some(&self.key), body).await
    }

    async fn make(&self, body: serde_json::Value) -> String {
        let made = self.ask("POST", "rooms", Some(body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let name = made.body["name"].as_str().expect("a name").to_owned();
        assert_eq!(made.header("location"), format!("/api/v1/rooms/{name}"));
        name
    }

    async fn invite(&self, room: &str, body: serde_json::Value) -> InviteToken {
        let path = format!("rooms/{room}/invites");
        let made = self.ask("POST", &path, Some(body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = made.body["token"].as_str().expect("a token").to_owned();
        InviteToken::try_from(token).expect("32 bytes")
    }

    /// What somebody hears who comes with this invite.
    async fn joins(&self, room: &str, token: Option<&InviteToken>) -> (Client, ServerMessage) {
        let mut client = Client::connect(&self.server).await;
        let mut join = join_as(PROTOCOL_VERSION, room, LINK);
        if let ClientMessage::Join { invite, .. } = &mut join {
            *invite = token.cloned();
        }
        client.say(&join).await;
        let heard = client.hear().await;
        (client, heard)
    }

    async fn is_refused(&self, room: &str, token: Option<&InviteToken>) -> ErrorCode {
        match self.joins(room, token).await.1 {
            ServerMessage::Error { code, .. } => code,
            other => panic!("let in: {other:?}"),
        }
    }
}

fn is_in(heard: &ServerMessage) -> bool {
    matches!(heard, ServerMessage::Joined { .. })
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let house = House::new();
    let address = house.server.http_address().to_string();
    let keys = Keys::open(house.folder.path()).expect("keys");
    let observer = keys.create("o", &[Scope::Observe], None).expect("a key");
    let expired = keys.create("e", &ALL, Some(Duration::ZERO)).expect("a key");
    let revoked = keys.create("r", &ALL, None).expect("a key");
    let id = revoked.split('_').nth(1).expect("an id");
    keys.revoke(id).expect("revoked");
    assert!(keys.revoke(id).is_err(), "it is already");

    let room = json!({});
    let long = json!({ "name": "x".repeat(70_000) });
    for (key, method, path, body, status) in [
        (None, "GET", "rooms", None, 401),
        (Some("nonsense"), "GET", "rooms", None, 401),
        (Some(&expired), "GET", "rooms", None, 401),
        (Some(&revoked), "GET", "rooms", None, 401),
        (Some(&observer), "POST", "rooms", Some(&room), 403),
        (Some(&observer), "DELETE", "rooms/none", None, 403),
        (Some(&observer), "POST", "drain", None, 403),
        (Some(&house.key), "GET", "nothing", None, 404),
        (Some(&house.key), "GET", "rooms/none", None, 404),
        (Some(&house.key), "PUT", "rooms", Some(&room), 405),
        (Some(&house.key), "POST", "rooms", Some(&long), 413),
        (Some(&house.key), "POST", "rooms", None, 415),
        (Some(&house.key), "GET", "rooms?limit=many", None, 400),
        (Some(&house.key), "GET", "rooms?limit=0", None, 422),
        (Some(&house.key), "GET", "rooms/a%20b", None, 400),
    ]
    .map(
        |(key, method, path, body, status): (
            Option<&str>,
            _,
            _,
            Option<&serde_json::Value>,
            u16,
        )| { (key.map(str::to_owned), method, path, body.cloned(), status) },
    ) {
        let asked = ask(&address, method, path, key.as_deref(), body).await;
        assert_eq!(asked.status, status, "{method} {path}: {asked:?}");
        assert_eq!(asked.header("content-type"), "application/problem+json");
        assert_eq!(asked.body["status"], status);
        assert!(
            asked.body["detail"]
                .as_str()
                .is_some_and(|it| it.len() > 10)
        );
        let challenge = asked.header("www-authenticate");
        assert_eq!(challenge.starts_with("Bearer"), matches!(status, 401 | 403));
        if status == 405 {
            assert!(asked.header("allow").contains("POST"), "{asked:?}");
        }
    }
    for body in [
        json!({"name": "a b"}),
        json!({"capacity": 0}),
        json!({"capacity": 1001}),
        json!({"expires_in": 0}),
        json!({"entry": "anybody"}),
        json!({"colour": "blue"}),
        json!([]),
        json!([null, "open", null, null]),
    ] {
        let asked = house.ask("POST", "rooms", Some(body.clone())).await;
        assert_eq!(asked.status, 422, "{body}: {asked:?}");
    }
    let public = ask(&address, "GET", "openapi.json", None, None).await;
    assert_eq!(public.status, 200);
    assert!(public.body["paths"]["/api/v1/rooms/{room}"]["delete"].is_object());
    let mut limited = false;
    for _ in 0..30 {
        limited |= ask(&address, "GET", "rooms", Some("no"), None).await.status == 429;
    }
    assert!(limited, "guessing is slowed down");
    assert_eq!(
        house.ask("GET", "rooms", None).await.status,
        200,
        "but no key that counts"
    );
    house.server.shutdown().await;
}

#[tokio::test]
async fn without_a_folder_there_are_no_keys() {
    let server = rig::start();
    let address = server.http_address().to_string();
    let asked = ask(&address, "GET", "rooms", Some("conclave_a_b"), None).await;
    assert_eq!(asked.status, 503);
    assert!(
        asked.body["detail"]
            .as_str()
            .expect("text")
            .contains("--data")
    );
    server.shutdown().await;
}

#[tokio::test]
async fn rooms_are_made_seen_listed_and_closed() {
    let house = House::new();
    let drawn = house.make(json!({})).await;
    assert_eq!(drawn.len(), 14);
    house.make(json!({"name": "b-made", "capacity": 2})).await;
    let again = house
        .ask("POST", "rooms", Some(json!({"name": "b-made"})))
        .await;
    assert_eq!(again.status, 409);
    let (mut anna, anna_id) = founder(&house.server, "a-open").await;
    let (mut ben, ben_id) = second_member(&house.server, "a-open", &mut anna).await;

    let seen = house.ask("GET", "rooms/a-open", None).await.body;
    assert_eq!(seen["made"], json!(null));
    assert_eq!(seen["live"]["participants"], 2);
    assert_eq!(seen["live"]["members"], 2);
    assert_eq!(seen["live"]["epoch"], 1);
    assert_eq!(seen["live"]["guarded"], false);
    let people = house
        .ask("GET", "rooms/a-open/participants", None)
        .await
        .body;
    let ids: Vec<_> = people["items"].as_array().expect("a list").iter().collect();
    assert_eq!(ids.len(), 2);
    for person in ids {
        assert_eq!(
            (&person["in_group"], &person["away"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(person["media"], json!(null));
    }

    let mut names = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("rooms?limit=1{next}");
        let page = house.ask("GET", &path, None).await.body;
        let item = &page["items"][0]["name"];
        names.push(item.as_str().expect("a name").to_owned());
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    let mut expected = vec!["a-open".to_owned(), "b-made".to_owned(), drawn];
    expected.sort_unstable();
    assert_eq!(names, expected);

    let nobody = house.ask("DELETE", "rooms/a-open/participants/0000000000000000", None);
    assert_eq!(nobody.await.status, 404);
    let path = format!("rooms/a-open/participants/{ben_id}");
    assert_eq!(house.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(ben.hear_error().await.0, ErrorCode::Removed);
    let left = anna.hear().await;
    assert!(
        matches!(left, ServerMessage::ParticipantLeft { participant } if participant == ben_id)
    );

    assert_eq!(house.ask("DELETE", "rooms/a-open", None).await.status, 204);
    let (messages, _) = anna.hear_to_the_end().await;
    let closed = |message: &ServerMessage| {
        matches!(
            message,
            ServerMessage::Error {
                code: ErrorCode::RoomClosed,
                ..
            }
        )
    };
    assert!(
        messages.last().is_some_and(closed),
        "{anna_id}: {messages:?}"
    );
    assert_eq!(house.ask("DELETE", "rooms/b-made", None).await.status, 204);
    assert_eq!(house.ask("GET", "rooms/b-made", None).await.status, 404);
    rig::metric_becomes(&house.server, "conclave_rooms", "", 0.0).await;
    // It can be made anew, by anybody, with another link.
    let mut client = Client::connect(&house.server).await;
    client
        .say(&join_as(PROTOCOL_VERSION, "a-open", OTHER_LINK))
        .await;
    assert!(is_in(&client.hear().await));
    house.server.shutdown().await;
}

#[tokio::test]
async fn where_operators_make_the_rooms_there_are_no_others() {
    let house = House::with(Limits {
        only_made_rooms: true,
        ..Limits::default()
    });
    assert_eq!(
        house.is_refused("standup", None).await,
        ErrorCode::NoSuchRoom
    );
    house.make(json!({"name": "standup", "capacity": 1})).await;
    let (_anna, heard) = house.joins("standup", None).await;
    assert!(is_in(&heard), "{heard:?}");
    assert_eq!(house.is_refused("standup", None).await, ErrorCode::RoomFull);
    house
        .make(json!({"name": "soon-over", "expires_in": 1}))
        .await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(
        house.is_refused("soon-over", None).await,
        ErrorCode::NoSuchRoom
    );
    assert_eq!(house.ask("GET", "rooms/soon-over", None).await.status, 404);
    house.server.shutdown().await;
}

#[tokio::test]
async fn an_invite_lets_in_as_often_as_it_says() {
    let house = House::new();
    let room = house.make(json!({"entry": "invite"})).await;
    assert_eq!(house.is_refused(&room, None).await, ErrorCode::NotInvited);
    let foreign = InviteToken::new([9; 32]);
    assert_eq!(
        house.is_refused(&room, Some(&foreign)).await,
        ErrorCode::NotInvited
    );

    let twice = house.invite(&room, json!({"uses": 2})).await;
    let other = house.make(json!({"entry": "invite"})).await;
    assert_eq!(
        house.is_refused(&other, Some(&twice)).await,
        ErrorCode::NotInvited
    );
    let (_anna, heard) = house.joins(&room, Some(&twice)).await;
    assert!(is_in(&heard), "{heard:?}");

    // Whom the room does not want has spent nothing.
    let mut stranger = Client::connect(&house.server).await;
    let mut join = join_as(PROTOCOL_VERSION, &room, OTHER_LINK);
    if let ClientMessage::Join { invite, .. } = &mut join {
        *invite = Some(twice.clone());
    }
    stranger.say(&join).await;
    assert_eq!(stranger.hear_error().await.0, ErrorCode::WrongSecret);
    let (_ben, heard) = house.joins(&room, Some(&twice)).await;
    assert!(is_in(&heard), "{heard:?}");
    assert_eq!(
        house.is_refused(&room, Some(&twice)).await,
        ErrorCode::NotInvited
    );

    let once = house.invite(&room, json!({"uses": 1})).await;
    let race = (0..8).map(|_| house.joins(&room, Some(&once)));
    let race = futures_util::future::join_all(race).await;
    assert_eq!(race.iter().filter(|(_, heard)| is_in(heard)).count(), 1);

    let brief = house.invite(&room, json!({"expires_in": 1})).await;
    let many = house.invite(&room, json!({})).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(
        house.is_refused(&room, Some(&brief)).await,
        ErrorCode::NotInvited
    );
    for _ in 0..3 {
        assert!(is_in(&house.joins(&room, Some(&many)).await.1));
    }
    let path = format!("rooms/{room}/invites");
    let listed = house.ask("GET", &path, None).await.body;
    let items = listed["items"].as_array().expect("a list");
    let id = items
        .iter()
        .find(|item| item["used"] == 3)
        .and_then(|item| item["id"].as_str())
        .expect("the one without end");
    assert!(items.iter().all(|item| item["token"].is_null()));
    let path = format!("rooms/{room}/invites/{id}");
    assert_eq!(house.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(
        house.is_refused(&room, Some(&many)).await,
        ErrorCode::NotInvited
    );

    let none = house
        .ask("POST", "rooms/none/invites", Some(json!({})))
        .await;
    assert_eq!(none.status, 404);
    house.server.shutdown().await;
}
