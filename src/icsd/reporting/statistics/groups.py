"""Groups of methods that no test tells apart, as letters (a compact letter display)."""

from collections.abc import Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from string import ascii_letters

import networkx as nx
import numpy as np

from icsd.reporting.statistics.estimates import holm, paired_p

LEVEL = 0.05


def tied_groups(scores: Mapping[str, Mapping[int, float]], *, level: float = LEVEL) -> dict[str, str]:
    """Letters for every method; two methods that share one are not told apart.

    Every pair of methods is tested (paired t-test over the seeds that both have) and the p-values are
    corrected for the number of pairs (Holm). A group is a largest set of methods of which no two differ
    significantly, so a method may be in several; ``a`` is the group of the highest mean. Groups that say
    nothing new, since each of their pairs shares another letter, are left out as far as possible.

    Args:
        scores: Method -> seed -> score.
        level: Of the corrected p below which two methods differ.

    Returns:
        Method -> letters, for methods of at least two seeds; one training cannot be tested.
    """
    means = {name: float(np.mean(list(own.values()))) for name, own in scores.items() if len(own) > 1}
    ranked = sorted(means, key=lambda name: -means[name])
    pairs = list(combinations(ranked, 2))
    corrected = holm([paired_p(_differences(scores[one], scores[two])) for one, two in pairs])
    graph = nx.Graph()
    graph.add_nodes_from(ranked)
    graph.add_edges_from(pair for pair, p in zip(pairs, corrected, strict=True) if p is None or p >= level)
    cliques = sorted(sorted(ranked.index(name) for name in clique) for clique in nx.find_cliques(graph))
    letters = {name: "" for name in ranked}
    for number, clique in enumerate(_covering(cliques)):
        for rank in clique:
            letters[ranked[rank]] += _letter(number)
    return letters


def _covering(cliques: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Cliques that cover every pair (and every single one), the greediest first; in their given order."""
    covers = [set(combinations_with_replacement(clique, 2)) for clique in cliques]
    missing = set[tuple[int, int]]().union(*covers)
    kept = set[int]()
    while missing:
        best = max(range(len(cliques)), key=lambda index: len(covers[index] & missing))
        kept.add(best)
        missing -= covers[best]
    return [cliques[index] for index in sorted(kept)]


def _differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Sequence[float]:
    return [score - theirs[seed] for seed, score in ours.items() if seed in theirs]


def _letter(number: int) -> str:
    """One character per group: ``a`` to ``z``, ``A`` to ``Z``, then other alphabets' letters."""
    return ascii_letters[number] if number < len(ascii_letters) else chr(0x100 + number)
