"""Zips the folder of a function: the same files give the same bytes, on any machine.

usage: package.py FOLDER ZIP        writes ZIP, and prints its digests
       package.py --digests ZIP…    prints the digests of any zip and of the files in it

Files are sorted and dated 1980, and not compressed, because compressed bytes depend on the version of zlib.
"""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

# The files that AWS Signer adds to a zip that it signs.
SIGNATURE = "META-INF/"


def write(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            item = zipfile.ZipInfo(path.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            item.create_system = 3  # Unix, whose permissions follow
            item.external_attr = (0o100755 if path.name == "bootstrap" else 0o100644) << 16
            archive.writestr(item, path.read_bytes())


def digests(target: Path) -> list[str]:
    """Of the zip in hexadecimal, then as Lambda prints it (CodeSha256); then of each file in it."""
    digest = hashlib.sha256(target.read_bytes())
    lines = [f"{digest.hexdigest()}  {target.name}  CodeSha256 {base64.b64encode(digest.digest()).decode()}"]
    with zipfile.ZipFile(target) as archive:
        for name in sorted(name for name in archive.namelist() if not name.endswith("/")):
            note = "  (signature)" if name.startswith(SIGNATURE) else ""
            lines.append(f"{hashlib.sha256(archive.read(name)).hexdigest()}    {name}{note}")
    return lines


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--digests"] and len(arguments) > 1:
        zips = [Path(argument) for argument in arguments[1:]]
    elif len(arguments) == 2:
        write(Path(arguments[0]), Path(arguments[1]))
        zips = [Path(arguments[1])]
    else:
        sys.exit(__doc__)
    for target in zips:
        print(*digests(target), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
