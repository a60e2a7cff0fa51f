//! What hosts decide, and that nobody else can: neither the server nor another member.

use std::{collections::BTreeSet, time::Duration};

use conclave_e2ee::{Device, Door, HostError, HostRequest};
use conclave_protocol::{
    Opaque, ParticipantId,
    signal::{ClientMessage, ServerMessage},
};

use proptest::prelude::*;

use crate::{
    raw::{RawMember, raw_knock},
    service::Service,
};

/// Ada, the host, with these people in the call.
pub(crate) fn call(names: &[&str]) -> (Service, Vec<ParticipantId>) {
    let (service, ids) = Service::with(names);
    assert!(service.client(ids[0]).member(names[0]).is_host);
    (service, ids)
}

fn does(service: &mut Service, host: ParticipantId, request: HostRequest) {
    service.host(host, request).unwrap();
    service.settle();
}

pub(crate) fn set_door(service: &mut Service, host: ParticipantId, door: Door) {
    does(service, host, HostRequest::SetDoor { door });
    assert_eq!(service.guarded, door != Door::Open);
    for client in service.clients.values() {
        assert_eq!(client.seen.door, Some(door));
    }
}

/// All of these, and nobody else, are in one epoch of one group.
fn assert_together(service: &Service, ids: &[ParticipantId]) {
    let key = service.client(ids[0]).newest_key();
    for id in ids {
        let client = service.client(*id);
        assert_eq!(client.newest_key(), key);
        assert_eq!(client.names().len(), ids.len());
        assert_eq!(client.seen.failed, None);
    }
}

#[test]
fn whoever_founds_the_group_is_its_host_and_the_others_are_not() {
    let (service, ids) = call(&["Ada", "Grace"]);
    for id in &ids {
        assert!(service.client(*id).member("Ada").is_host);
        assert!(!service.client(*id).member("Grace").is_host);
    }
}

#[test]
fn a_host_removes_someone_who_is_here() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory"]);
    let remove = HostRequest::Remove {
        participant: ids[2],
        change_link: false,
    };
    let key = service.client(ids[2]).newest_key();
    does(&mut service, ids[0], remove);
    assert!(
        !service.clients.contains_key(&ids[2]),
        "the server shows them out"
    );
    assert_together(&service, &ids[..2]);
    assert_ne!(service.client(ids[0]).newest_key(), key);
    assert_eq!(
        service.client(ids[0]).seen.sealing,
        Some(service.client(ids[0]).newest_key().0)
    );
}

#[test]
fn who_is_removed_knows_who_did_it_and_that_it_was_a_host() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory"]);
    let remove = HostRequest::Remove {
        participant: ids[2],
        change_link: false,
    };
    service.host(ids[0], remove).unwrap();
    while service.hear(ids[0]) {}
    while service.deliver(ids[2]) {}
    let seen = &service.client(ids[2]).seen;
    assert_eq!(
        seen.failed.as_deref(),
        Some("Ada removed you from the call")
    );
    assert!(!seen.retry && seen.keys.is_empty(), "its keys are wiped");
}

#[test]
fn who_was_removed_does_not_come_back_with_the_same_device() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let (device, secret) = (Device::generate().unwrap(), service.secret.clone());
    let mallory = service.arrive_on(&device, "Mallory", &secret);
    service.settle();
    let remove = HostRequest::Remove {
        participant: mallory,
        change_link: false,
    };
    does(&mut service, ids[0], remove);
    let again = service.arrive_on(&device, "Mallory", &secret);
    service.settle();
    let seen = &service.client(again).seen;
    assert!(
        seen.failed
            .as_ref()
            .is_some_and(|why| why.contains("removed you"))
    );
    assert!(!seen.retry);
    service.leave(again);
    service.settle();
    let other = service.arrive("Edsger");
    service.settle();
    assert_together(&service, &[ids[0], ids[1], other]);
}

#[test]
fn a_changed_link_opens_the_call_and_the_old_one_does_not() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory"]);
    let old = service.secret.clone();
    let remove = HostRequest::Remove {
        participant: ids[2],
        change_link: true,
    };
    does(&mut service, ids[0], remove);
    let link = |id| service.client(id).membership.link().to_fragment();
    assert_ne!(*link(ids[0]), *old.to_fragment());
    assert_eq!(
        *link(ids[0]),
        *link(ids[1]),
        "everyone knows it without being told"
    );
    assert_eq!(service.client(ids[1]).seen.links, 1);
    let secret = service.client(ids[0]).membership.link().clone();
    let auth = secret.keys(&service.room).room_auth();
    let lock = conclave_protocol::RoomLock::for_key(&auth);
    assert_eq!(service.lock, Some(lock), "the server opens to the new one");

    let late = service.arrive_with("Mallory", &old);
    service.settle();
    assert!(service.client(late).seen.failed.is_some());
    service.leave(late);
    service.secret = secret;
    let new = service.arrive("Edsger");
    service.settle();
    assert_together(&service, &[ids[0], ids[1], new]);
    service.chat(new, "hello");
    service.settle();
    assert_eq!(service.client(ids[0]).seen.chat.last().unwrap().1, "hello");
}

#[test]
fn what_was_said_before_the_link_changed_still_arrives() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    service.host(ids[0], HostRequest::ChangeLink {}).unwrap();
    service.chat(ids[1], "wait");
    while service.hear(ids[0]) {}
    service.settle();
    assert_eq!(service.client(ids[0]).seen.links, 1);
    assert_eq!(
        service.client(ids[0]).seen.chat,
        [("Grace".into(), "wait".into())]
    );
}

#[test]
fn before_a_lobby_people_wait_for_a_host() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    set_door(&mut service, ids[0], Door::Lobby);
    let edsger = service.arrive("Edsger");
    service.settle();
    service.wait(Duration::from_secs(60));
    let seen = &service.client(edsger).seen;
    assert_eq!((seen.waiting, seen.joined, &seen.failed), (1, 0, &None));
    assert_eq!(
        service.client(ids[0]).seen.lobby,
        [(edsger, "Edsger".to_owned())]
    );
    assert!(
        service.client(ids[1]).seen.lobby.is_empty(),
        "only hosts are asked"
    );
    let admit = service.client(ids[0]).admit(edsger);
    assert_eq!(
        service.host(ids[1], admit.clone()),
        Err(HostError::NotAHost)
    );
    does(&mut service, ids[0], admit);
    assert_together(&service, &[ids[0], ids[1], edsger]);
    assert!(service.client(ids[0]).seen.lobby.is_empty());
}

#[test]
fn who_gives_up_waiting_is_forgotten() {
    let (mut service, ids) = call(&["Ada"]);
    set_door(&mut service, ids[0], Door::Lobby);
    let edsger = service.arrive("Edsger");
    service.settle();
    let admit = service.client(ids[0]).admit(edsger);
    service.leave(edsger);
    service.settle();
    assert!(service.client(ids[0]).seen.lobby.is_empty());
    assert_eq!(service.host(ids[0], admit), Err(HostError::NobodyThere));
}

#[test]
fn a_host_decides_about_the_knock_that_was_shown() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    set_door(&mut service, ids[0], Door::Lobby);
    let edsger = service.arrive("Edsger");
    service.settle();
    let shown = service.client(ids[0]);
    let decisions = [shown.admit(edsger), shown.turn_away(edsger)];
    // While Ada makes up her mind, somebody else knocks under the same number.
    let knock = raw_knock(&service, edsger, "Mallory", None);
    let knocks = vec![knock];
    service.tell(ids[0], ServerMessage::Knocking { knocks });
    while service.deliver(ids[0]) {}
    for decision in decisions {
        assert_eq!(service.host(ids[0], decision), Err(HostError::NobodyThere));
    }
    service.settle();
    let ada = service.client(ids[0]);
    assert_eq!(ada.names(), ["Ada", "Grace"]);
    assert_eq!(
        ada.seen.lobby,
        [(edsger, "Mallory".to_owned())],
        "who is shown now, for Ada to decide about"
    );
}

#[test]
fn a_host_turns_someone_away_and_nobody_else_can() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    set_door(&mut service, ids[0], Door::Lobby);
    let [edsger, alan] = ["Edsger", "Alan"].map(|name| service.arrive(name));
    service.settle();
    let away = service.client(ids[0]).turn_away(edsger);
    assert_eq!(service.host(ids[1], away.clone()), Err(HostError::NotAHost));
    service.host(ids[0], away).unwrap();
    let word = service.client(ids[0]).outbox.back().cloned();
    let Some(ClientMessage::TurnAway { note, .. }) = word else {
        panic!("the host's word is for the server");
    };
    // The server gives it to somebody else, and something of its own.
    service.tell(alan, ServerMessage::TurnedAway { note });
    let note = Opaque::from(vec![1; 400]);
    service.tell(alan, ServerMessage::TurnedAway { note });
    service.settle();
    assert_eq!(service.client(alan).seen.failed, None);
    let seen = &service.client(edsger).seen;
    assert_eq!(seen.failed.as_deref(), Some("Ada did not let you in"));
    assert!(!seen.retry);
}

#[test]
fn a_locked_call_tells_newcomers_so_and_lets_its_hosts_back_in() {
    let (mut service, ids) = call(&["Grace"]);
    let (device, secret) = (Device::generate().unwrap(), service.secret.clone());
    let ada = service.arrive_on(&device, "Ada", &secret);
    service.settle();
    does(
        &mut service,
        ids[0],
        HostRequest::Appoint { participant: ada },
    );
    set_door(&mut service, ids[0], Door::Locked);
    let edsger = service.arrive("Edsger");
    service.settle();
    let seen = &service.client(edsger).seen;
    assert!(
        seen.failed
            .as_ref()
            .is_some_and(|why| why.contains("locked"))
    );
    assert!(!seen.retry);
    service.leave(edsger);
    service.leave(ada);
    service.settle();
    let back = service.arrive_on(&device, "Ada", &secret);
    service.settle();
    assert_together(&service, &[ids[0], back]);
    assert!(service.client(ids[0]).member("Ada").is_host);
    set_door(&mut service, back, Door::Open);
    let late = service.arrive("Barbara");
    service.settle();
    assert_together(&service, &[ids[0], back, late]);
}

#[test]
fn an_opened_door_lets_in_who_waits() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    set_door(&mut service, ids[0], Door::Lobby);
    let edsger = service.arrive("Edsger");
    service.settle();
    service
        .host(ids[0], HostRequest::SetDoor { door: Door::Open })
        .unwrap();
    service.wait(Duration::from_secs(10));
    assert_together(&service, &[ids[0], ids[1], edsger]);
}

#[test]
fn hosts_appoint_and_dismiss_each_other_but_not_the_last() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let dismiss = |participant| HostRequest::Dismiss { participant };
    assert_eq!(
        service.host(ids[0], dismiss(ids[0])),
        Err(HostError::LastHost)
    );
    does(
        &mut service,
        ids[0],
        HostRequest::Appoint {
            participant: ids[1],
        },
    );
    assert!(service.client(ids[1]).member("Grace").is_host);
    does(&mut service, ids[1], dismiss(ids[0]));
    assert!(!service.client(ids[0]).member("Ada").is_host);
    let lock = HostRequest::SetDoor { door: Door::Locked };
    assert_eq!(service.host(ids[0], lock), Err(HostError::NotAHost));
}

#[test]
fn two_windows_of_one_device_are_one_host() {
    let (mut service, ids) = call(&["Grace"]);
    let (device, secret) = (Device::generate().unwrap(), service.secret.clone());
    let [one, other] = ["Ada", "Ada too"].map(|name| service.arrive_on(&device, name, &secret));
    service.settle();
    does(
        &mut service,
        ids[0],
        HostRequest::Appoint { participant: one },
    );
    assert!(service.client(one).member("Ada too").is_host);
    let dismiss = |participant| HostRequest::Dismiss { participant };
    does(&mut service, one, dismiss(ids[0]));
    assert_eq!(service.host(one, dismiss(other)), Err(HostError::LastHost));
    let nobody = ParticipantId::new(99);
    assert_eq!(
        service.host(one, dismiss(nobody)),
        Err(HostError::NobodyThere)
    );
}

#[test]
fn a_hosts_wishes_survive_a_lost_race() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory"]);
    // Somebody comes in at the same moment, and the server hears them first.
    let edsger = service.arrive("Edsger");
    while service.deliver(edsger) {}
    service
        .host(ids[0], HostRequest::SetDoor { door: Door::Lobby })
        .unwrap();
    service
        .host(
            ids[0],
            HostRequest::Appoint {
                participant: ids[1],
            },
        )
        .unwrap();
    let remove = HostRequest::Remove {
        participant: ids[2],
        change_link: false,
    };
    service.host(ids[0], remove).unwrap();
    while service.hear(edsger) {}
    service.settle();
    assert!(service.stale > 0, "there was a race");
    assert_together(&service, &[ids[0], ids[1], edsger]);
    let ada = service.client(ids[0]);
    assert!(ada.member("Grace").is_host);
    assert_eq!(ada.seen.door, Some(Door::Lobby));
}

#[test]
fn who_is_being_removed_is_not_made_a_host_by_the_same_commit() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory"]);
    let participant = ids[2];
    let remove = HostRequest::Remove {
        participant,
        change_link: false,
    };
    // Somebody comes in at the same moment, so that both wishes wait for one commit.
    let edsger = service.arrive("Edsger");
    while service.deliver(edsger) | service.hear(edsger) {}
    service.host(ids[0], remove).unwrap();
    service
        .host(ids[0], HostRequest::Appoint { participant })
        .unwrap();
    service.settle();
    assert_together(&service, &[ids[0], ids[1], edsger]);
}

#[test]
fn several_are_removed_one_by_one() {
    let (mut service, ids) = call(&["Ada", "Grace", "Mallory", "Trudy"]);
    for participant in [ids[2], ids[3]] {
        let remove = HostRequest::Remove {
            participant,
            change_link: true,
        };
        service.host(ids[0], remove).unwrap();
    }
    service.settle();
    assert_together(&service, &ids[..2]);
    assert_eq!(service.client(ids[1]).seen.links, 2);
}

#[test]
fn a_host_mutes_one_or_all_others_and_nobody_else_does() {
    let (mut service, ids) = call(&["Ada", "Grace", "Edsger"]);
    let mute = |participant| HostRequest::Mute { participant };
    assert_eq!(service.host(ids[1], mute(None)), Err(HostError::NotAHost));
    does(&mut service, ids[0], mute(Some(ids[1])));
    does(&mut service, ids[0], mute(None));
    let muted_by = |id| service.client(id).seen.muted_by.clone();
    assert_eq!(muted_by(ids[0]), [""; 0]);
    assert_eq!(muted_by(ids[1]), ["Ada", "Ada"]);
    assert_eq!(muted_by(ids[2]), ["Ada"]);
}

#[test]
fn whoever_is_no_host_cannot_mute_with_a_client_of_their_own() {
    let (mut service, _) = call(&["Ada", "Grace"]);
    let mut mallory = RawMember::join(&mut service, "Mallory");
    let message = mallory.say(&service, r#"{"type":"mute","participant":null}"#);
    service.take(mallory.id, ClientMessage::Send { message });
    service.settle();
    for client in service.clients.values() {
        assert!(client.seen.muted_by.is_empty());
    }
}

#[test]
fn the_server_cannot_make_a_member_found_a_call_that_is_theirs() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    service.group = None;
    service.tell(ids[1], ServerMessage::GroupLost {});
    service.settle();
    let grace = service.client(ids[1]);
    assert_eq!(grace.names(), ["Grace"], "she is alone in a new group");
    assert!(!grace.member("Grace").is_host);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// While people come in any order, the host closes and opens the door, makes others hosts
    /// and removes some.
    #[test]
    fn whoever_is_not_removed_ends_in_one_group(
        steps in prop::collection::vec(any::<u16>(), 600),
        wishes in prop::collection::vec((0..5_u8, 1..8_usize), 8),
    ) {
        let (mut service, ids) = call(&["Ada"]);
        let ada = ids[0];
        let names = ["Ada", "B", "C", "D", "E", "F", "G", "H"];
        let mut ids = vec![ada];
        ids.extend(names[1..].iter().map(|name| service.arrive(name)));
        let mut wishes = wishes.into_iter();
        let mut removed = BTreeSet::new();
        for (number, step) in steps.iter().enumerate() {
            let id = ids[usize::from(step >> 1) % ids.len()];
            let _ = if step & 1 == 0 { service.deliver(id) } else { service.hear(id) };
            if number % 70 == 69 && let Some((kind, whom)) = wishes.next() {
                let participant = ids[whom];
                let request = match kind {
                    0 => HostRequest::SetDoor { door: Door::Lobby },
                    1 => HostRequest::SetDoor { door: Door::Open },
                    2 => HostRequest::Appoint { participant },
                    3 => match service.client(ada).seen.knocks.get(&participant) {
                        Some(knock) => HostRequest::Admit { participant, knock: *knock },
                        None => continue,
                    },
                    _ => HostRequest::Remove { participant, change_link: false },
                };
                let is_removal = matches!(request, HostRequest::Remove { .. });
                if service.host(ada, request).is_ok() && is_removal {
                    removed.insert(whom);
                }
            }
        }
        service.settle();
        service.host(ada, HostRequest::SetDoor { door: Door::Open }).unwrap();
        service.wait(Duration::from_secs(60));
        let stay: Vec<_> = (0..8).filter(|number| !removed.contains(number)).collect();
        let stay: Vec<_> = stay.into_iter().map(|number| ids[number]).collect();
        prop_assert_eq!(service.clients.len(), stay.len());
        assert_together(&service, &stay);
        for id in stay {
            prop_assert!(service.client(id).seen.refused.is_empty());
        }
    }
}
