//! The JSON examples of the pages, read as the types that they show.

use keywheel::model::Fault;
use keywheel::rotation::event::RotationEvent;
use keywheel::sweep;
use keywheel::value::StoredValue;
use serde_json::{Value, json};

use super::pages::pages;
use super::source::text;
use crate::harness::{OTHER, TestStack, refused, rehearse};

/// Answers of a sweep and of an inventory, and the texts in which other examples find their fields.
struct Shapes {
    report: Value,
    inventory: Value,
    actions: String,
    machine: String,
    notice: Value,
}

/// The blocks of a page that are marked as JSON, with the lines on which they begin.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.trim_start() == "```json" {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
            found.push((at + 2, block.collect::<Vec<_>>().join("\n")));
        }
    }
    found
}

/// The events that the tables of a page list in their first column.
fn events(page: &str) -> Vec<(usize, String)> {
    let rows =
        page.lines().enumerate().filter_map(|(at, line)| Some((at + 1, line.strip_prefix("| `{")?.split_once('`')?.0)));
    rows.map(|(line, rest)| (line, format!("{{{rest}"))).collect()
}

/// Whether an example has members of a real answer only, each of the same kind.
fn fits(example: &Value, real: &Value) -> Result<(), String> {
    match (example, real) {
        (Value::Object(example), Value::Object(real)) => example.iter().try_for_each(|(name, value)| {
            let real = real.get(name).ok_or_else(|| format!("there is no `{name}`"))?;
            fits(value, real).map_err(|error| format!("`{name}`: {error}"))
        }),
        (Value::Array(example), Value::Array(real)) => match real.first() {
            Some(real) => example.iter().try_for_each(|it| fits(it, real)),
            None => Ok(()),
        },
        // Null stands for anything that is unknown.
        (Value::Null, _)
        | (_, Value::Null)
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_)) => Ok(()),
        _ => Err(format!("{example} is of another kind than {real}")),
    }
}

/// An error, unless every member of the example is named in the text.
fn named(example: &Value, text: &str) -> Result<(), String> {
    let is_named = |name: &str| ['"', '\''].iter().any(|quote| text.contains(&format!("{quote}{name}{quote}")));
    match example.as_object().into_iter().flatten().find(|(name, _)| !is_named(name)) {
        Some((name, _)) => Err(format!("there is no `{name}`")),
        None => Ok(()),
    }
}

/// Reads an example as the type that its members show.
fn read(example: &str, shapes: &Shapes) -> Result<(), String> {
    let value: Value = serde_json::from_str(example).map_err(|error| error.to_string())?;
    let has = |name: &str| value.get(name).is_some();
    if has("AccessKeyId") {
        // Examples leave out the middle of an id and the whole secret.
        let whole =
            example.replace("AKIA…", "AKIAIOSFODNN7EXAMPLE").replace("\"…\"", &format!("\"{}\"", "s".repeat(40)));
        return match StoredValue::read(&whole) {
            Ok(StoredValue::Foreign(_)) => Err("the value of another tool".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
    }
    if has("Step") {
        return RotationEvent::read(value).map(|_| ()).map_err(|error| error.to_string());
    }
    if has("complete") {
        return named(&value, &shapes.machine);
    }
    if has("mails") {
        named(&value["actions"], &shapes.actions)?;
        // The counts of actions go by name, of which one run has only some.
        let mut others = value;
        others["actions"] = Value::Null;
        return fits(&others, &shapes.report);
    }
    if has("next_token") {
        return fits(&value, &shapes.inventory);
    }
    if has("severity") {
        return named(&value, &shapes.notice["properties"].to_string());
    }
    if has("timestamp") && has("message") {
        let module = value["target"].as_str().unwrap_or_default().replace("::", "/").replacen("keywheel", "src", 1);
        let is_there = [format!("{module}.rs"), format!("{module}/mod.rs")]
            .iter()
            .any(|path| super::source::root().join(path).exists());
        return if is_there { Ok(()) } else { Err(format!("{} logs nothing", value["target"])) };
    }
    sweep::Event::read(value).map(|_| ()).map_err(|error| error.to_string())
}

/// The answer of a dry run over a small organization, and its inventory. One call is refused and one account cannot be
/// entered. The dry run makes the answer contain a plan.
async fn shapes() -> Shapes {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[100]);
    stage.cloud.add_account(OTHER, "closed", None);
    stage.cloud.faults().inject(Fault::on("iam", "GetAccessKeyLastUsed", refused("ServiceFailure")).every());
    let report = stage.keywheel.sweep(json!({"dry_run": true})).await.expect("the sweep answers");
    let inventory = stage.keywheel.sweep(json!({"inventory": {"limit": 10}})).await.expect("a page");
    Shapes {
        report,
        inventory,
        actions: text("src/lifecycle/action_name.rs"),
        machine: text("sam/statemachine/sweep.asl.json"),
        notice: serde_json::from_str(&text("docs/notice-schema.json")).expect("JSON"),
    }
}

#[test]
fn json_examples_of_pages_are_of_their_types() {
    rehearse(async {
        let shapes = shapes().await;
        for name in ["plan", "skipped", "failures"] {
            assert_ne!(shapes.report[name], json!([]), "{name} shows nothing: {:#}", shapes.report);
        }
        assert_ne!(shapes.inventory["accounts"], json!([]), "{:#}", shapes.inventory);
        let (mut tried, mut found) = (0, Vec::new());
        for (path, page) in pages() {
            let listed = if path == "docs/reference/events.md" { events(&page) } else { Vec::new() };
            for (line, example) in blocks(&page).into_iter().chain(listed) {
                tried += 1;
                found.extend(read(&example, &shapes).err().map(|error| format!("{path}:{line}: {error}")));
            }
        }
        assert!(tried >= 8, "only {tried} examples were found");
        assert!(found.is_empty(), "{} examples are wrong:\n{}", found.len(), found.join("\n"));
    });
}

#[test]
fn a_wrong_example_is_found() {
    let page = "x\n```json\n{\"a\":\n 1}\n```\n```sh\n{}\n```\n| `{\"digest\":{}}` | y |\n";
    assert_eq!(blocks(page), [(3, "{\"a\":\n 1}".to_owned())]);
    assert_eq!(events(page), [(9, "{\"digest\":{}}".to_owned())]);
    let shapes = Shapes {
        report: json!({"mails": 1, "actions": {}, "plan": [{"user": "a"}]}),
        inventory: json!({"accounts": [], "next_token": null}),
        actions: "\"rotate\"".to_owned(),
        machine: "'complete': true".to_owned(),
        notice: json!({"properties": {"severity": {}}}),
    };
    let value = r#"{"Version":1,"AccessKeyId":"AKIA…","SecretAccessKey":"…","UserName":"b","AccountId":"111122223333","UserArn":"arn:aws:iam::111122223333:user/b","CreateDate":"2026-11-22T09:00:00Z","Status":"Active"}"#;
    for right in [
        value,
        r#"{"mails":2,"actions":{"rotate":1},"plan":[{"user":"b"}]}"#,
        r#"{"digest":{}}"#,
        r#"{"severity":["alert"]}"#,
        r#"{"complete":false}"#,
    ] {
        assert_eq!(read(right, &shapes), Ok(()), "{right}");
    }
    let of_another_user = value.replace("\"UserName\":\"b\"", "\"UserName\":\"c\"");
    for wrong in [
        of_another_user.as_str(),
        r#"{"mails":"2"}"#,
        r#"{"mails":2,"actions":{"eat":1}}"#,
        r#"{"mails":2,"letters":2}"#,
        r#"{"mails":2,"plan":[{"name":"b"}]}"#,
        r#"{"digest":1}"#,
        r#"{"severity":["alert"],"colour":["red"]}"#,
        r#"{"complete":false,"done":1}"#,
        r#"{"Step":"deleteSecret"}"#,
        r#"{"timestamp":"x","message":"y","target":"keywheel::nowhere"}"#,
        r#"{"colour":"red"}"#,
        "{",
    ] {
        assert!(read(wrong, &shapes).is_err(), "{wrong}");
    }
}
