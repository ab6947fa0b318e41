"""Lists that come with the package, as tables that the SELECTs read: they help where a site has no vocabulary."""

from functools import cache

import pyarrow as pa
from cohorts.records.codes.concepts.packaged import read_packed


@cache
def icd_known() -> pa.Table:
    """Return the beginnings of ICD codes that CCS and CCSR know: `kind`, `system`, `prefix`."""
    rows = {tuple(row[:3]) for name in ("ccs", "ccsr") for row in read_packed(f"{name}.csv.xz")}
    kinds, systems, prefixes = zip(*sorted(rows), strict=True)
    return pa.table({"kind": kinds, "system": systems, "prefix": prefixes})


@cache
def ndc_known() -> pa.Table:
    """Return the ingredients of products: `product`, the first nine digits of an NDC, and `name`."""
    names, products = [], []
    for ingredients, told in read_packed("ndc.csv.xz"):
        for product in told.split(" "):
            names.append(ingredients.replace("|", " / "))
            products.append(product)
    return pa.table({"product": products, "name": names})
