"""The plane of UMAP (extra `umap`): it keeps who is near whom; distances and sizes of clusters say nothing."""

from importlib.util import find_spec
from typing import Any

import numpy as np
from cohorts.errors import MissingExtra
from cohorts.extras import install_command
from cohorts.measures.geometry import Values

_NEIGHBOURS = 15
_FEWEST = 5  # rows: with fewer, its start by eigenvectors fails


def check_installed() -> None:
    """Raise MissingExtra where the library is not there; it is loaded by `umap_plane` alone, which takes seconds."""
    if find_spec("umap") is None:
        raise MissingExtra(
            f"UMAP is not installed: {install_command('umap')}.",
            remedy="Or take the projection pca.",
            hint="pca",
        )


def umap_plane(vectors: Any) -> Values:
    """Return unit rows (n, dim), dense or sparse, in the plane, (n, 2), by their cosines; NaN for fewer than 5 rows.

    The same rows always lie the same. Source: McInnes et al., 2018, UMAP, arXiv:1802.03426.
    """
    from scipy.sparse import csr_matrix

    rows = vectors.shape[0]
    if rows < _FEWEST:
        return np.full((rows, 2), np.nan)
    from umap import UMAP

    given = csr_matrix(vectors) if hasattr(vectors, "toarray") else vectors  # it can't read sparse arrays
    model = UMAP(
        n_neighbors=min(_NEIGHBOURS, rows - 1), n_components=2, metric="cosine", random_state=0, n_jobs=1
    )
    return np.asarray(model.fit_transform(given), np.float64)
