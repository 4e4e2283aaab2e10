"""Small boosted regression trees over the plain numbers of a request: kept as JSON, walked in plain Python (ADR 0030).

`penstock.routing.training` grows them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: (index of a number, bound, node to the left, node to the right): left where the number is at most the bound; a leaf
#: has -1 first and its value second
Node = tuple[int, float, int, int]
Tree = tuple[Node, ...]
LEAF = -1


@dataclass(frozen=True, slots=True)
class Forest:
    """Per output where it starts, and the trees that are added to that; `share` is what it counts beside other scores.

    `names` are the numbers that nodes point to; one that a request lacks is 0.
    """

    share: float
    names: tuple[str, ...]
    starts: tuple[float, ...]
    trees: tuple[tuple[Tree, ...], ...]

    def predict(self, numbers: Mapping[str, float]) -> list[float]:
        """One value per output."""
        row = [numbers.get(name, 0.0) for name in self.names]
        return [
            start + sum(_walk(tree, row) for tree in trees)
            for start, trees in zip(self.starts, self.trees, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "share": self.share,
            "names": list(self.names),
            "starts": list(self.starts),
            "trees": [[[list(node) for node in tree] for tree in trees] for trees in self.trees],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Forest":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not one, or a node of it leads nowhere.
        """
        names = tuple(map(str, value["names"]))
        share, starts = float(value["share"]), tuple(map(float, value["starts"]))
        trees = tuple(tuple(_tree(tree, len(names)) for tree in trees) for trees in value["trees"])
        if not 0 <= share <= 1 or not all(map(math.isfinite, starts)) or len(starts) != len(trees):
            raise ValueError("a forest has a share from 0 to 1 and one finite start per output")
        return cls(share, names, starts, trees)


def _walk(tree: Tree, row: Sequence[float]) -> float:
    number, bound, left, right = tree[0]
    while number != LEAF:
        number, bound, left, right = tree[left if row[number] <= bound else right]
    return bound


def _tree(value: Any, numbers: int) -> Tree:
    tree = tuple((int(number), float(bound), int(left), int(right)) for number, bound, left, right in value)
    for place, (number, bound, *both) in enumerate(tree):
        # Both ways lead on, so that every walk ends.
        leads = number == LEAF or (0 <= number < numbers and all(place < other < len(tree) for other in both))
        if not leads or not math.isfinite(bound):
            raise ValueError(f"node {place} of a tree leads nowhere")
    if not tree:
        raise ValueError("a tree has at least one node")
    return tree
