//! What the participants of a scenario want, whether or not the SFU has heard of it yet.

use std::{collections::BTreeSet, time::Instant};

use conclave_protocol::{ParticipantId, control::ControlRequest, signal::Source};
use conclave_sfu::SfuEvent;

use super::{ClientConfig, World, participant};

/// One participant, by its place in the world's clients.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) room: usize,
    pub(crate) config: ClientConfig,
    pub(crate) camera: bool,
    pub(crate) microphone: bool,
    /// Whom it wants to see, most of all first, and how high. None: everyone.
    pub(crate) wishes: Option<Vec<(usize, u16)>>,
    pub(crate) is_gone: bool,
    /// Went silent without a word, so the SFU will find out and say so.
    pub(crate) vanished: bool,
    /// The SFU has found out.
    pub(crate) is_lost: bool,
    wishes_told: bool,
    publishing_told: bool,
    /// Before this time something happened that may interrupt what it sends or gets.
    pub(crate) disturbed: Instant,
}

impl Person {
    pub(crate) fn new(room: usize, config: ClientConfig, now: Instant) -> Self {
        Self {
            room,
            camera: config.publishes,
            microphone: config.publishes,
            config,
            wishes: None,
            is_gone: false,
            vanished: false,
            is_lost: false,
            wishes_told: true,
            publishing_told: true,
            disturbed: now,
        }
    }

    /// Comes again as after a reload: what it had said is forgotten, so it says it again.
    pub(crate) fn comes_again(&mut self, now: Instant) {
        self.wishes_told = self.wishes.is_none();
        self.publishing_told = false;
        self.disturb(now);
    }

    pub(crate) fn wish(&mut self, wishes: Vec<(usize, u16)>, now: Instant) {
        self.wishes = Some(wishes);
        self.wishes_told = false;
        self.disturb(now);
    }

    pub(crate) fn toggle(&mut self, source: Source, now: Instant) {
        match source {
            Source::Camera => self.camera ^= true,
            _ => self.microphone ^= true,
        }
        self.publishing_told = false;
        self.disturb(now);
    }

    pub(crate) fn disturb(&mut self, until: Instant) {
        self.disturbed = self.disturbed.max(until);
    }
}

/// Everyone of a scenario.
#[derive(Debug, Default)]
pub(crate) struct People(pub(crate) Vec<Person>);

impl People {
    /// Who is there tells the SFU what it has not been told, as soon as the channel is open.
    pub(crate) fn speak(&mut self, world: &mut World) {
        for (index, person) in self.0.iter_mut().enumerate() {
            if person.is_gone || !world.clients[index].is_ready() {
                continue;
            }
            let now = world.now;
            let client = &mut world.clients[index];
            if !std::mem::replace(&mut person.publishing_told, true) && person.config.publishes {
                client.camera_on = person.camera;
                client.microphone_on = person.microphone;
                let sources = [
                    (person.camera, Source::Camera),
                    (person.microphone, Source::Microphone),
                ];
                let sources = sources.iter().filter(|(on, _)| *on).map(|(_, s)| *s);
                let sources = sources.collect();
                client.ask(now, &ControlRequest::Publishing { sources });
                person.disturb(now);
            }
            if !std::mem::replace(&mut person.wishes_told, true)
                && let Some(wishes) = &person.wishes
            {
                let wishes: Vec<_> = wishes
                    .iter()
                    .map(|(whom, height)| (participant(*whom), *height))
                    .collect();
                client.wish(now, &wishes);
                person.disturb(now);
            }
        }
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, &Person)> {
        self.0.iter().enumerate().filter(|(_, p)| !p.is_gone)
    }

    /// Who shares the room with someone, without that one.
    fn others(&self, index: usize) -> impl Iterator<Item = (usize, &Person)> {
        let room = self.0[index].room;
        self.present()
            .filter(move |(other, person)| *other != index && person.room == room)
    }

    pub(crate) fn vanished(&self) -> BTreeSet<ParticipantId> {
        let vanished = self.0.iter().enumerate().filter(|(_, p)| p.vanished);
        vanished.map(|(index, _)| participant(index)).collect()
    }

    /// Takes note of whom the SFU has lost.
    pub(crate) fn hear(&mut self, events: &[SfuEvent]) {
        for event in events {
            if let SfuEvent::Lost {
                participant: lost, ..
            } = event
                && let Some(index) = (0..self.0.len()).find(|index| participant(*index) == *lost)
            {
                self.0[index].is_lost = true;
            }
        }
    }

    /// Whose camera someone should see. Who vanished keeps a slot until the SFU knows.
    pub(crate) fn visible_to(&self, index: usize) -> BTreeSet<usize> {
        let viewer = &self.0[index];
        let is_on = |other: usize| {
            let person = &self.0[other];
            let there = !person.is_gone || (person.vanished && !person.is_lost);
            other != index && person.room == viewer.room && person.camera && there
        };
        let shown: Vec<usize> = match &viewer.wishes {
            None => (0..self.0.len()).filter(|other| is_on(*other)).collect(),
            Some(wishes) => wishes
                .iter()
                .map(|(whom, _)| *whom)
                .filter(|whom| is_on(*whom))
                .take(viewer.config.camera_slots)
                .collect(),
        };
        shown
            .into_iter()
            .filter(|whom| !self.0[*whom].is_gone)
            .collect()
    }

    /// How many people someone should hear.
    pub(crate) fn audible_to(&self, index: usize) -> usize {
        let on = self.others(index).filter(|(_, person)| person.microphone);
        on.count().min(self.0[index].config.audio_slots)
    }
}
