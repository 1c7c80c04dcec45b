"""Account validation: segment values, cross-validation rules and existing combinations."""

import sqlite3
from dataclasses import dataclass

from athena_fusion.sandbox.fusion.setup import FusionSetup


@dataclass(frozen=True)
class Verdict:
    """Code and description of an account error."""

    code: str
    description: str


@dataclass(frozen=True)
class Account:
    """A usable combination: its text and, once created, its id. `balancing` is the primary balancing segment."""

    segments: str
    balancing: str
    id: int | None


class Chart:
    """The chart as it stands when an import runs; verdicts are kept for the run."""

    def __init__(self, connection: sqlite3.Connection, setup: FusionSetup) -> None:
        self._connection = connection
        self._setup = setup
        self._values = {
            (row["segment"], row["value"]): row for row in connection.execute("SELECT * FROM segment_values")
        }
        self._balancing = [segment.name for segment in setup.segments].index(setup.balancing_segment)
        self._seen: dict[tuple[tuple[str | None, ...], str], Account | Verdict] = {}

    def check(self, values: tuple[str | None, ...], day: str) -> Account | Verdict:
        """Validate 30 segment values on an accounting date (ISO text)."""
        key = (values, day)
        if key not in self._seen:
            self._seen[key] = self._check(values, day)
        return self._seen[key]

    def create(self, account: Account) -> int:
        """Id of the combination, created now where it does not exist yet."""
        if account.id is not None:
            return account.id
        self._connection.execute(
            "INSERT OR IGNORE INTO gl_code_combinations (segments, enabled, detail_posting) VALUES (?, 1, 1)",
            (account.segments,),
        )
        row = self._connection.execute(
            "SELECT id FROM gl_code_combinations WHERE segments = ?", (account.segments,)
        ).fetchone()
        return int(row["id"])

    def _check(self, values: tuple[str | None, ...], day: str) -> Account | Verdict:
        used = values[: len(self._setup.segments)]
        for segment, value in zip(self._setup.segments, used, strict=True):
            if value is None:
                return Verdict("EF04", f"FLEX-DATA NOT ENTERED (SEGMENT={segment.name})")
        if any(value is not None for value in values[len(used) :]):
            return Verdict("EF04", "FLEX-TOO MANY SEGMENTS")
        texts = tuple(value for value in used if value is not None)
        segments = self._setup.separator.join(texts)
        row = self._connection.execute(
            "SELECT * FROM gl_code_combinations WHERE segments = ?", (segments,)
        ).fetchone()
        verdict = self._new(texts) if row is None else self._existing(row, texts, day)
        if verdict is not None:
            return verdict
        return Account(segments, texts[self._balancing], None if row is None else row["id"])

    def _existing(self, row: sqlite3.Row, texts: tuple[str, ...], day: str) -> Verdict | None:
        if (row["first_day"] or day) > day or (row["last_day"] or day) < day:
            return Verdict("EF01", f"The combination {row['segments']} isn't active on {day}.")
        if not row["enabled"]:
            return Verdict("EF03", f"The combination {row['segments']} is disabled.")
        if not row["detail_posting"]:
            return Verdict("EF02", f"Detail posting isn't allowed to the combination {row['segments']}.")
        for segment, value in zip(self._setup.segments, texts, strict=True):
            known = self._values.get((segment.name, value))
            if known is not None and not known["enabled"]:
                return Verdict("EF03", self._flex("FLEX-VALUE DISABLED", segment.name, value))
        return None

    def _new(self, texts: tuple[str, ...]) -> Verdict | None:
        named = dict(zip((segment.name for segment in self._setup.segments), texts, strict=True))
        for segment, value in named.items():
            known = self._values.get((segment, value))
            if known is None:
                return Verdict("EF04", self._flex("FLEX-VALUE DOES NOT EXIST", segment, value))
            if not known["enabled"]:
                return Verdict("EF04", self._flex("FLEX-VALUE DISABLED", segment, value))
            if known["summary"]:
                return Verdict(
                    "EF04",
                    self._flex("This new code combination includes summary segment values", segment, value),
                )
            if not known["posting"]:
                return Verdict("EF02", self._flex("Detail posting isn't allowed", segment, value))
        for rule in self._setup.cross_validation_rules:
            if all(named[segment].startswith(start) for segment, start in rule.barred.items()):
                return Verdict("EF04", f"FLEX-CROSS-VALIDATION RULE: {rule.message}")
        return None

    def _flex(self, problem: str, segment: str, value: str) -> str:
        value_set = next(each.value_set for each in self._setup.segments if each.name == segment)
        return f"{problem} (SEGMENT={segment}) (VALUESET={value_set}) (VALUE={value})"
