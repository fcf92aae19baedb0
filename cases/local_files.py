"""Files as paths of this machine, for libraries that read nothing else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.files import File

COPIED_AT_ONCE = 4 * 1024 * 1024


@contextmanager
def local_path(file: File, suffix: str = "") -> Iterator[Path]:
    """A file as a path, alone in a folder: readers of slides in several files look around there.

    A file that lies on this machine, as an upload on disk or in local storage, is linked and not copied.
    It is left open or closed as it was.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, f"smear{suffix}")
        if own := _own_path(file):
            path.symlink_to(own)
        else:
            _copy(file, path)
        yield path


def _copy(file: File, path: Path) -> None:
    was_closed = file.closed
    file.seek(0)
    with path.open("wb") as copy:
        shutil.copyfileobj(file, copy, COPIED_AT_ONCE)
    if was_closed:
        # A fetched file may be held in memory for as long as it is open.
        file.close()


def _own_path(file: File) -> Path | None:
    try:
        place = file.temporary_file_path() if hasattr(file, "temporary_file_path") else file.path  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):
        # In memory, or in a storage that is not a folder.
        return None
    return Path(place).resolve() if Path(place).is_file() else None
