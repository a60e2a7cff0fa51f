//! All that is measured of the SFU alone, as tables.

use std::time::Duration;

use anyhow::Result;

use crate::{
    clock::Spread,
    floor::{self, Receivers},
    in_process::{self, Shape},
    machine, page,
    room::{Estimation, RAMP},
    scenario::{Load, Scenario},
    sockets::{self, Cost},
    video::Frame,
};

const SHAPES: [Shape; 4] = [
    Shape::OneTo(10),
    Shape::OneTo(50),
    Shape::OneTo(100),
    Shape::AllOf(10),
];

const FIFTY: Shape = Shape::OneTo(50);

/// The slots for cameras that the web client offers, and the most that a page shows.
const PAGES: [usize; 3] = [9, 25, 49];

/// Measures something and writes it down.
type Part = fn(&mut Figures) -> Result<()>;

/// What is gathered on the way to the page.
#[derive(Default)]
struct Figures {
    text: String,
    goals: Vec<Vec<String>>,
}

/// Runs every part whose name holds `only`.
pub(crate) fn measure(only: &str) -> Result<String> {
    let mut figures = Figures::default();
    let parts: [(&str, Part); 5] = [
        // Memory comes first: a process does not give back what it once had.
        ("gallery", gallery),
        ("sockets", calls),
        ("idle", idle),
        ("in-process", in_process),
        ("joins", joins),
    ];
    for (name, part) in parts {
        if name.contains(only) {
            eprintln!("measuring: {name}");
            part(&mut figures)?;
        }
    }
    let goals = page::table(&["what", "goal", "measured"], &figures.goals);
    Ok(format!(
        "{}.\n\n{goals}\n{}",
        machine::description(),
        figures.text
    ))
}

impl Figures {
    fn section(&mut self, title: &str, head: &[&str], rows: &[Vec<String>]) {
        self.text += &format!("### {title}\n\n{}\n", page::table(head, rows));
    }

    fn goal(&mut self, what: &str, goal: &str, measured: String) {
        self.goals.push(vec![what.into(), goal.into(), measured]);
    }
}

fn scenario(shape: Shape, load: Load) -> Scenario {
    let (people, publishers) = match shape {
        Shape::OneTo(viewers) => (viewers + 1, 1),
        Shape::AllOf(people) => (people, people),
    };
    let heavy = load == Load::Heavy;
    Scenario {
        people,
        publishers,
        simulcast: false,
        cameras: PAGES[0],
        wished_height: None,
        load,
        gro: true,
        warm_up: if heavy { RAMP } else { Duration::from_secs(12) },
        window: Duration::from_secs(if heavy { 1 } else { 2 }),
        repetitions: 5,
    }
}

const CALL_HEAD: [&str; 8] = [
    "call",
    "receivers",
    "µs a forward",
    "of it system, %",
    "forwards/s",
    "cores",
    "arrived, %",
    "added latency p50 / p99",
];

fn micros(nanoseconds: Option<Spread>) -> String {
    nanoseconds.map_or_else(|| "–".into(), |n| n.times(1e-3).to_string())
}

fn call_row(name: String, gro: bool, cost: &Cost) -> Vec<String> {
    let millis = |seconds: f64| {
        if seconds.is_finite() {
            format!("≤ {} ms", seconds * 1e3)
        } else {
            "> 100 ms".into()
        }
    };
    vec![
        name,
        if gro { "GRO" } else { "single" }.into(),
        micros(cost.per_forward),
        format!("{:.0}", cost.system * 100.0),
        format!("{:.0}", cost.forwards),
        format!("{:.2}", cost.cores.median),
        format!("{:.1}", cost.arrived * 100.0),
        cost.latency.map_or_else(
            || "–".into(),
            |(half, most)| format!("{} / {}", millis(half), millis(most)),
        ),
    ]
}

fn gallery(figures: &mut Figures) -> Result<()> {
    const PEOPLE: usize = 50;
    let mut rows = vec![];
    for cameras in PAGES {
        let scenario = Scenario {
            publishers: PEOPLE,
            simulcast: true,
            cameras,
            wished_height: Some(if cameras == PAGES[0] { 240 } else { 120 }),
            warm_up: Duration::from_secs(8),
            repetitions: 3,
            ..scenario(Shape::AllOf(PEOPLE), Load::Paced)
        };
        let cost = sockets::measure(&scenario)?;
        if cameras == PAGES[0] {
            let megabytes = cost.memory / 1e6;
            figures.goal(
                "memory of a participant: sound and simulcast up, 9 + 4 + 1 slots down",
                "≤ 1.5 MB",
                format!("{megabytes:.2} MB"),
            );
        }
        rows.push(call_row(
            format!("{PEOPLE} publish simulcast, each sees {cameras}"),
            true,
            &cost,
        ));
    }
    figures.section("Galleries, over sockets, paced", &CALL_HEAD, &rows);
    Ok(())
}

fn calls(figures: &mut Figures) -> Result<()> {
    let mut rows = vec![];
    let goals = ["≤ 8 µs", "≤ 4 µs", "≤ 3 µs"];
    for (i, shape) in SHAPES.into_iter().enumerate() {
        let cost = sockets::measure(&scenario(shape, Load::Paced))?;
        if let Some(goal) = goals.get(i) {
            let what = format!("over sockets, paced, {shape}");
            figures.goal(&what, goal, micros(cost.per_forward));
        }
        rows.push(call_row(shape.to_string(), true, &cost));
    }
    let single = Scenario {
        gro: false,
        repetitions: 3,
        ..scenario(Shape::OneTo(50), Load::Paced)
    };
    let cost = sockets::measure(&single)?;
    rows.push(call_row(Shape::OneTo(50).to_string(), false, &cost));
    let large = Scenario {
        repetitions: 3,
        ..scenario(Shape::OneTo(500), Load::Paced)
    };
    let cost = sockets::measure(&large)?;
    rows.push(call_row(Shape::OneTo(500).to_string(), true, &cost));
    figures.section("Over sockets, paced", &CALL_HEAD, &rows);

    let mut rows = vec![];
    let shape = FIFTY;
    for gro in [true, false] {
        let cost = sockets::measure(&Scenario {
            gro,
            ..scenario(shape, Load::Heavy)
        })?;
        if gro {
            let what = "over sockets, heavy load offered, 1 → 50 (see forwards/s)";
            figures.goal(what, "≤ 3.0 µs", micros(cost.per_forward));
        }
        rows.push(call_row(shape.to_string(), gro, &cost));
    }
    figures.section("Over sockets, heavy load", &CALL_HEAD, &rows);
    Ok(())
}

fn idle(figures: &mut Figures) -> Result<()> {
    const PEOPLE: usize = 100;
    let scenario = Scenario {
        warm_up: Duration::from_secs(4),
        window: Duration::from_secs(4),
        repetitions: 3,
        ..scenario(Shape::OneTo(PEOPLE - 1), Load::Idle)
    };
    let cost = sockets::measure(&scenario)?;
    #[allow(clippy::cast_precision_loss)]
    let each = cost.cores.times(1e6 / PEOPLE as f64);
    figures.goal(
        "an idle participant, of 100 connected",
        "≤ 15 µs of CPU a second",
        format!("{each} µs"),
    );
    Ok(())
}

fn in_process(figures: &mut Figures) -> Result<()> {
    let mut rows = vec![];
    let mut at_fifty = None;
    for estimation in [Estimation::Off, Estimation::On] {
        for shape in SHAPES {
            let mut room = in_process::settled(shape, estimation)?;
            let mut row = vec![shape.to_string(), format!("{estimation:?}").to_lowercase()];
            let paced = micros(Some(in_process::paced(&mut room)?));
            if estimation == Estimation::On {
                // Nothing is sent faster than the estimate follows.
                row.extend(["–".into(), "–".into(), "–".into(), paced]);
                row.push(if shape == FIFTY {
                    micros(Some(in_process::heavy(&mut room)?))
                } else {
                    "–".into()
                });
                rows.push(row);
                continue;
            }
            for packets in [1, 6, 24] {
                let cost = in_process::saturated(&mut room, shape, Frame::of(packets))?;
                row.push(micros(Some(cost)));
                if packets == 6 && shape == FIFTY {
                    let what = "in process, saturated, 1 → 50, without estimation";
                    figures.goal(what, "≤ 1.2 µs", micros(Some(cost)));
                    at_fifty = Some(cost);
                }
            }
            row.extend([paced, "–".into()]);
            rows.push(row);
        }
    }
    rows.push(vec![
        "50 publish simulcast, each sees 9".into(),
        "on".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        micros(Some(in_process::gallery(50)?)),
        "–".into(),
    ]);
    let head = [
        "call",
        "estimation",
        "saturated, bursts of 1",
        "of 6",
        "of 24",
        "paced",
        "heavy",
    ];
    figures.section("In process, µs a forward", &head, &rows);

    let mut rows = vec![];
    for receivers in [Receivers::Gro, Receivers::Single] {
        let mut row = vec![match receivers {
            Receivers::Gro => "GRO".into(),
            Receivers::Single => "single".into(),
        }];
        for packets in [1, 6, 24] {
            let floor = floor::measure(packets, receivers)?;
            row.push(micros(Some(floor)));
            if let Some(achieved) = at_fifty
                && packets == 6
                && receivers == Receivers::Gro
            {
                figures.goal(
                    "floor at bursts of 6, by the shard's cost in process, 1 → 50, without estimation",
                    "–",
                    format!("{:.2}", floor.median / achieved.median),
                );
            }
        }
        rows.push(row);
    }
    let head = ["receivers", "bursts of 1", "of 6", "of 24"];
    figures.section("The floor: copy, seal, send; µs a packet", &head, &rows);
    Ok(())
}

fn joins(figures: &mut Figures) -> Result<()> {
    let rows: Vec<_> = in_process::joins(&[10, 100, 300, 500])?
        .into_iter()
        .map(|(size, cost)| vec![size.to_string(), cost.to_string()])
        .collect();
    let head = ["people in the room", "ms of the shard's time a join"];
    figures.section("Joining", &head, &rows);
    Ok(())
}
