//! Members who have to come in again, and a server that shows them another group with which
//! somebody who has the link helps it.

use std::time::Duration;

use conclave_e2ee::{AnotherCall, Device, Door, HostRequest, Loosened, Prospect};
use conclave_protocol::{
    Epoch, ParticipantId,
    signal::{ClientMessage, GroupState, ServerMessage},
};

use crate::{
    hosts::{call, set_door},
    raw::{Key, RawMember, knocked, link_key},
    service::Service,
};

/// The state of a group that somebody has founded apart.
fn state_of(service: &Service, raw: &RawMember) -> GroupState {
    GroupState {
        epoch: Epoch::new(raw.group.epoch().as_u64()),
        group_info: raw.group_info(service),
    }
}

fn rules(hosts: &[String], door: &str, barred: &[String], link: u32) -> String {
    let list = |keys: &[String]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        keys.join(",")
    };
    let (hosts, barred) = (list(hosts), list(barred));
    format!(r#"{{"hosts":[{hosts}],"door":"{door}","barred":[{barred}],"link":{link}}}"#)
}

/// Nobody is in the group that they were shown; all have said why, and stay away.
fn assert_stayed_away(service: &Service, ids: &[ParticipantId], why: AnotherCall) {
    for id in ids {
        let client = service.client(*id);
        let failed = client.seen.failed.as_deref().expect("has refused it");
        assert!(failed.contains(&why.to_string()), "{failed}");
        assert_eq!(client.seen.prospect, Some(Prospect::AnotherCall));
        assert_eq!(client.seen.joined, 1, "not a second time");
        assert!(client.seen.keys.is_empty());
        let says = |it: &ClientMessage| matches!(it, ClientMessage::Commit { .. });
        assert!(!client.outbox.iter().any(says));
    }
}

/// Ada, the host, has removed somebody with this key, closed the door and changed the link, or
/// not; then the server moves everyone into a group that has been founded apart.
fn misled(
    door: Door,
    key: Key,
    is_barred: bool,
    rules: impl FnOnce(&str, &str) -> String,
) -> (Service, Vec<ParticipantId>) {
    let (mut service, ids) = call(&["Ada", "Grace", "Edsger"]);
    if is_barred {
        let id = service.announce();
        let raw = RawMember::barge_in(&service, id, Key::same_device(&key));
        service.submit(id, raw);
        service.settle();
        let remove = HostRequest::Remove {
            participant: id,
            change_link: false,
        };
        service.host(ids[0], remove).unwrap();
        service.settle();
    }
    if door != Door::Open {
        set_door(&mut service, ids[0], door);
    }
    let ada = service.client(ids[0]).member("Ada").device.to_string();
    let rules = rules(&ada, &key.device().to_string());
    let raw = RawMember::found_under(&mut service, "Mallory", key, &rules);
    let state = state_of(&service, &raw);
    service.mislead(state);
    service.settle();
    (service, ids)
}

#[test]
fn the_server_cannot_move_a_call_into_an_accomplices_group() {
    let (service, ids) = misled(Door::Lobby, Key::new(), false, |_, mallory| {
        rules(&[mallory.into()], "open", &[], 0)
    });
    assert_stayed_away(&service, &ids, Loosened::Hosts.into());
    // As one host of several.
    let (service, ids) = misled(Door::Open, Key::new(), false, |ada, mallory| {
        rules(&[ada.into(), mallory.into()], "open", &[], 0)
    });
    assert_stayed_away(&service, &ids, Loosened::Hosts.into());
}

#[test]
fn who_was_removed_does_not_come_back_by_a_group_of_their_own() {
    let (service, ids) = misled(Door::Open, Key::new(), true, |ada, _| {
        rules(&[ada.into()], "open", &[], 0)
    });
    assert_stayed_away(&service, &ids, Loosened::Barred.into());
    let (service, ids) = misled(Door::Open, Key::new(), true, |ada, mallory| {
        rules(&[ada.into()], "open", &[mallory.into()], 0)
    });
    assert_stayed_away(&service, &ids, AnotherCall::BarredInside);
}

#[test]
fn who_waits_does_not_come_in_by_a_group_of_their_own() {
    let (service, ids) = misled(Door::Lobby, Key::new(), false, |ada, _| {
        rules(&[ada.into()], "open", &[], 0)
    });
    assert_stayed_away(&service, &ids, Loosened::Door.into());
    let (service, ids) = misled(Door::Lobby, Key::new(), false, |ada, _| {
        rules(&[ada.into()], "lobby", &[], 0)
    });
    assert_stayed_away(&service, &ids, AnotherCall::Unadmitted);
}

/// As [`misled`], and then Mallory, in the group already, brings Grace into it.
#[test]
fn nobody_is_welcomed_into_an_accomplices_group() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let key = Key::new();
    let founded = rules(&[key.device().to_string()], "open", &[], 0);
    let mut raw = RawMember::found_under(&mut service, "Mallory", key, &founded);
    let mut state = state_of(&service, &raw);
    state.group_info = Vec::new().into();
    service.crowd = 0;
    service.asks_by_turns = false;
    service.mislead(state);
    service.settle();
    assert_eq!(service.knocks.len(), 2, "they do not see the group yet");
    let knock = service.knocks.iter().find(|it| it.participant == ids[1]);
    let key_package = knocked(&service, knock.unwrap());
    let keys = vec![link_key(&service)];
    let (_, welcome) = raw.admit(&service, vec![key_package], keys);
    let welcomed = ServerMessage::Welcomed {
        sequence: service.place(),
        epoch: Epoch::new(1),
        welcome,
    };
    service.tell(ids[1], welcomed);
    service.settle();
    assert_stayed_away(&service, &ids[1..], Loosened::Hosts.into());
}

#[test]
fn what_a_host_signed_before_is_not_what_the_call_is_now() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let mallory = RawMember::join(&mut service, "Mallory");
    // A host shows the group with Mallory in it.
    let epoch = service.group.as_ref().unwrap().epoch;
    service.ask_for_state(ids[0], epoch);
    let before = service.group.clone().unwrap();
    let remove = HostRequest::Remove {
        participant: mallory.id,
        change_link: false,
    };
    service.host(ids[0], remove).unwrap();
    service.settle();
    service.mislead(before);
    service.settle();
    assert_stayed_away(&service, &ids, Loosened::Barred.into());
}

#[test]
fn nobody_is_let_in_twice_by_the_server() {
    let (mut service, ids) = call(&["Ada", "Grace"]);
    let raw = RawMember::found_apart(&mut service, "Mallory");
    let before = service.client(ids[1]).newest_key();
    for group in [None, Some(state_of(&service, &raw))] {
        let joined = ServerMessage::Joined {
            participant: ParticipantId::new(99),
            others: vec![raw.id],
            group: group.map(|group| conclave_protocol::signal::GroupDoor::Commit { group }),
        };
        service.tell(ids[1], joined);
        while service.deliver(ids[1]) {}
    }
    let grace = service.client(ids[1]);
    assert!(grace.outbox.is_empty());
    assert_eq!((grace.newest_key(), &grace.seen.failed), (before, &None));
}

/// Somebody whose device one knows, so that they can come back with it.
struct Person {
    name: &'static str,
    device: Device,
    id: ParticipantId,
}

impl Person {
    fn arrive(service: &mut Service, name: &'static str) -> Self {
        let (device, secret) = (Device::generate().unwrap(), service.secret.clone());
        let id = service.arrive_on(&device, name, &secret);
        service.settle();
        Self { name, device, id }
    }

    /// Comes in again with another membership, which is given what the last one knew.
    fn come_back(&mut self, from: &Service, to: &mut Service) {
        let before = from.client(self.id);
        let memory = before.membership.memory().unwrap().clone();
        let link = before.membership.link().clone();
        self.id = to.arrive_on(&self.device, self.name, &link);
        to.client_mut(self.id).membership.recall(memory);
    }
}

fn people(names: [&'static str; 3]) -> (Service, [Person; 3]) {
    let mut service = Service::new();
    let people = names.map(|name| Person::arrive(&mut service, name));
    service.wait(Duration::from_secs(20));
    (service, people)
}

fn assert_in_call(service: &Service, person: &Person, with: usize) {
    let client = service.client(person.id);
    assert_eq!(client.seen.failed, None, "{}", person.name);
    assert_eq!(client.names().len(), with);
    assert!(client.member("Ada").is_host);
    assert!(!client.member("Grace").is_host);
}

#[test]
fn a_call_of_which_the_server_lost_everything_goes_on_under_its_rules() {
    let (before, [mut ada, mut grace, mut edsger]) = people(["Ada", "Grace", "Edsger"]);
    let mut service = Service::new();
    // Whoever comes back first founds the group, and is no host for that.
    grace.come_back(&before, &mut service);
    edsger.come_back(&before, &mut service);
    service.settle();
    ada.come_back(&before, &mut service);
    service.settle();
    service.wait(Duration::from_secs(20));
    for person in [&ada, &grace, &edsger] {
        assert_in_call(&service, person, 3);
    }
}

#[test]
fn a_guarded_call_of_which_the_server_lost_everything_stays_guarded() {
    let (mut before, [mut ada, mut grace, mut edsger]) = people(["Ada", "Grace", "Edsger"]);
    set_door(&mut before, ada.id, Door::Lobby);
    let mut service = Service::new();
    grace.come_back(&before, &mut service);
    edsger.come_back(&before, &mut service);
    service.settle();
    assert_eq!(service.client(edsger.id).seen.waiting, 1);
    ada.come_back(&before, &mut service);
    service.settle();
    // The server does not know that the door is guarded, and asks members by turns to bring in
    // who knocks.
    service.wait(Duration::from_secs(10));
    assert_eq!(service.client(edsger.id).seen.joined, 0);
    let admit = service.client(ada.id).admit(edsger.id);
    service.host(ada.id, admit).unwrap();
    service.settle();
    for person in [&ada, &grace, &edsger] {
        assert_in_call(&service, person, 3);
    }
}

#[test]
fn who_comes_back_into_the_same_call_believes_the_host_whom_they_knew() {
    let (mut service, [ada, grace, mut edsger]) = people(["Ada", "Grace", "Edsger"]);
    let lost = edsger.id;
    let memory = service.client(lost).membership.memory().unwrap().clone();
    service.leave(lost);
    service.settle();
    let appoint = HostRequest::Appoint {
        participant: grace.id,
    };
    service.host(ada.id, appoint).unwrap();
    service.settle();
    edsger.id = service.arrive_on(&edsger.device, edsger.name, &service.secret.clone());
    service.client_mut(edsger.id).membership.recall(memory);
    service.settle();
    let client = service.client(edsger.id);
    assert_eq!((client.seen.joined, &client.seen.failed), (1, &None));
    assert!(client.member("Grace").is_host);
}

#[test]
fn who_comes_back_does_not_believe_a_newcomer_about_new_hosts() {
    let (mut service, [ada, grace, mut edsger]) = people(["Ada", "Grace", "Edsger"]);
    let memory = service.client(edsger.id).membership.memory().cloned();
    service.leave(edsger.id);
    service.settle();
    let appoint = HostRequest::Appoint {
        participant: grace.id,
    };
    service.host(ada.id, appoint).unwrap();
    service.settle();
    // The group's state is Barbara's, who has only come.
    service.arrive("Barbara");
    service.settle();
    edsger.id = service.arrive_on(&edsger.device, edsger.name, &service.secret.clone());
    service
        .client_mut(edsger.id)
        .membership
        .recall(memory.unwrap());
    service.settle();
    let seen = &service.client(edsger.id).seen;
    assert_eq!(
        (seen.joined, seen.prospect),
        (0, Some(Prospect::AnotherCall))
    );
    // But may decide to come as somebody new.
    service.leave(edsger.id);
    edsger.id = service.arrive_on(&edsger.device, edsger.name, &service.secret.clone());
    service.settle();
    assert_eq!(service.client(edsger.id).seen.joined, 1);
}

#[test]
fn a_place_that_was_lost_does_not_lead_into_an_accomplices_group() {
    let (before, [mut ada, mut grace, mut edsger]) = people(["Ada", "Grace", "Edsger"]);
    let mut service = Service::new();
    let raw = RawMember::found_apart(&mut service, "Mallory");
    service.group = Some(state_of(&service, &raw));
    for person in [&mut ada, &mut grace, &mut edsger] {
        person.come_back(&before, &mut service);
        service.settle();
        let seen = &service.client(person.id).seen;
        assert_eq!((seen.joined, seen.keys.len()), (0, 0));
        assert_eq!(seen.prospect, Some(Prospect::AnotherCall));
    }
}
