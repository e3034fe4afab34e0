"""Plants one violation after another that the checks of the supply chain have to find.

usage: planted.py CARGO_DENY [AUDIT …]    with AUDIT the command that is run on a lock file
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# Each violation: the crates beside the root, the root's dependencies on them, and the finding that must be reported.
CRATES = {
    "nothing": ([("fine", "1.0.0", "MIT")], ['fine = { path = "fine-1.0.0", version = "1" }'], None),
    "a licence": (
        [("copied", "1.0.0", "GPL-3.0-only")],
        ['copied = { path = "copied-1.0.0", version = "1" }'],
        "error[rejected]",
    ),
    "no licence": ([("bare", "1.0.0", None)], ['bare = { path = "bare-1.0.0", version = "1" }'], "error[unlicensed]"),
    "a banned crate": (
        [("openssl", "0.10.60", "MIT")],
        ['openssl = { path = "openssl-0.10.60", version = "0.10" }'],
        "error[banned]",
    ),
    "the old TLS stack": (
        [("rustls", "0.21.12", "MIT")],
        ['rustls = { path = "rustls-0.21.12", version = "0.21" }'],
        "error[banned]",
    ),
    "any version": (
        [("fine", "1.0.0", "MIT")],
        ['fine = { path = "fine-1.0.0", version = "*" }'],
        "error[wildcard]",
    ),
    "two versions": (
        [("twice", "1.0.0", "MIT"), ("twice", "2.0.0", "MIT")],
        [
            'one = { package = "twice", path = "twice-1.0.0", version = "1" }',
            'two = { package = "twice", path = "twice-2.0.0", version = "2" }',
        ],
        "error[duplicate]",
    ),
    "another source": (
        [("elsewhere", "1.0.0", "MIT")],
        ['elsewhere = { git = "file://{folder}/elsewhere-1.0.0", version = "1" }'],
        "error[source-not-allowed]",
    ),
}

# One of each kind of advisory.
ADVISORIES = {
    "a vulnerability": ("rustls-webpki", "0.101.7", "RUSTSEC-2026-0104"),
    "an unmaintained crate": ("number_prefix", "0.4.0", "RUSTSEC-2025-0119"),
    "an unsound crate": ("glib", "0.18.5", "RUSTSEC-2024-0429"),
    "a notice": ("inconceivable", "0.9.0", "RUSTSEC-2022-0058"),
}


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def expect(what, wanted, code, output):
    """Expects a failure whose output has `wanted`, or success if `wanted` is None."""
    if wanted is None:
        found = code == 0
    else:
        found = code != 0 and wanted in output
    if not found:
        sys.exit(f"planted {what}: expected {wanted or 'no complaint'}, got exit code {code}:\n{output}")
    print(f"planted {what}: {wanted or 'no complaint'}")


def write_crate(folder, name, version, licence, dependencies=()):
    (folder / "src").mkdir(parents=True)
    (folder / "src/lib.rs").write_text("")
    lines = ["[package]", f'name = "{name}"', f'version = "{version}"', 'edition = "2024"']
    if licence:
        lines.append(f'license = "{licence}"')
    # Its own workspace, so that no workspace above the folder includes it.
    lines += ["[dependencies]", *dependencies]
    (folder / "Cargo.toml").write_text("\n".join(lines) + "\n")


def git_repository(folder):
    git = ["git", "-c", "user.name=planted", "-c", "user.email=planted@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "planted"]):
        subprocess.run([*git, *command], cwd=folder, check=True)


def plant_crates(cargo_deny, crates, dependencies, folder):
    for name, version, licence in crates:
        crate = folder / f"{name}-{version}"
        write_crate(crate, name, version, licence)
        if any("git = " in line for line in dependencies):
            git_repository(crate)
    root = folder / "root"
    write_crate(root, "root", "1.0.0", "MIT-0", [line.replace("{folder}", str(folder)) for line in dependencies])
    manifest = root / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace('path = "', 'path = "../'))
    # The planted tree lacks crates for which deny.toml has entries; their warnings do not matter here.
    silent = ["--allow=license-not-encountered", "--allow=unmatched-skip", "--allow=unnecessary-skip"]
    command = [cargo_deny, "--config", PROJECT / "deny.toml", "check", *silent, "bans", "licenses", "sources"]
    return run(command, root)


def plant_advisory(audit, name, version, folder):
    """Checks the project's own lock file with one more crate."""
    lock = folder / "Cargo.lock"
    source = 'source = "registry+https://github.com/rust-lang/crates.io-index"'
    entry = f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n{source}\n'
    lock.write_text((PROJECT / "Cargo.lock").read_text() + entry)
    return run([*audit, lock], folder)


def plant_unsafe(folder):
    """Checks a crate with this package's lints and an unsafe block, which they forbid even under an `allow`."""
    write_crate(folder, "planted", "1.0.0", "MIT-0")
    lints = PROJECT.joinpath("Cargo.toml").read_text().partition("\n[lints.rust]")
    manifest = folder / "Cargo.toml"
    manifest.write_text(manifest.read_text() + "".join(lints[1:]))
    (folder / "src/lib.rs").write_text(
        "//! Planted.\n#[allow(unsafe_code)]\n/// Planted.\npub fn planted() { unsafe { std::hint::unreachable_unchecked() } }\n"
    )
    return run(["cargo", "check", "--quiet", "--target-dir", folder / "target"], folder)


def main(cargo_deny, *audit):
    with tempfile.TemporaryDirectory() as temporary:
        folders = (Path(temporary) / str(number) for number in range(100))
        for what, (crates, dependencies, wanted) in CRATES.items():
            expect(what, wanted, *plant_crates(cargo_deny, crates, dependencies, next(folders)))
        expect("unsafe code", "error[E0453]", *plant_unsafe(next(folders)))
        for what, (name, version, wanted) in ADVISORIES.items() if audit else ():
            folder = next(folders)
            folder.mkdir()
            expect(what, wanted, *plant_advisory(audit, name, version, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
