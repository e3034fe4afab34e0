"""Writes what ships in the functions as a CycloneDX document: every crate of the Lambda build, on standard output.

usage: sbom.py ARCHITECTURE [COMMIT]                 in .tools/sbom; ARCHITECTURE is arm64 or x86_64
       sbom.py --named-by DOCUMENT EXECUTABLE…       fails if an executable names a crate that the document lacks

The crates are those of `cargo tree`: `cargo metadata`, which other tools read, adds the features that only tests and
the command line need, and so crates that do not ship. The same commit gives the same bytes: there is no time in the
document, and its serial number is made of its content.
"""

import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

PROJECT = Path(__file__).resolve().parent.parent.parent
TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>[^\s|]+)[^|]*\|(?P<licence>[^|]*)\|(?P<source>[^|]*)")

Crate = tuple[str, str]


def tree(target: str, edges: str) -> list[re.Match[str]]:
    command = ["cargo", "tree", "--locked", "--no-default-features", "--target", target, "--edges", edges]
    command += ["--prefix", "depth", "--format", "{p}|{l}|{r}|"]
    lines = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [LINE.match(line) or sys.exit(f"cargo tree printed: {line}") for line in lines]


def crate(line: re.Match[str]) -> Crate:
    return line["name"], line["version"]


def edges(lines: list[re.Match[str]]) -> set[tuple[Crate, Crate]]:
    """Each crate with one that it needs. A subtree is printed once, where its crate is printed first."""
    found, path = set(), []
    for line in lines:
        depth = int(line["depth"])
        path[depth:] = [crate(line)]
        if depth:
            found.add((path[depth - 1], path[depth]))
    return found


def checksums() -> dict[Crate, str]:
    packages = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum", "") for package in packages}


def component(line: re.Match[str], checksum: str, runs: bool) -> Component:
    purl = PackageURL("cargo", None, *crate(line))
    source = [ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(line["source"]))] if line["source"] else []
    return Component(
        type=ComponentType.LIBRARY,
        name=line["name"],
        version=line["version"],
        bom_ref=str(purl),
        purl=purl,
        # A macro runs while the functions are compiled and is not in them; the code that it writes is.
        scope=ComponentScope.REQUIRED if runs else ComponentScope.EXCLUDED,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
        # Old crates write `MIT/Apache-2.0`.
        licenses=[LicenseFactory().make_from_string(line["licence"].replace("/", " OR "))] if line["licence"] else [],
        external_references=source,
    )


def tools() -> ToolRepository:
    """The compilers, whose runtime libraries are in the executables, too."""
    rust = tomllib.loads((PROJECT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    pinned = re.findall(r"^([\w-]+)==(\S+)", (PROJECT / "tools/python/cargo-lambda.in").read_text(), re.MULTILINE)
    named = [("rust", rust), *pinned]
    return ToolRepository(
        components=[Component(type=ComponentType.APPLICATION, name=name, version=version) for name, version in named]
    )


def bill(architecture: str, commit: str = "unknown") -> Bom:
    target, sums = TARGETS[architecture], checksums()
    lines = tree(target, "normal")
    running = {crate(line) for line in tree(target, "normal,no-proc-macro")}
    found = {crate(line): component(line, sums[crate(line)], crate(line) in running) for line in lines}
    bom = Bom(components=found.values())
    # The first line is keywheel itself: what the document is about, and no part of it.
    root = found[crate(lines[0])]
    bom.components.remove(root)
    root.type, root.scope, root.purl = ComponentType.APPLICATION, None, None
    bom.metadata.component, bom.metadata.timestamp, bom.metadata.tools = root, None, tools()
    bom.metadata.properties = [Property(name="keywheel:target", value=target)]
    bom.metadata.properties.add(Property(name="keywheel:commit", value=commit))
    needs = edges(lines)
    for one in found:
        bom.register_dependency(found[one], [found[other] for parent, other in needs if parent == one])
    return bom


def write(bom: Bom) -> str:
    bom.serial_number = uuid.UUID(int=0)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def named_by(executable: Path) -> set[str]:
    """The crates in the paths that messages of panics name."""
    return {name.decode() for name in re.findall(rb"/cargo/registry/src/[^/]+/([\w.+-]+)/", executable.read_bytes())}


def compare(document: Path, executables: list[Path]) -> None:
    listed = {f"{one['name']}-{one['version']}" for one in json.loads(document.read_text())["components"]}
    for executable in executables:
        named = named_by(executable)
        if not named or named - listed:
            sys.exit(f"{executable} names {sorted(named - listed) or 'no crate'}, which {document} lacks")
        print(f"{executable}: names {len(named)} of {len(listed)} crates, and no other")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--named-by"] and len(arguments) > 2:
        compare(Path(arguments[1]), [Path(argument) for argument in arguments[2:]])
    elif len(arguments) in (1, 2) and arguments[0] in TARGETS:
        sys.stdout.write(write(bill(arguments[0], *arguments[1:])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
