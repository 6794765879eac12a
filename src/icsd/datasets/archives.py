"""Packing and unpacking: nothing outside the folder, nothing half-written, nothing unbounded."""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from icsd.errors import UserError
from icsd.files import check_disk_space, folder_written_whole

Wanted = Callable[[str], bool]

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
_CODECS: dict[bytes, type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_DAMAGE = (
    EOFError,
    OSError,
    RuntimeError,  # zipfile: encrypted, or compressed in an unknown way
    UnicodeError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_archive_name(name: str) -> bool:
    """Whether the name ends like one of the archives that can be unpacked."""
    return name.lower().endswith(_SUFFIXES)


def is_archive(path: Path) -> bool:
    """Whether the file begins like an archive that can be unpacked, whatever its name."""
    try:
        return _is_zip(path) or tarfile.is_tarfile(path)
    except (EOFError, OSError, zlib.error, lzma.LZMAError):
        return False


def pack(folder: Path, target: Path, *, wanted: Wanted) -> None:
    """Packs the wanted files below ``folder`` into a tar; its bytes depend on names and contents alone."""
    members = dict(sorted(_walk(folder, wanted)))
    if not members:
        raise UserError(
            f"The folder {folder.name} (data.source) holds no file of this dataset; is it the right one?"
        )
    check_disk_space(target.parent, sum(path.stat().st_size for path in members.values()))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in members.items():
            member = tarfile.TarInfo(name)  # dates and owners stay at zero
            member.size = path.stat().st_size
            with path.open("rb") as stream:
                archive.addfile(member, stream)


def unpack(
    archive: Path, folder: Path, *, wanted: Wanted, max_members: int = 1_000_000, max_bytes: int = 1 << 37
) -> int:
    """Unpacks the wanted members of a tar (.gz, .bz2, .xz) or zip into ``folder``, which appears in one step.

    Returns the number of files.

    Raises:
        UserError: damaged or truncated; a member that points outside, is a device, or is a wanted link; more
            members or bytes than allowed; no wanted member at all.
    """
    with folder_written_whole(folder) as unfinished, _damage_reported(archive):
        num_files = 0
        with closing(_zip_members(archive) if _is_zip(archive) else _tar_members(archive)) as members:
            for name, size, is_file, opened in _bounded(members, archive.name, max_members, max_bytes):
                _check_inside(name, archive)
                if not wanted(name):
                    continue
                if not is_file:
                    raise UserError(f"{archive.name}: {name} is a link or a folder, not a file: refused")
                _write_member(opened, unfinished / name, size)
                num_files += 1
        if not num_files:
            raise UserError(f"{archive.name} holds no file of this dataset; is it the right archive?")
    return num_files


_Member = tuple[str, int, bool, Callable[[], IO[bytes]]]  # name, bytes, whether a plain file, how to read it


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    """The many exceptions of a bad archive as one UserError."""
    try:
        yield
    except FileExistsError as error:
        raise UserError(f"{archive.name} holds {Path(str(error.filename)).name} twice: refused") from error
    except _DAMAGE as error:
        if getattr(error, "errno", None):  # the disk's fault, not the archive's
            raise UserError(f"Cannot unpack {archive.name}: {error}") from error
        raise UserError(
            f"{archive.name} is damaged or incomplete ({error}): delete it and download it again"
        ) from error


def _bounded(
    members: Iterable[_Member], archive_name: str, max_members: int, max_bytes: int
) -> Iterator[_Member]:
    num_bytes = 0
    for number, member in enumerate(members, start=1):
        num_bytes += member[1]
        if number > max_members or num_bytes > max_bytes:
            raise UserError(
                f"{archive_name} unpacks to more than {max_members:,} members or {max_bytes:,} bytes: refused"
            )
        yield member


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _zip_members(path: Path) -> Generator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                _check_link(
                    info.filename, archive.read(info).decode() if info.file_size < 4096 else "/", path
                )
            is_file = not info.is_dir() and not stat.S_ISLNK(mode)
            yield info.filename.rstrip("/"), info.file_size, is_file, partial(archive.open, info)


class _StrictMember(tarfile.TarInfo):
    """tarfile takes a missing or unreadable header for a good end of the archive; this class does not."""

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
                _check_link(info.name, info.linkname, path)
            elif info.islnk():
                _check_inside(info.linkname, path)
            elif not (info.isfile() or info.isdir()):
                raise UserError(f"{path.name}: {info.name} is a device or a pipe: refused")
            yield info.name, info.size, info.isfile(), partial(_open_member, archive, info)


def _open_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None  # it is for plain files
    return stream


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(8)
    for magic, codec in _CODECS.items():
        if start.startswith(magic):
            return cast("IO[bytes]", codec(path))
    return path.open("rb")


def _write_member(opened: Callable[[], IO[bytes]], target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened() as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    if target.stat().st_size != size:
        raise EOFError(f"{target.name} is cut off")


def _check_inside(name: str, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":  # C:\ is absolute on Windows
        raise UserError(f"{archive.name}: member {name!r} points outside the folder: refused")


def _check_link(name: str, destination: str, archive: Path) -> None:
    """A symbolic link may stay inside; its destination counts from the folder the link is in."""
    _check_inside(name, archive)
    inside = os.path.normpath(f"{PurePosixPath(name).parent}/{destination}")
    if destination.startswith(("/", "\\")) or inside.startswith(".."):
        raise UserError(f"{archive.name}: link {name!r} points outside the folder: refused")


def _walk(folder: Path, wanted: Wanted) -> Iterator[tuple[str, Path]]:
    """Names and paths of the wanted files; linked folders are followed, each real folder once."""
    seen: set[Path] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        for file in files:
            name = (here / file).relative_to(folder).as_posix()
            if wanted(name):
                yield name, here / file
