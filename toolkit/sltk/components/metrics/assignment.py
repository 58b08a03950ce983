"""The best one-to-one pairing of a sparse bipartite graph, exactly.

Shortest augmenting paths with potentials (Kuhn 1955; Edmonds and Karp 1972). Weights are whole numbers of any size, so
that one number can order pairings by several criteria without rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush


def best_assignment(edges: Sequence[Mapping[int, int]], columns: int) -> dict[int, int]:
    """The pairs of rows and columns with the largest sum of weights; a row or a column may stay alone.

    Args:
        edges: the weight of each pair, by row and column; weights are positive.
        columns: the number of columns.
    """
    # A column of its own, without weight, lets each row stay alone.
    costs = [
        {**{column: -weight for column, weight in row.items()}, columns + index: 0}
        for index, row in enumerate(edges)
    ]
    search = _Search(costs)
    for row in range(len(costs)):
        search.augment(row)
    return {row: column for row, column in search.column_of.items() if column < columns}


class _Search:
    """Rows assigned one after the other, at the lowest cost of all rows so far."""

    def __init__(self, costs: list[dict[int, int]]) -> None:
        self._costs = costs
        self.column_of: dict[int, int] = {}
        self._row_of: dict[int, int] = {}
        self._row_price = [min(row.values()) for row in costs]
        self._column_price: dict[int, int] = {}

    def augment(self, row: int) -> None:
        """Assign one more row along the cheapest path to a free column."""
        distances, via, end, length = self._shortest_path(row)
        self._row_price[row] += length
        for column, distance in distances.items():
            if column != end:
                self._column_price[column] = self._column_price.get(column, 0) - (length - distance)
                self._row_price[self._row_of[column]] += length - distance
        free, holder = end, via[end]
        while holder != row:
            before = self.column_of[holder]
            self._assign(holder, free)
            free, holder = before, via[before]
        self._assign(row, free)

    def _assign(self, row: int, column: int) -> None:
        self.column_of[row], self._row_of[column] = column, row

    def _shortest_path(self, row: int) -> tuple[dict[int, int], dict[int, int], int, int]:
        """Distances of the columns settled, the row before each column, the free column and its distance."""
        settled: dict[int, int] = {}
        best: dict[int, int] = {}
        via: dict[int, int] = {}
        heap: list[tuple[int, int]] = []
        distance = 0
        while True:
            for column, cost in self._costs[row].items():
                through = distance + cost - self._row_price[row] - self._column_price.get(column, 0)
                if column not in settled and (column not in best or through < best[column]):
                    best[column], via[column] = through, row
                    heappush(heap, (through, column))
            distance, column = heappop(heap)
            while column in settled:
                distance, column = heappop(heap)
            settled[column] = distance
            if column not in self._row_of:
                return settled, via, column, distance
            row = self._row_of[column]
