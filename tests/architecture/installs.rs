//! Installs and builds take exactly what is pinned: Python and npm packages by hash, crates by Cargo.lock.

use std::collections::BTreeSet;
use std::fs;

use super::source::{root, text};

/// The folders with scripts.
const FOLDERS: [&str; 6] = [".ci", ".github", "benches", "sam", "tests/peers", "tools"];
/// The only script that installs packages.
const INSTALLER: &str = "tools/install";
/// Subcommands of cargo that resolve dependencies.
const RESOLVING: [&str; 9] = ["bench", "build", "check", "clippy", "doc", "lambda build", "run", "test", "tree"];

/// Shell scripts, makefiles, workflows and Python of the project, as paths from its root.
fn scripts() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = FOLDERS.map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of a folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_script = !name.contains('.') || [".py", ".yml"].iter().any(|end| name.ends_with(end));
            if path.is_dir() && !name.starts_with(".aws-sam") && name != "__pycache__" {
                folders.push(path);
            } else if path.is_file() && is_script {
                found.push(path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Commands of a script that take something that is not pinned.
fn loose(path: &str, script: &str) -> Vec<String> {
    let is_python = std::path::Path::new(path).extension().is_some_and(|end| end == "py");
    let joined = script.replace("\\\n", " ");
    let commands = joined.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let is_loose = |line: &&str| {
        let installs = ["pip install", "pip\" install"].iter().any(|it| line.contains(it));
        let resolves =
            RESOLVING.iter().any(|it| line.contains(&format!("cargo {it} ")) || line.ends_with(&format!("cargo {it}")));
        let other = ["npm install", "npx ", "cargo install"].iter().any(|it| line.contains(it));
        let hashed = path == INSTALLER && line.contains("--require-hashes") && line.contains("--only-binary :all:");
        (installs && !hashed) || other || (resolves && !is_python && !line.contains("--locked"))
    };
    commands.filter(is_loose).map(|line| format!("{path}: {line}")).collect()
}

/// Requirements of a pinned file that have no version or no hash.
fn without_hash(pinned: &str) -> Vec<String> {
    let joined = pinned.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.filter(|line| !(line.contains("==") && line.contains("--hash=sha256:"))).map(str::to_owned).collect()
}

/// `name==version` of each requirement, without extras and conditions.
fn versions(requirements: &str) -> BTreeSet<String> {
    let lines = requirements.lines().filter(|line| line.contains("==") && !line.starts_with(['#', ' ']));
    let pins = lines.filter_map(|line| line.split([' ', ';']).next()).filter_map(|pin| pin.split_once("=="));
    pins.map(|(name, version)| format!("{}=={version}", name.split('[').next().unwrap_or_default())).collect()
}

/// Packages of an npm lock file that have no hash.
fn without_integrity(lock: &str) -> Vec<String> {
    let lock: serde_json::Value = serde_json::from_str(lock).expect("JSON");
    let packages = lock["packages"].as_object().expect("packages");
    let without = packages.iter().filter(|(name, package)| !name.is_empty() && package["integrity"].is_null());
    without.map(|(name, _)| name.clone()).collect()
}

/// Files of a folder below `tools` whose names end like this.
fn pins(folder: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(end)).collect()
}

#[test]
fn nobody_gains_8_no_script_installs_what_is_not_pinned() {
    let scripts = scripts();
    assert!(scripts.iter().any(|it| it == INSTALLER) && scripts.iter().any(|it| it == "sam/build/Makefile"));
    let found: Vec<String> = scripts.iter().flat_map(|path| loose(path, &text(path))).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nobody_gains_8_every_package_has_a_hash() {
    let wanted = pins("tools/python", ".in");
    assert!(wanted.len() > 8, "{wanted:?}");
    for name in wanted {
        let pinned = text(&format!("tools/python/{}.txt", name.trim_end_matches(".in")));
        assert_eq!(without_hash(&pinned), [""; 0], "{name}");
        let stale = &versions(&text(&format!("tools/python/{name}"))) - &versions(&pinned);
        assert!(stale.is_empty(), "{name} is newer than its pins, run tools/renew: {stale:?}");
    }
    for name in pins("tools/node", "") {
        assert_eq!(without_integrity(&text(&format!("tools/node/{name}/package-lock.json"))), [""; 0], "{name}");
    }
}

#[test]
fn what_is_not_pinned_is_found() {
    for line in [
        "pip install x",
        "\"$e/bin/pip\" install x",
        "npm install x",
        "x=$(cargo tree --prefix none)",
        "  A=1 cargo build \\\n -q",
    ] {
        assert_eq!(loose(".ci/run", line).len(), 1, "{line}");
    }
    assert_eq!(loose(INSTALLER, "pip install --require-hashes x").len(), 1);
    assert_eq!(loose(".ci/run", "# pip install x\ncargo build \\\n --locked\ncargo fmt --check"), [""; 0]);
    assert_eq!(without_hash("# a\nx==1 \\\n  --hash=sha256:0\ny==2\nz\n"), ["y==2", "z"]);
    assert_eq!(versions("# a==1\nx[y]==2 ; z\n"), ["x==2".to_owned()].into());
    let lock = r#"{"packages": {"": {}, "a": {"integrity": "sha512-x"}, "b": {}}}"#;
    assert_eq!(without_integrity(lock), ["b"]);
}
