"""A movable clock for moto and the executables. The tests themselves run in real time."""

import glob
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Clock:
    """Real time plus an offset. The clock sends each of its followers the offset.

    The executables learn it through libfaketime, from a file that it reads on every look at the clock. moto shifts its
    own clock (`follow`): libfaketime makes the waiting of Python's threads so dear that moto becomes twenty times slower.
    """

    def __init__(self, file: Path) -> None:
        found = glob.glob(LIBRARIES)
        if not found:
            raise FileNotFoundError(f"{LIBRARIES}: install libfaketime (Debian: apt-get install faketime)")
        self._library = found[0]
        self._file = file
        self._followers: list[Callable[[timedelta], None]] = []
        self._offset = timedelta()
        self.reset()

    def now(self) -> datetime:
        """Returns the time that moto and the executables see."""
        return datetime.now(UTC) + self._offset

    def reset(self) -> None:
        """Returns to real time."""
        self._set(timedelta())

    def move_to(self, moment: datetime) -> None:
        """Moves to a moment, in whole seconds, never to an earlier one."""
        ahead = (moment - datetime.now(UTC)).total_seconds()
        self._set(timedelta(seconds=int(ahead) + 1))

    def advance(self, **duration: float) -> None:
        """Moves ahead by days, hours, …"""
        self._set(self._offset + timedelta(**duration))

    def lead_followers(self, **duration: float) -> None:
        """Sets the executables' clock ahead of moto's, until the next move."""
        self._write(self._offset + timedelta(**duration))

    def follow(self, follower: Callable[[timedelta], None]) -> None:
        """Sends a follower the offset, now and whenever it changes."""
        self._followers.append(follower)
        follower(self._offset)

    def environment(self) -> dict[str, str]:
        """Returns the variables that start an executable in this time."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Without this, libfaketime notices a change of the file ten seconds late.
            "FAKETIME_NO_CACHE": "1",
            # A jump of months between two events must not fire a process's timers and time limits.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def release(self, process_id: int) -> None:
        """Removes the files that libfaketime leaves behind if a signal ended its process."""
        for left in ("faketime_shm", "sem.faketime_sem"):
            Path(f"/dev/shm/{left}_{process_id}").unlink(missing_ok=True)

    def _set(self, offset: timedelta) -> None:
        self._offset = offset
        self._write(offset)
        for follower in self._followers:
            follower(offset)

    def _write(self, offset: timedelta) -> None:
        # Replaced atomically, because a process may read the file at any moment.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{int(offset.total_seconds()):+d}\n")
        os.replace(fresh, self._file)
