"""Unpacking archives: nothing outside the folder, nothing half-written, nothing unbounded."""

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Self, cast

from icsd.datasets.members import UNPACKED, check_inside, check_link, member_path, name_in_zip
from icsd.errors import UserError
from icsd.files import check_disk_space, folder_written_whole

Wanted = Callable[[str], bool]

FETCH_AGAIN = (
    "Replace it where data.source (or ICSD_DATASETS) says that it is, and run `dvc repro -f -s download`: "
    "without -f, DVC brings its own copy of the old file back"
)
"""Advice about a bad file that DVC has already stored."""

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
_MAX_PADDING = 64  # MiB
_ENCRYPTED = 1  # a flag of zip's members
_CODECS: dict[bytes, type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


def is_archive_name(name: str) -> bool:
    """Whether the name ends like one of the archives that can be unpacked."""
    return name.lower().endswith(_SUFFIXES)


def without_suffix(name: str) -> str:
    """An archive's name without its suffix: ``x`` for ``x.tar.gz``."""
    suffix = max((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(suffix)]


def is_archive(path: Path) -> bool:
    """Whether the file begins like an archive that can be unpacked, whatever its name."""
    try:
        return _is_zip(path) or tarfile.is_tarfile(path)
    except (EOFError, OSError, zlib.error, lzma.LZMAError):
        return False


def unpack(
    archive: Path, folder: Path, *, wanted: Wanted, max_members: int = 1_000_000, max_bytes: int = 1 << 37
) -> int:
    """Unpacks the wanted members of a tar (.gz, .bz2, .xz) or zip into ``folder``, which appears in one step.

    Names with backslashes, as some tools for Windows write them, are paths like any other.

    Returns the number of files.

    Raises:
        UserError: the archive is damaged or truncated; a member points outside, is a device, or is wanted and
            a link; there are more members or bytes than allowed, or than fit on the disk; or none is wanted.
    """
    with folder_written_whole(folder) as unfinished, _damage_reported(archive, FETCH_AGAIN):
        check_disk_space(unfinished, _least_bytes(archive, wanted))
        num_files = 0
        for name, size, opened in _wanted_members(archive, wanted, max_members, max_bytes):
            check_disk_space(unfinished, size)
            _write_member(opened, unfinished / name, size)
            num_files += 1
        if not num_files:
            raise UserError(f"{archive.name} holds no file of this dataset; is it the right archive?")
    return num_files


def verify(
    archive: Path, *, wanted: Wanted, max_members: int = 1_000_000, max_bytes: int = 1 << 37
) -> list[str]:
    """Reads an archive from beginning to end, as ``unpack`` would, and returns the names of all its files.

    Raises:
        UserError: as ``unpack``, except that an archive without any wanted member is fine.
    """
    names: list[str] = []

    def noted(name: str) -> bool:
        names.append(name)
        return wanted(name)

    with _damage_reported(archive, "Get it again from where it came from"):
        for _, size, opened in _wanted_members(archive, noted, max_members, max_bytes):
            _check_member(opened, size)
    return names


def member_names(archive: Path) -> Generator[str]:
    """Yields the names of the files in an archive, so that a caller can stop before its end."""
    with (
        _damage_reported(archive, "Get it again from where it came from"),
        closing(_members(archive)) as members,
    ):
        for name, _, is_file, _ in members:
            if is_file:
                yield name


_Member = tuple[str, int, bool, Callable[[], IO[bytes]]]  # name, bytes, whether a plain file, how to read it


def _members(archive: Path) -> Generator[_Member]:
    return _zip_members(archive) if _is_zip(archive) else _tar_members(archive)


def _wanted_members(
    archive: Path, wanted: Wanted, max_members: int, max_bytes: int
) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    with closing(_members(archive)) as members:
        for name, size, is_file, opened in _bounded(members, archive.name, max_members, max_bytes):
            check_inside(name, archive)
            if not wanted(name):
                continue
            if not is_file:
                raise UserError(
                    f"{archive.name}: {name} is a link or a folder, not a file: refused. Pack the files that "
                    f"links stand for (`tar --dereference --hard-dereference`), or {UNPACKED}"
                )
            yield name, size, opened


@contextmanager
def _damage_reported(archive: Path, advice: str) -> Iterator[None]:
    """Turns the many exceptions of a bad archive into one UserError."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except FileExistsError as error:
        raise UserError(
            f"{archive.name} holds {Path(str(error.filename)).name} twice: refused. Keep one of them, or "
            f"{UNPACKED}"
        ) from error
    except NotImplementedError as error:
        raise UserError(
            f"{archive.name} is packed in a way that cannot be read here ({error}): {UNPACKED}"
        ) from error
    except Exception as error:  # tarfile and zipfile raise many kinds for bad archives
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the archive's
            full = ": the disk is full, free some space" if error.errno == errno.ENOSPC else ""
            raise UserError(f"Cannot read or unpack {archive.name}: {error}{full}") from error
        raise UserError(
            f"{archive.name} is damaged or incomplete ({error or type(error).__name__}). {advice}."
        ) from error


def _bounded(
    members: Iterable[_Member], archive_name: str, max_members: int, max_bytes: int
) -> Iterator[_Member]:
    num_bytes = 0
    for number, member in enumerate(members, start=1):
        if member[1] < 0:
            raise tarfile.ReadError(f"{member[0]} has a negative size")
        num_bytes += member[1]
        if number > max_members or num_bytes > max_bytes:
            raise UserError(
                f"{archive_name} unpacks to more than {max_members:,} members or {max_bytes:,} bytes: refused"
            )
        yield member


def _least_bytes(archive: Path, wanted: Wanted) -> int:
    """Lower bound of the unpacked bytes: exact for zip and tar, 0 (unknown) for a compressed tar."""
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as zipped:
            return sum(info.file_size for info in zipped.infolist() if wanted(member_path(name_in_zip(info))))
    if _codec(archive):
        return 0
    with tarfile.open(archive, "r:") as plain:  # which skips from header to header
        return sum(info.size for info in plain if info.isfile() and wanted(member_path(info.name)))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _zip_members(path: Path) -> Generator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise NotImplementedError(f"{info.filename} is encrypted")
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                check_link(info.filename, archive.read(info).decode() if info.file_size < 4096 else "/", path)
            name = member_path(name_in_zip(info))
            is_file = not name.endswith("/") and not stat.S_ISLNK(mode)
            yield name.rstrip("/"), info.file_size, is_file, partial(archive.open, info)


class _StrictMember(tarfile.TarInfo):
    """Raises for a missing or unreadable header, which tarfile takes for the regular end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf) or len(buf) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError(str(error)) from error
            raise  # a block of zeros, which ends every complete tar


def _tar_members(path: Path) -> Generator[_Member]:
    with _decompressed(path) as raw, tarfile.open(fileobj=raw, mode="r:", tarinfo=_StrictMember) as archive:
        for info in archive:
            if info.issym():
                check_link(info.name, info.linkname, path)
            elif info.islnk():
                check_inside(info.linkname, path)
            elif not (info.isfile() or info.isdir()):
                raise UserError(f"{path.name}: {info.name} is a device or a pipe: refused")
            yield member_path(info.name), info.size, info.isfile(), partial(_open_member, archive, info)
        _read_to_the_end(raw)


def _read_to_the_end(raw: IO[bytes]) -> None:
    """Reads past the tar's padding: the checksum of compressed data comes after it."""
    for _ in range(_MAX_PADDING):
        if not raw.read(1 << 20):
            return
    raise tarfile.ReadError("there is data after its end")


def _open_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None  # it is for plain files
    return stream


def _codec(path: Path) -> type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile] | None:
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((codec for magic, codec in _CODECS.items() if start.startswith(magic)), None)


def _decompressed(path: Path) -> IO[bytes]:
    codec = _codec(path)
    return cast("IO[bytes]", codec(path)) if codec else path.open("rb")


def _write_member(opened: Callable[[], IO[bytes]], target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened() as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    if target.stat().st_size != size:
        raise EOFError(f"{target.name} is cut off")


def _check_member(opened: Callable[[], IO[bytes]], size: int) -> None:
    """Reads a member to its end, where its checksum is."""
    num_bytes = 0
    with opened() as reader:
        while piece := reader.read(1 << 20):
            num_bytes += len(piece)
    if num_bytes != size:
        raise EOFError("a member is cut off")
