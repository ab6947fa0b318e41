"""The tables of records/codes/concepts/tables, made again from what agencies publish.

    python benchmarks/concept_tables.py SOURCES

SOURCES is a folder with the files named below; docs/concepts.md says where they come from, of which version and under
which licence. Nothing of the demos goes in. What is written is the same for the same files.
"""

import csv
import io
import json
import lzma
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from cohorts.records.codes.concepts.drugs import plain_words
from cohorts.records.codes.concepts.laboratory import fluid_of, item_key, loinc_item
from cohorts.records.measured.measures import load_measures, measures_by_loinc

TABLES = Path(__file__).resolve().parents[1] / "records" / "codes" / "concepts" / "tables"
CCS_ICD9 = {"diagnosis": "ccs_icd9_dx_2015.csv.gz", "procedure": "ccs_icd9_pr_2015.csv.gz"}
CCS_ICD10 = {"diagnosis": "ccs_dx_icd10cm_2019_1.csv", "procedure": "ccs_pr_icd10pcs_2019_1.csv"}
CCSR = ("dxccsr_v2023_1", "prccsr_v2023_1")
RXNORM, UNII, LOINC_OF_MIMIC = "rxnorm_20251006", "UNII_Names.txt", "d_labitems_to_loinc.csv"

# Words that tell an ingredient's salt, hydrate or source: what is before them is the ingredient, unless it begins with
# a cation or another word that needs them (potassium chloride, nitrous oxide).
SALTS = (
    "sodium potassium calcium magnesium zinc lysine meglumine tromethamine trometamol ammonium hydrochloride hcl "
    "dihydrochloride monohydrochloride hydrobromide hydroiodide chloride bromide iodide sulfate sulphate bisulfate "
    "succinate hemisuccinate tartrate bitartrate acetate diacetate citrate dihydrogen gluconate phosphate diphosphate "
    "maleate mesylate dimesylate fumarate hemifumarate besylate tosylate nitrate lactate malate oxalate pamoate "
    "embonate stearate ethylsuccinate lactobionate estolate palmitate propionate dipropionate valerate furoate "
    "xinafoate carbonate bicarbonate hydroxide oxide anhydrous monohydrate dihydrate trihydrate tetrahydrate "
    "pentahydrate hexahydrate hemihydrate sesquihydrate hydrate isethionate napsylate edisylate disodium dipotassium "
    "trisodium monosodium axetil proxetil pivoxil cypionate enanthate decanoate medoxomil cilexetil etexilate mofetil "
    "esylate camsylate gluceptate hyclate monobasic dibasic micronized unspecified form human recombinant "
    "racemic"
)
HELD = (
    "sodium potassium calcium magnesium zinc lithium ammonium aluminum aluminium ferrous ferric iron silver barium "
    "copper cupric manganese manganous strontium bismuth selenious hydrogen carbon nitrous nitric methyl ethyl "
    "amino"
)
HCPCS = {  # the sections of CMS' HCPCS level II; CPT (level I, five digits) is the American Medical Association's
    "A": "Transport, medical and surgical supplies, administrative",
    "B": "Enteral and parenteral therapy",
    "C": "Outpatient prospective payment system",
    "D": "Dental procedures",
    "E": "Durable medical equipment",
    "G": "Procedures and professional services (temporary)",
    "H": "Alcohol and drug abuse treatment, behavioural health",
    "J": "Drugs administered other than by mouth",
    "K": "Durable medical equipment (temporary)",
    "L": "Orthotics and prosthetics",
    "M": "Medical services, quality measures",
    "P": "Pathology and laboratory",
    "Q": "Temporary codes",
    "R": "Diagnostic radiology",
    "S": "Codes of private payers (temporary)",
    "T": "Codes of Medicaid agencies",
    "U": "Coronavirus diagnostic panels",
    "V": "Vision and hearing",
}
OF_DRUGS = {"VANDF", "ORANGE BOOK", "USP MONOGRAPH", "PURPLE BOOK CDER"}
_STRENGTH = re.compile(r"(.+?)\s+\d[\d.,]*\s*[A-Z%\[]")
_AMOUNT = re.compile(r"^\d+(\.\d+)?\s*(HR|ML|ACTUAT)\s+")
_TAG = re.compile(r" \[([^\]]+)\]$")


def main(sources: Path) -> None:
    write_categories(sources)
    write_drugs(sources)
    write_laboratory(sources)
    for file in sorted(TABLES.iterdir()):
        print(f"{file.name}: {file.stat().st_size:,} bytes")


def write(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    packed = lzma.compress(stream.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME)
    (TABLES / f"{name}.csv.xz").write_bytes(packed)


# CCS and CCSR: a code by the shortest beginning under which every code known is of the same categories.


def write_categories(sources: Path) -> None:
    rows: list[tuple[str, str, str, str]] = []
    titles: dict[tuple[str, str], str] = {}
    for kind, file in CCS_ICD10.items():
        told = pd.read_csv(sources / file, dtype=str)
        told.columns = pd.Index([name.strip("'") for name in told.columns])
        code, category = (told[name].str.strip("' ") for name in (told.columns[0], "CCS CATEGORY"))
        rows += shortest(kind, "ICD-10", dict(zip(code, category, strict=True)))
        titles |= zip(((kind, one) for one in category), told["CCS CATEGORY DESCRIPTION"], strict=True)
    for kind, file in CCS_ICD9.items():
        told = pd.read_csv(sources / file, dtype=str)
        rows += shortest(kind, "ICD-9", dict(zip(told["icd9_code"], told["ccs_category"], strict=True)))
        for category, title in zip(told["ccs_category"], told["ccs_description"], strict=True):
            titles.setdefault((kind, category), title)
    write_map("ccs", rows, titles)
    write_map("ccsr", *ccsr(sources))
    hcpcs = {("procedure", letter): title for letter, title in HCPCS.items()}
    write_map("hcpcs", [("procedure", "HCPCS", letter, letter) for letter in HCPCS], hcpcs)


def ccsr(sources: Path) -> tuple[list[tuple[str, str, str, str]], dict[tuple[str, str], str]]:
    diagnoses, titles = {}, {}
    for code, told in ccsr_diagnoses(sources):
        pairs = [(category, title) for category, title in told if re.fullmatch(r"[A-Z]{3}\d{3}", category)]
        diagnoses[code] = "|".join(category for category, _ in pairs)
        titles |= {("diagnosis", category): title for category, title in pairs}
    found = pd.read_parquet(sources / f"_value_set_{CCSR[1]}_cleaned_map.parquet")
    procedures = dict(zip(found["icd_10_pcs"], found["prccsr"], strict=True))
    titles |= zip(
        (("procedure", category) for category in found["prccsr"]), found["prccsr_description"], strict=True
    )
    rows = shortest("diagnosis", "ICD-10", diagnoses) + shortest("procedure", "ICD-10", procedures)
    return rows, titles


def ccsr_diagnoses(sources: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield every code with its categories; of the second and third file the first row stands in the header."""
    for part in range(3):
        found = pd.read_parquet(sources / f"_value_set_{CCSR[0]}_cleaned_map_{part}.parquet")
        for row in [list(found.columns)] * (part > 0) + found.to_numpy().tolist():
            texts = [cell.strip() if isinstance(cell, str) else "" for cell in row]
            if re.fullmatch(r"[A-Z]\d[0-9A-Z]{1,5}", texts[0]):
                yield texts[0], list(zip(texts[6::2], texts[7::2], strict=False))


def write_map(
    name: str, rows: list[tuple[str, str, str, str]], titles: Mapping[tuple[str, str], str]
) -> None:
    write(name, ("kind", "system", "prefix", "concepts"), sorted(rows))
    numbered = sorted(titles.items(), key=lambda one: (one[0][0], one[0][1].rjust(6)))
    write(f"{name}_titles", ("kind", "code", "title"), [(*key, title.strip()) for key, title in numbered])


def shortest(kind: str, system: str, table: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Return the shortest beginnings (of 3 characters or more, 2 of ICD-9 procedures) that are of one value."""
    least = 2 if (kind, system) == ("procedure", "ICD-9") else 3
    below = defaultdict(set)
    for code, value in table.items():
        for length in range(least, len(code) + 1):
            below[code[:length]].add(value)
    found = {}
    for code, value in table.items():
        alone = (code[:length] for length in range(least, len(code)) if len(below[code[:length]]) == 1)
        found[next(alone, code)] = value
    return [(kind, system, prefix, value) for prefix, value in found.items() if value]


# Drugs: RxNorm's ingredients, brands and NDC, then the FDA's names of substances.


class Drugs:
    """What names and products are of which ingredients, as it is found."""

    def __init__(self, entries: Sequence[Mapping], substances: Mapping[str, list[tuple[str, str]]]) -> None:
        self.entries = entries
        self.of_kind = {kind: [one for one in entries if one["TTY"] == kind] for kind in ("IN", "PIN", "MIN")}
        self.ingredients = {plain_words(one["Name"]): one["Name"] for one in self.of_kind["IN"]}
        self.substances = {plain_words(name) for names in substances.values() for name, _ in names}
        self.precise = self._precise()
        self.names: dict[str, tuple[str, ...]] = {}
        self.products: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)

    def _precise(self) -> dict[str, str]:
        """Return the ingredient of every precise one (a salt): in its name, and in most of its drugs."""
        of_drug = defaultdict(set)
        for entry, drug in [(one, drug) for one in self.of_kind["IN"] for drug in drugs_of(one)]:
            of_drug[drug["RXCUI"]].add(entry["Name"])
        found = {}
        for one in self.of_kind["PIN"]:
            within = Counter(name for drug in drugs_of(one) for name in sorted(of_drug[drug["RXCUI"]]))
            words = set(plain_words(one["Name"]).split())
            named = [name for name, _ in within.most_common() if words & set(plain_words(name).split())]
            bare = self.ingredients.get(without_salt(plain_words(one["Name"])))
            if bare or named or within:
                found[one["Name"]] = bare or (named or [within.most_common(1)[0][0]])[0]
        return found

    def resolve(self, part: str) -> str | None:
        """Return the ingredient of one part of a drug's name; those that the files lack (A) go by their own name."""
        words = plain_words(part)
        bare = without_salt(words)
        known = self.ingredients.get(words) or self.precise.get(part) or self.ingredients.get(bare)
        return known or (bare if words[:1] == "a" and {words, bare} & self.substances else None)

    def put(self, name: str, ingredients: Iterable[str | None]) -> None:
        made = tuple(sorted({one for one in ingredients if one}))
        if made:
            self.names.setdefault(plain_words(name), made)

    def read_rxnorm(self) -> None:
        for one in self.of_kind["IN"]:
            self.put(one["Name"], [one["Name"]])
        for one in self.of_kind["PIN"]:
            self.put(one["Name"], [self.precise.get(one["Name"])])
        for one in self.of_kind["MIN"]:
            parts = [self.resolve(part) for part in one["Name"].split(" / ")]
            if all(parts):
                self.put(one["Name"], parts)
        brands: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for drug, ingredients in self.drugs():
            for branded in [drug, *drug.get("SBDs", ())]:
                for ndc in branded.get("NDCs", ()):
                    self.products[ndc[:9]][ingredients] += 1
                for brand in branded.get("BNs", ()):
                    brands[brand["Name"]][ingredients] += 1
        for brand, found in brands.items():
            self.put(brand, found.most_common(1)[0][0])

    def drugs(self) -> Iterator[tuple[Mapping, tuple[str, ...]]]:
        """Yield every drug with its ingredients: those that list it, and those that its name tells."""
        listed = defaultdict(set)
        for one in self.of_kind["IN"]:
            for drug in drugs_of(one):
                listed[drug["RXCUI"]].add(one["Name"])
        for one in self.entries:
            for drug in drugs_of(one):
                told = {self.resolve(part) for part in parts_of(drug["Name"])}
                made = tuple(sorted((listed[drug["RXCUI"]] | told) - {None}))
                if made:
                    yield drug, made

    def read_substances(
        self, substances: Mapping[str, list[tuple[str, str]]], shown: Mapping[str, str]
    ) -> None:
        of_unii = {one["UNII"]: one["Name"] for one in self.of_kind["IN"] if "UNII" in one}

        def order(unii: str) -> tuple[bool, bool, int, str]:
            return unii not in of_unii, not tags_of(substances[unii]) & OF_DRUGS, len(shown[unii]), unii

        for unii in sorted(substances, key=order):
            names, tags = substances[unii], tags_of(substances[unii])
            ingredient = of_unii.get(unii) or self._of_substance(shown[unii], tags)
            if ingredient is None:
                continue
            for name, kind in names:
                words = plain_words(_TAG.sub("", name))
                if is_a_name(words) and (kind in ("of", "bn") or tags & {*OF_DRUGS, "INN", "WHO-DD"}):
                    self.put(words, [ingredient])
            self.put(without_salt(plain_words(shown[unii])), [ingredient])

    def _of_substance(self, shown: str, tags: set[str]) -> str | None:
        words = plain_words(shown)
        for name in (words, without_salt(words)):
            if name in self.ingredients:
                return self.ingredients[name]
            if len(self.names.get(name, ())) == 1:
                return self.names[name][0]
        bare = without_salt(words)
        anion = re.sub(r"ic acid$", "ate", bare)
        if anion in self.ingredients:
            return self.ingredients[anion]
        return bare if tags & {*OF_DRUGS, "INN"} else None


def drugs_of(entry: Mapping) -> Iterator[Mapping]:
    for component in entry["SCDCs"]:
        yield from component.get("SCDs", ())


def parts_of(name: str) -> list[str]:
    """Return the ingredients that a clinical drug's name tells, with their salts; none where one can't be read."""
    parts = [_STRENGTH.match(_AMOUNT.sub("", part)) for part in _AMOUNT.sub("", name).split(" / ")]
    return [part[1] for part in parts if part] if all(parts) else []


def without_salt(words: str) -> str:
    left = words.split()
    while len(left) > 1 and left[-1] in SALTS.split() and left[0] not in HELD.split():
        left.pop()
    return " ".join(left)


def tags_of(names: Iterable[tuple[str, str]]) -> set[str]:
    return {found[1] for name, _ in names if (found := _TAG.search(name))}


def is_a_name(words: str) -> bool:
    """Tell whether people may write it: neither a formula nor a systematic name."""
    return 3 <= len(words) <= 45 and len(words.split()) <= 5 and not re.search(r"\d{3}|\d \d", words)


def write_drugs(sources: Path) -> None:
    substances: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    shown = {}
    with (sources / UNII).open(encoding="utf-8", errors="replace") as stream:
        next(stream)
        for line in stream:
            name, kind, unii, display = line.rstrip("\n").split("\t")
            substances[unii].append((name, kind))
            shown[unii] = display
    files = sorted((sources / RXNORM).glob("*.json"))
    entries = [one for file in files for one in json.loads(file.read_text(encoding="utf-8"))]
    drugs = Drugs(entries, substances)
    drugs.read_rxnorm()
    drugs.read_substances(substances, shown)
    write("drug_names", ("ingredients", "names"), grouped(drugs.names))
    write("ndc", ("ingredients", "products"), grouped(of_one_set(drugs.products), " "))


def of_one_set(products: Mapping[str, Counter[tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Return the products that are of one set of ingredients, or nearly always of one."""
    most = {product: found.most_common(2) for product, found in products.items()}
    return {
        product: first[0]
        for product, (first, *others) in most.items()
        if not others or first[1] >= 4 * others[0][1]
    }


def grouped(table: Mapping[str, tuple[str, ...]], between: str = "|") -> list[tuple[str, str]]:
    by_set = defaultdict(list)
    for name, ingredients in table.items():
        by_set["|".join(ingredients)].append(name)
    return [(ingredients, between.join(sorted(names))) for ingredients, names in sorted(by_set.items())]


# Laboratory items: the measures of records/measured, then MIMIC's dictionary with LOINC's long names.


def write_laboratory(sources: Path) -> None:
    told = pd.read_csv(sources / LOINC_OF_MIMIC, dtype=str, encoding="utf-8-sig").fillna("")
    rows = {("LOINC", code): measure.name for code, measure in measures_by_loinc().items()}
    rows |= {("name", item_key(name)): name for name in load_measures()}
    measures = {}
    for code, name in zip(told["omop_concept_code"], told["omop_concept_name"], strict=True):
        if code in measures_by_loinc() and name:
            measures.setdefault(loinc_item(name), measures_by_loinc()[code].name)
    for row in told[told["omop_concept_code"] != ""].itertuples():
        what, fluid = loinc_item(row.omop_concept_name or row.label)
        fluid = fluid_of(row.label) or fluid_of(row.fluid) or fluid
        concept = measures.get((what, fluid)) or f"{fluid} {what}".strip()
        by_loinc = rows.setdefault(("LOINC", row.omop_concept_code), concept)
        concept = by_loinc if fluid_of(by_loinc) == fluid else concept
        for name in (row.label, what):
            rows.setdefault(("name", item_key(name, fluid)), concept)
    rows.pop(("name", ""), None)
    write("laboratory", ("system", "code", "concept"), sorted((*key, one) for key, one in rows.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
