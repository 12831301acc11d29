"""Precision, recall, density and coverage on the features of one extractor, worked out once for four checks."""

from collections.abc import Sequence

import numpy as np

from medsynth.evidence.measurements import Measured
from medsynth.metrics.prdc import PRDC, Manifolds, prdc, prdc_of_distances, squared_distances
from medsynth.metrics.splits import Split


class Neighbourhoods:
    """Precision to coverage of one extractor: worked out once for the four checks that read them."""

    def __init__(self, features: str, pool: Measured, splits: Sequence[Split]) -> None:
        self.features = features
        rows = pool.features[features]
        squared, owners = squared_distances(rows, rows), pool.owners
        found = []
        for first, second in splits:
            parts = [squared[np.ix_(a, b)] for a, b in ((first, second), (first, first), (second, second))]
            found.append(prdc_of_distances(parts[0], parts[1], parts[2], owners[first], owners[second]))
        self.null = found
        self._last: tuple[Measured, Measured, Manifolds] | None = None
        self._certain: tuple[Measured, Measured, PRDC] | None = None

    def of(self, candidate: Measured, reference: Measured) -> Manifolds:
        """The four values."""
        if self._last is None or self._last[0] is not candidate or self._last[1] is not reference:
            fake, real = candidate.features[self.features], reference.features[self.features]
            parts = squared_distances(fake, real), squared_distances(fake, fake), squared_distances(real, real)
            found = prdc_of_distances(*parts, candidate.owners, reference.owners)
            self._last = (candidate, reference, found)
        return self._last[2]

    def certain(self, candidate: Measured, reference: Measured) -> PRDC:
        """The four values with their intervals."""
        if self._certain is None or self._certain[0] is not candidate or self._certain[1] is not reference:
            found = prdc(
                candidate.features[self.features],
                reference.features[self.features],
                synthetic_owners=candidate.owners.tolist(),
                real_owners=reference.owners.tolist(),
            )
            self._certain = (candidate, reference, found)
        return self._certain[2]
