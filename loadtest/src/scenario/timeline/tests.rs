use std::collections::BTreeMap;

use super::*;
use crate::scenario::text::parse;

fn scenario(toml: &str) -> Scenario {
    parse(toml, "test.toml", "test").unwrap()
}

/// Everything that happens within some seconds.
fn cues(scenario: &Scenario, seconds: u64) -> Vec<Cue> {
    let mut timeline = Timeline::new(scenario);
    let end = Duration::from_secs(seconds);
    std::iter::from_fn(|| timeline.take(end)).collect()
}

const CHURN: &str = r#"
    bots = [
        { count = 3, camera = {}, slots = { cameras = 2 } },
        { count = 40, slots = { cameras = 2 }, churn = { per-second = 2, away = "3s" } },
    ]
"#;

#[test]
fn nothing_happens_in_a_plain_scenario() {
    let still = scenario("bots = [{ count = 3, camera = {}, slots = { cameras = 2 } }]");
    assert_eq!(cues(&still, 1_000_000), []);
    assert_eq!(Timeline::new(&still).next_at(), None);
}

#[test]
fn a_seed_is_a_course() {
    let mut scenario = scenario(CHURN);
    let first = cues(&scenario, 100);
    assert_eq!(first, cues(&scenario, 100));
    scenario.seed += 1;
    assert_ne!(first, cues(&scenario, 100));
}

#[test]
fn it_does_not_matter_how_often_one_asks() {
    let scenario = scenario(CHURN);
    let mut timeline = Timeline::new(&scenario);
    let asked: Vec<_> = (0..=1_000)
        .flat_map(|tenth| {
            let now = Duration::from_millis(100) * tenth;
            let cues: Vec<_> = std::iter::from_fn(|| timeline.take(now)).collect();
            assert!(cues.iter().all(|cue| cue.at <= now));
            cues
        })
        .collect();
    assert_eq!(asked, cues(&scenario, 100));
}

#[test]
fn departures_are_as_many_as_asked_and_exponentially_apart() {
    let scenario = scenario(CHURN);
    let departures: Vec<f64> = cues(&scenario, 1_000)
        .iter()
        .filter(|cue| cue.act == Act::Leave)
        .map(|cue| cue.at.as_secs_f64())
        .collect();
    let rate = departures.len() as f64 / 1_000.0;
    assert!((1.85..2.15).contains(&rate), "{rate}");
    // Of exponential pauses 1/e are longer than the mean.
    let pauses = departures.windows(2).map(|pair| pair[1] - pair[0]);
    let long = pauses.filter(|pause| *pause > 0.5).count() as f64 / departures.len() as f64;
    assert!((long - (-1.0_f64).exp()).abs() < 0.03, "{long}");
}

#[test]
fn only_who_is_there_leaves_and_places_are_taken_again() {
    let scenario = scenario(CHURN);
    let mut away: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut absences = Vec::new();
    for cue in cues(&scenario, 1_000) {
        assert!((3..43).contains(&cue.place), "of the group that churns");
        match cue.act {
            Act::Leave => assert_eq!(away.insert(cue.place, cue.at), None),
            Act::Join => {
                let since = away.remove(&cue.place).unwrap();
                absences.push((cue.at - since).as_secs_f64());
            }
            Act::Direct(_) => panic!("nobody is told anything"),
        }
    }
    let mean = absences.iter().sum::<f64>() / absences.len() as f64;
    assert!((2.8..3.2).contains(&mean), "{mean}");
}

#[test]
fn speakers_go_around_and_only_who_changes_is_told() {
    let scenario = scenario(
        r#"
        [[bots]]
        count = 5
        microphone = {}
        camera = {}
        rotate = { on = 2, every = "10s", sources = ["camera"] }
    "#,
    );
    let both = vec![Source::Microphone, Source::Camera];
    let sound = vec![Source::Microphone];
    let timeline = Timeline::new(&scenario);
    let at_first = [&both, &both, &sound, &sound, &sound];
    for (place, on) in at_first.into_iter().enumerate() {
        assert_eq!(timeline.entrance(place).unwrap().on, *on);
    }
    let told: Vec<_> = cues(&scenario, 20)
        .into_iter()
        .map(|cue| match cue.act {
            Act::Direct(Direction::Publish(on)) => (cue.at.as_secs(), cue.place, on),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (10, 0, &sound),
        (10, 1, &sound),
        (10, 2, &both),
        (10, 3, &both),
        (20, 0, &both),
        (20, 2, &sound),
        (20, 3, &sound),
        (20, 4, &both),
    ];
    assert_eq!(
        told,
        expected.map(|(at, place, on)| (at, place, on.clone()))
    );
}

#[test]
fn pages_are_turned_one_after_the_other_and_not_by_all_at_once() {
    let scenario = scenario(
        r#"
        [[bots]]
        count = 8
        camera = {}
        slots = { cameras = 3 }
        view = { turn = "5s" }
    "#,
    );
    let cues = cues(&scenario, 20);
    let pages: Vec<_> = cues
        .iter()
        .filter(|cue| cue.place == 4)
        .map(|cue| match cue.act {
            Act::Direct(Direction::Look(view)) => view.page,
            _ => panic!("{cue:?}"),
        })
        .collect();
    // Seven others, three on a page.
    assert_eq!(pages, [1, 2, 0, 1]);
    let mut moments: Vec<_> = cues.iter().take(8).map(|cue| cue.at).collect();
    moments.dedup();
    assert_eq!(moments.len(), 8);
}

#[test]
fn who_comes_later_does_what_is_done_in_its_place() {
    let scenario = scenario(
        r#"
        [[bots]]
        count = 4
        camera = {}
        rotate = { on = 1, every = "1s" }
        churn = { per-second = 1 }
    "#,
    );
    let mut timeline = Timeline::new(&scenario);
    let mut joins = 0;
    while let Some(cue) = timeline.take(Duration::from_secs(60)) {
        if cue.act == Act::Join {
            joins += 1;
            let turn = cue.at.as_secs() as usize % 4;
            let on = timeline.entrance(cue.place).unwrap().on;
            assert_eq!(!on.is_empty(), cue.place == turn, "{cue:?}");
        }
    }
    assert!(joins > 30);
    assert_eq!(timeline.entrance(4), None);
}
