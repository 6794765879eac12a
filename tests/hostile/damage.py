"""Ways in which a file differs from what a program wrote: bad disks, cut transfers, editors, malice."""

import re

from hypothesis import strategies as st

_TOKEN = re.compile(rb'"[^"\n]*"|[\w.+-]+')
_TOKENS = [
    *(b"", b"-1", b"0", b"1", b"2", b"255", b"65536", b"99999999999999999999", b"1e309", b"-1e-309", b".5"),
    *(b"NaN", b".nan", b"Infinity", b".inf", b"null", b"~", b"true", b'""', b'"x"', b"[]", b"{}", b"[[]]"),
    *(b"../../x", b"/dev/zero", b"\\0", b"\x00", b"\xff", b"\xc3\xa9", b"&a", b"*a", b"!!python/object:x"),
    *(b"<<", b"- -", b":", b",", b"\n", b"\t", b"%", b"'", b"1" * 5000),
]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content after one to three kinds of damage, or other bytes altogether."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from((_flipped, _zeroed, _cut, _repeated, _filled, _replaced)))(
            draw, content
        )
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _flipped(draw: st.DrawFn, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def _zeroed(draw: st.DrawFn, content: bytes) -> bytes:
    begin = _place(draw, content)
    end = min(len(content), begin + draw(st.sampled_from((1, 8, 64, 512, 4096))))
    return content[:begin] + bytes(end - begin) + content[end:]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _repeated(draw: st.DrawFn, content: bytes) -> bytes:
    begin, end = sorted((_place(draw, content), _place(draw, content)))
    return content[:end] + content[begin : min(end, begin + 2000)] + content[end:]


def _filled(draw: st.DrawFn, content: bytes) -> bytes:
    place = _place(draw, content)
    return content[:place] + draw(st.binary(min_size=1, max_size=40)) + content[place:]


def _replaced(draw: st.DrawFn, content: bytes) -> bytes:
    """Replace a token by another one: still text of the same language, with another meaning."""
    words = list(_TOKEN.finditer(content[:20_000]))
    if not words:
        return content
    word = draw(st.sampled_from(words))
    return content[: word.start()] + draw(st.sampled_from(_TOKENS)) + content[word.end() :]
