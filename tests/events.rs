//! The fixtures in `sam/events/`: each is a valid event of its function, and means what its name says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keywheel::rotation::event::RotationEvent;
use keywheel::state::Step;
use keywheel::sweep;
use serde_json::Value;

const SECRET: &str = "Account_111122223333_User_ci-bot_AccessKey";

/// Fixtures of the rotation function, with their steps.
const STEPS: [(&str, Step); 4] = [
    ("createSecret", Step::CreateSecret),
    ("setSecret", Step::SetSecret),
    ("testSecret", Step::TestSecret),
    ("finishSecret", Step::FinishSecret),
];

/// Fixtures of the sweeper, with parts of the parsed event and whether it is a dry run.
const REQUESTS: [(&str, &[&str], bool); 10] = [
    ("sweep", &["All"], false),
    ("sweep-dry-run", &["All"], true),
    ("sweep-account", &["Account {", "111122223333", "prod", "prod@example.com"], false),
    (
        "sweep-account-notices-later",
        &["Account {", "111122223333", "prod", "prod@example.com", "defers_notices: true"],
        false,
    ),
    ("digest", &["Digest {", "after: None"], false),
    ("inventory", &["Inventory {", "next_token: None", "limit: 500"], false),
    ("secret-label-updated", &["Notify {", "111122223333", "ci-bot", "LabelMoved"], false),
    ("rotation-failed", &["Notify {", "ci-bot", "news: RotationFailed"], false),
    ("rotation-abandoned", &["Notify {", "ci-bot", "news: RotationAbandoned"], false),
    ("test-rotation-failed", &["Notify {", "ci-bot", "news: TestFailed"], false),
];

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "sam", "events"].iter().collect()
}

fn fixture(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name).with_extension("json")).expect(name);
    serde_json::from_str(&text).expect(name)
}

#[test]
fn every_fixture_of_a_rotation_is_read_as_its_step() {
    for (name, step) in STEPS {
        let event = RotationEvent::read(fixture(name)).expect(name);
        assert_eq!(event.step, step);
        assert_eq!(event.secret.name().to_string(), SECRET, "{name}");
    }
}

#[test]
fn every_fixture_of_the_sweeper_is_read_as_its_name_says() {
    for (name, parts, dry_run) in REQUESTS {
        let event = sweep::Event::read(fixture(name)).expect(name);
        let request = format!("{:?}", event.request);
        for part in parts {
            assert!(request.contains(part), "{name}: {part} is missing in {request}");
        }
        assert_eq!(event.dry_run, dry_run, "{name}");
    }
}

#[test]
fn no_fixture_is_left_out() {
    let there: BTreeSet<String> = fs::read_dir(folder())
        .expect("sam/events")
        .map(|entry| entry.expect("an entry of sam/events").file_name().into_string().expect("UTF-8"))
        .collect();
    let tried = STEPS.iter().map(|(name, _)| name).chain(REQUESTS.iter().map(|(name, ..)| name));
    assert_eq!(there, tried.map(|name| format!("{name}.json")).collect());
}

#[test]
fn every_parameter_of_the_template_is_explained() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect(path);
    let (template, page) = (read("sam/template.yaml"), read("docs/reference/settings.md"));
    let section =
        template.split("\nParameters:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("parameters");
    let names: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with([' ', '#']))?.strip_suffix(':'))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/reference/settings.md");
    }
}
