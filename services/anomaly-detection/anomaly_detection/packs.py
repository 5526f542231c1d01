"""Packs: what the messages of a maker's devices, or of a topic, mean.

Each file of ``policies/packs`` is one pack; a site's own are in ``policies/site/packs``, where a
rule of the same pack and id replaces ours, and ``enabled: false`` removes it. A pack with a mistake
is left out as a whole: it never stops detection.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Discriminator, Field, Tag, model_validator

from aiops_core.errors import Misconfigured
from aiops_core.models import Text
from aiops_core.policy.file import Section, read_model
from anomaly_detection.rules import (
    EVERYTHING,
    Burst,
    Globs,
    Harmless,
    LineRule,
    Pattern,
    Recovery,
    Sample,
)

OURS, SITES = Path("packs"), Path("site", "packs")  # in the folder of the policies
CRITICAL = frozenset({"kernel_panic"})  # types that only some services can know
R = TypeVar("R", bound=LineRule)


class Removed(Section):
    """``enabled: false`` in a site's pack: our rule of this id is not used."""

    id: Text
    enabled: Literal[False]


def _tag(rule: Any) -> str:
    """Which of the models *rule* in a file is of; `<`: no part of a place in the file."""
    if not isinstance(rule, Mapping):
        return "<rule>"
    if "enabled" in rule:
        return "<removed>"
    return "<clear>" if rule.get("state") == "clear" else "<rule>"


AnyPattern = Annotated[
    Annotated[Pattern, Tag("<rule>")]
    | Annotated[Recovery, Tag("<clear>")]
    | Annotated[Removed, Tag("<removed>")],
    Discriminator(_tag),
]
AnyBurst = Annotated[
    Annotated[Burst, Tag("<rule>")] | Annotated[Removed, Tag("<removed>")], Discriminator(_tag)
]
AnyHarmless = Annotated[
    Annotated[Harmless, Tag("<rule>")] | Annotated[Removed, Tag("<removed>")], Discriminator(_tag)
]


class Pack(Section):
    """One file. *services* are those of every rule that states none; *normal* raise nothing.

    ``{{name}}`` in a regex (or in a later word) stands for the alternatives that *words* gives it.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Text
    kind: Literal["maker", "topic", "generic"]
    source: Text
    services: Globs = EVERYTHING
    words: Mapping[str, Text] = Field(default_factory=dict)
    patterns: tuple[AnyPattern, ...] = ()
    bursts: tuple[AnyBurst, ...] = ()
    harmless: tuple[AnyHarmless, ...] = ()
    normal: tuple[Sample, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_words(cls, stated: Any) -> Any:
        """The file, its words put into the regexes."""
        if not (isinstance(stated, Mapping) and isinstance(stated.get("words"), Mapping)):
            return stated
        meanings: dict[str, str] = {}
        for name, text in stated["words"].items():
            meanings[str(name)] = f"(?:{_put(str(text), meanings)})"
        rules = {
            key: [_put_in_rule(rule, meanings) for rule in stated[key]]
            for key in ("patterns", "bursts", "harmless")
            if isinstance(stated.get(key), list)
        }
        return {**stated, **rules}

    @property
    def rules(self) -> Sequence[LineRule]:
        """Its rules as they stand in the file."""
        return [rule for rule in self._stated() if isinstance(rule, LineRule)]

    @property
    def removed(self) -> Sequence[str]:
        """The ids of our rules that a site does not want."""
        return [rule.id for rule in self._stated() if isinstance(rule, Removed)]

    def _stated(self) -> Iterator[LineRule | Removed]:
        yield from (*self.patterns, *self.bursts, *self.harmless)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = Counter(rule.id for rule in self._stated())
        if twice := sorted(id_ for id_, n in ids.items() if n > 1):
            raise ValueError(f"ids are used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _have_samples(self) -> Self:
        if bare := [rule.id for rule in self.rules if not (rule.positive and rule.negative)]:
            raise ValueError(f"a positive and a negative line are missing: {', '.join(bare)}")
        return self

    @model_validator(mode="after")
    def _critical_ones_know(self) -> Self:
        """A critical type needs a source that can know: a kernel, a console, a hypervisor."""
        for rule in self.rules:
            critical = isinstance(rule, Pattern | Burst) and rule.anomaly_type in CRITICAL
            stated = rule.services if "services" in rule.model_fields_set else self.services
            if critical and "*" in stated:
                raise ValueError(f"{rule.id}: name the services that can know of this type")
        return self


def _put(text: str, meanings: Mapping[str, str]) -> str:
    for name, meaning in meanings.items():
        text = text.replace(f"{{{{{name}}}}}", meaning)
    if unknown := re.search(r"\{\{\w+\}\}", text):
        raise ValueError(f"no word {unknown[0]}")
    return text


def _put_in_rule(rule: Any, meanings: Mapping[str, str]) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    texts = {key: rule[key] for key in ("regex", "near", "unless") if key in rule}
    put = {key: _put(text, meanings) for key, text in texts.items() if isinstance(text, str)}
    return {**rule, **put}


class SitePack(Pack):
    """A site's own: what it does not state is as in ours, or needs no statement."""

    title: str = ""
    kind: Literal["maker", "topic", "generic"] = "topic"
    source: str = "this site"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A pack that is not used, and the mistake in it."""

    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack, its file relative to the policies, and its rules with full names."""

    pack: Pack
    file: str
    rules: Sequence[LineRule]
    site: bool = False


@dataclass(frozen=True)
class Packs:
    """All packs in force, and those that were left out."""

    loaded: Sequence[LoadedPack] = ()
    left_out: Sequence[LeftOut] = ()
    rules: Sequence[LineRule] = field(default=())

    @classmethod
    def of(cls, loaded: Sequence[LoadedPack], left_out: Sequence[LeftOut] = ()) -> Self:
        """With the rules in force: a site's replace and remove ours."""
        rules: dict[str, LineRule] = {}
        for one in sorted(loaded, key=lambda one: one.site):
            rules |= {rule.id: rule for rule in one.rules}
            for id_ in one.pack.removed:
                rules.pop(f"{one.pack.id}/{id_}", None)
        return cls(tuple(loaded), tuple(left_out), tuple(rules.values()))

    def of_kind(self, kind: type[R]) -> tuple[R, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, kind))

    def without(self, pack: str) -> Packs:
        """The same without the pack *pack*."""
        return Packs.of([one for one in self.loaded if one.pack.id != pack], self.left_out)

    def files(self) -> Mapping[str, str]:
        """The file of each rule by its full name."""
        return {rule.id: one.file for one in self.loaded for rule in one.rules}


def load_packs(folder: Path) -> Packs:
    """All packs in *folder*, that of the policies. A folder without packs has none."""
    loaded: list[LoadedPack] = []
    left_out: list[LeftOut] = []
    for path in pack_files(folder):
        try:
            loaded.append(load_pack(path, folder))
        except Misconfigured as exc:
            left_out.append(LeftOut(str(path.relative_to(folder)), str(exc)))
    return Packs.of(loaded, left_out)


def pack_files(folder: Path) -> Sequence[Path]:
    """The files of packs in *folder*, the site's own last."""
    return [path for part in (OURS, SITES) for path in sorted((folder / part).glob("*.y*ml"))]


def load_pack(path: Path, folder: Path) -> LoadedPack:
    """The pack in the file *path*; raises Misconfigured with line and key of each mistake."""
    site = path.is_relative_to(folder / SITES)
    pack: Pack = read_model(path, SitePack if site else Pack)
    if pack.id != path.stem:
        raise Misconfigured(f"{path}: the id {pack.id} is not the name of the file")
    if pack.removed and not site:
        raise Misconfigured(f"{path}: only a site's own pack may say `enabled: false`")
    kind = "site" if site else pack.kind
    rules = [rule.of(kind, f"{pack.id}/{rule.id}", pack.services) for rule in pack.rules]
    cleared = {type_ for rule in rules if isinstance(rule, Recovery) for type_ in rule.clears}
    rules = [_lasting(rule, cleared) for rule in rules]
    file = path.relative_to(folder) if path.is_relative_to(folder) else path
    return LoadedPack(pack, str(file), rules, site)


def _lasting(rule: LineRule, cleared: Collection[str]) -> LineRule:
    """*rule*, which lasts if it raises what the pack clears and does not say otherwise."""
    if not isinstance(rule, Pattern) or rule.state != "raise" or rule.lasts is not None:
        return rule
    return rule.but(lasts=True) if rule.anomaly_type in cleared else rule


def uncleared_of(one: LoadedPack) -> Sequence[Pattern]:
    """Rules that raise what no rule of the pack clears, of that part of the device or of all."""
    clears = [rule for rule in one.rules if isinstance(rule, Recovery)]
    return [
        rule
        for rule in one.rules
        if isinstance(rule, Pattern)
        and (rule.lasts or (rule.state == "raise" and rule.lasts is None))
        and not any(clear.may_end(rule) for clear in clears)
    ]


def source_of(folder: Path, file: object, name: object) -> str:
    """``file:line`` of the rule with the full name *name*."""
    id_ = str(name).partition("/")[2]
    starts = re.compile(rf"\s*-?\s*\{{?\s*id:\s*['\"]?{re.escape(id_)}['\"]?\s*(?:[,}}]|$)")
    lines = (folder / str(file)).read_text(encoding="utf-8").splitlines()
    found = (n for n, text in enumerate(lines, 1) if starts.match(text))
    return f"{file}:{next(found, 1)}"
