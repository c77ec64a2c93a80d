"""Maps of random values, without a model."""

import numpy as np

from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result.horizon_map import HorizonMap

T, L = 12, 3
FLOOR = 0.3


def empty(n_tokens=T, **options):
    query = Query(tuple(position % 3 for position in range(n_tokens)), **options)
    tokens = [Token(token_id, [" a", " b", " c"][token_id]) for token_id in query.token_ids]
    return HorizonMap.empty(query, tokens, n_layers=L, attrs={"model": "m"})


def make(n_tokens=T, *, floor=FLOOR, sink=True, **options):
    """A map with random values, a first token that is a sink, and floors that hide some cells."""
    hmap = empty(n_tokens, **options)
    values = np.random.default_rng(1).normal(size=hmap.values.shape)
    hmap.dataset["influence"].values[:] = np.where(hmap.dataset["offset"] >= 1, values, 0.0)
    hmap.dataset["noise_floor"].values[1:] = floor  # layer 0: not prepared
    hmap.dataset["sink"].values[0] = sink
    hmap.dataset["baseline"].values[:] = "mean"
    return HorizonMap(hmap.dataset, hmap.tokens, hmap.query)


def magnitude(hmap, layer, source, target):
    value = abs(float(hmap.values.values[layer, source, target - 1]))
    floor = float(np.nan_to_num(hmap.dataset["noise_floor"].values[layer]))
    return value if value > floor else 0.0


def targets_of(hmap):
    return range(1, hmap.query.n_targets + 1)
