"""Groups of methods between which no difference is established, as letters (a compact letter display)."""

from collections.abc import Collection, Sequence
from itertools import combinations, combinations_with_replacement
from string import ascii_letters

import networkx as nx


def tied_groups(ranked: Sequence[str], apart: Collection[frozenset[str]]) -> dict[str, str]:
    """Letters for every method; two methods share one exactly when they are not told apart.

    A group is a maximal set of methods of which no two are told apart, so a method may be in several; ``a``
    is the group of the highest mean. Redundant groups, whose pairs all share another letter, are left out as
    far as possible.

    Args:
        ranked: Methods that can be tested, the highest mean first.
        apart: The pairs that are told apart.
    """
    graph = nx.Graph()
    graph.add_nodes_from(ranked)
    graph.add_edges_from(pair for pair in combinations(ranked, 2) if frozenset(pair) not in apart)
    cliques = sorted(sorted(ranked.index(name) for name in clique) for clique in nx.find_cliques(graph))
    letters = {name: "" for name in ranked}
    for number, clique in enumerate(_covering(cliques)):
        for rank in clique:
            letters[ranked[rank]] += _letter(number)
    return letters


def _covering(cliques: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Greedily chosen cliques that cover every pair and every single method, in their given order."""
    covers = [set(combinations_with_replacement(clique, 2)) for clique in cliques]
    missing = set[tuple[int, int]]().union(*covers)
    kept = set[int]()
    while missing:
        best = max(range(len(cliques)), key=lambda index: len(covers[index] & missing))
        kept.add(best)
        missing -= covers[best]
    return [cliques[index] for index in sorted(kept)]


def _letter(number: int) -> str:
    """One character per group: ``a`` to ``z``, ``A`` to ``Z``, then other alphabets' letters."""
    return ascii_letters[number] if number < len(ascii_letters) else chr(0x100 + number)
