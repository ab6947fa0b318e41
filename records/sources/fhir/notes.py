"""Notes of documents and reports: text that stands in them, plain or as HTML; what is elsewhere is not read."""

import binascii
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from cohorts.records.sources.fhir.elements import (
    Found,
    Json,
    Remarks,
    Row,
    Unusable,
    encounter_of,
    first,
    key_of_type,
    patient_of,
    time_of,
    unused,
)
from cohorts.records.sources.fhir.systems import words_of

_PLAIN, _HTML = ("text/plain", "text/markdown", ""), ("text/html", "application/xhtml+xml")
ELSEWHERE = "whose text stands elsewhere, by an address"
_NO_TEXT = "of a kind that is no text"
_BLOCKS = {
    "p",
    "div",
    "br",
    "tr",
    "li",
    "table",
    "ul",
    "ol",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "section",
    "pre",
}
_HIDDEN = {"script", "style", "head", "title"}


def document_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a DocumentReference."""
    one = found.resource
    context = one.get("context") or {}
    seen = context.get("encounter") or ()
    encounter = key_of_type((first(seen) or {}).get("reference"), "Encounter")
    time = one.get("date") or (context.get("period") or {}).get("start")
    attachments = [part.get("attachment") or {} for part in one.get("content") or ()]
    text, why = _text(attachments)
    states = [unused(one.get(state)) for state in ("status", "docStatus")]
    category = words_of(one.get("type")) or words_of(first(one.get("category")))
    yield (
        "DocumentReference",
        (
            patient_of(one),
            found.key,
            found.version,
            encounter,
            category,
            time_of(time, remarks),
            text,
            next((state for state in states if state), why),
            *found.place,
        ),
    )


def report_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a DiagnosticReport that has a text: in its form, else its conclusion."""
    one = found.resource
    forms = one.get("presentedForm") or ()
    text, why = _text(forms)
    text = text or one.get("conclusion")
    if not text and not forms:
        return
    time = (
        one.get("effectiveDateTime") or (one.get("effectivePeriod") or {}).get("start") or one.get("issued")
    )
    yield (
        "DiagnosticReport",
        (
            patient_of(one),
            found.key,
            found.version,
            encounter_of(one),
            words_of(one.get("code")) or words_of(first(one.get("category"))),
            time_of(time, remarks),
            text,
            unused(one.get("status")) or (None if text else why),
            *found.place,
        ),
    )


def _text(attachments: Any) -> tuple[str | None, str | None]:
    """Return the text of a document, or why there is none: plain attachments, else those of HTML.

    Raises Unusable.
    """
    there = [one for one in attachments if one.get("data")]
    for kinds in (_PLAIN, _HTML):
        texts = [_decoded(one) for one in there if _kind(one)[0] in kinds]
        if texts:
            joined = "\n".join(texts if kinds is _PLAIN else map(plain_text, texts))
            return joined or None, None
    if there:
        return None, _NO_TEXT
    return None, ELSEWHERE if any(one.get("url") for one in attachments) else None


def _kind(attachment: Json) -> tuple[str, str]:
    """Return the kind of an attachment, and in which characters it is written."""
    kind, _, further = (attachment.get("contentType") or "").partition(";")
    _, _, charset = further.lower().partition("charset=")
    return kind.strip().lower(), charset.split(";")[0].strip(' "') or "utf-8"


def _decoded(attachment: Json) -> str:
    try:
        raw = binascii.a2b_base64(attachment["data"])
    except (binascii.Error, ValueError):
        raise Unusable("its attachment is no base64") from None
    try:
        return raw.decode(_kind(attachment)[1])
    except (UnicodeDecodeError, LookupError):
        return raw.decode("cp1252", errors="replace")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = self._kept = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - as HTMLParser has it
        self._hidden += tag in _HIDDEN
        self._kept += tag == "pre"
        self._begin(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        self._kept = max(0, self._kept - (tag == "pre"))
        self._begin(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data if self._kept else re.sub(r"\s+", " ", data))

    def _begin(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")


def plain_text(html: str) -> str:
    """Return what HTML shows, a line for each of its blocks."""
    words = _Words()
    words.feed(html)
    words.close()
    lines = (" ".join(line.split()) for line in "".join(words.parts).split("\n"))
    return "\n".join(line for line in lines if line)
