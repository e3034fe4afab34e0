"""Checks the list of what ships (sam/build/sbom.py): valid by CycloneDX's schema, the same bytes each time, and exactly
the crates of `cargo tree`, each with its licence and its checksum. Then plants errors, which have to be found.

usage: sbom.py      in .tools/sbom
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT = Path(__file__).resolve().parent.parent
TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}


def written(architecture):
    command = [sys.executable, PROJECT / "sam/build/sbom.py", architecture, "checked"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(target):
    """What ships, as `cargo tree` prints it, without keywheel itself."""
    command = ["cargo", "tree", "--locked", "--no-default-features", "--edges", "normal", "--target", target]
    command += ["--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {tuple(line.split()[:2]) for line in lines} - {tuple(lines[0].split()[:2])}


def unreached(document):
    """Components to which no dependency leads from keywheel."""
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    waiting, reached = [document["metadata"]["component"]["bom-ref"]], set()
    while waiting:
        if (one := waiting.pop()) not in reached:
            reached.add(one)
            waiting += needs.get(one, [])
    return {component["bom-ref"] for component in document["components"]} - reached


def problems(document, wanted):
    found = []
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)):
        found.append(f"schema: {error}")
    components = document["components"]
    listed = {(component["name"], f"v{component['version']}") for component in components}
    found += [f"not listed: {name} {version}" for name, version in sorted(wanted - listed)]
    found += [f"does not ship: {name} {version}" for name, version in sorted(listed - wanted)]
    for component in components:
        lacking = [field for field in ("licenses", "hashes", "purl") if not component.get(field)]
        found += [f"{component['name']} has no {field}" for field in lacking]
    found += [f"not reached: {reference}" for reference in sorted(unreached(document))]
    return found


PLANTED = {
    "not listed: ": lambda document: document["components"].pop(),
    "does not ship: clap ": lambda document: document["components"].append(
        {"type": "library", "name": "clap", "version": "4.6.7", "bom-ref": "clap"}
    ),
    "schema: ": lambda document: document["components"][0].update(type="crate"),
    " has no hashes": lambda document: document["components"][0].pop("hashes"),
    " has no licenses": lambda document: document["components"][0].pop("licenses"),
    "not reached: ": lambda document: document["dependencies"].clear(),
}


def main():
    for architecture, target in TARGETS.items():
        text, wanted = written(architecture), crates(target)
        if written(architecture) != text:
            sys.exit(f"{architecture}: two runs give different bytes")
        document = json.loads(text)
        if found := problems(document, wanted):
            sys.exit("\n".join([f"{architecture}:", *found]))
        print(f"{architecture}: {len(wanted)} crates, valid CycloneDX {document['specVersion']}")
    for finding, plant in PLANTED.items():
        broken = copy.deepcopy(document)
        plant(broken)
        if not any(finding in problem for problem in problems(broken, wanted)):
            sys.exit(f"planted, not found: {finding}")
        print(f"planted: {finding.strip()}")


if __name__ == "__main__":
    main()
