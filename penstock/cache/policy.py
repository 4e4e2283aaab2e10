"""Whether an answer may come from the cache and may enter it: what the operator configured and the request wishes."""

import re
from dataclasses import dataclass, replace
from typing import Any

from penstock.configuration.policies import CacheConfig, CacheMode, CacheRuleConfig
from penstock.errors import InvalidRequest

#: the field of a request's body that says what its caller wishes; the header `x-penstock-cache` stands for it
FIELD = "penstock_cache"
#: the field with the tags by which its answer can be invalidated; the header `x-penstock-cache-tags` stands for it
TAGS_FIELD = "penstock_cache_tags"
MOST_TAGS = 16
#: no comma, which separates tags in the header
TAG = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_WORDS: dict[str, CacheMode] = {"on": "on", "read": "read", "write": "write", "refresh": "write"}
_WORDS |= {"off": "off", "no-store": "off", "no-cache": "write"}
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")
_DEFAULT = CacheRuleConfig()


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What is allowed for one request; `max_age` is in seconds, None: any age.

    `reads_alike` and `writes_alike` are for the semantic cache, which has a switch of its own: a request
    can only narrow that. The answer is kept with `tags`.
    """

    reads: bool = False
    writes: bool = False
    max_age: float | None = None
    reads_alike: bool = True
    writes_alike: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says of the cache; nothing said is None."""

    mode: CacheMode | None = None
    max_age: float | None = None
    tags: tuple[str, ...] = ()


def take_wish(body: dict[str, Any]) -> Wish:
    """The wish in a body, of which its fields are removed: no provider knows them.

    Raises:
        InvalidRequest: it is not of the form that `read_wish` and `read_tags` take.
    """
    return replace(read_wish(body.pop(FIELD, None)), tags=read_tags(body.pop(TAGS_FIELD, None)))


def read_tags(value: object) -> tuple[str, ...]:
    """The tags in a header or body field: a list, or a text in which commas separate them.

    Raises:
        InvalidRequest: they are not of that form, or too many.
    """
    if value is None:
        return ()
    if not isinstance(value, str | list):
        message = f"'{TAGS_FIELD}' must be a list of strings, or one string."
        raise InvalidRequest(message, param=TAGS_FIELD, code="invalid_type")
    tags = [tag.strip() for tag in value.split(",")] if isinstance(value, str) else value
    if not all(isinstance(tag, str) and TAG.fullmatch(tag) for tag in tags):
        message = f"'{TAGS_FIELD}': a tag is 1 to 64 letters, digits, '-', '_', '.', ':' or '/'."
        raise InvalidRequest(message, param=TAGS_FIELD, code="invalid_value")
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(f"'{TAGS_FIELD}' takes at most {MOST_TAGS} tags.", param=TAGS_FIELD, code="invalid_value")
    return tuple(dict.fromkeys(tags))


def read_wish(value: object) -> Wish:
    """The wish in a header or body field: words and `max-age=SECONDS`, separated by commas.

    Raises:
        InvalidRequest: it is not of that form.
    """
    wish = Wish()
    if value is None:
        return wish
    if not isinstance(value, str):
        raise InvalidRequest(f"'{FIELD}' must be a string.", param=FIELD, code="invalid_type")
    for word in (word.strip().lower() for word in value.split(",")):
        age = _MAX_AGE.fullmatch(word)
        if age:
            wish = replace(wish, max_age=float(age[1]))
        elif word in _WORDS:
            wish = replace(wish, mode=_WORDS[word])
        else:
            known = ", ".join([*_WORDS, "max-age=SECONDS"])
            raise InvalidRequest(f"'{FIELD}' knows {known}.", param=FIELD, code="invalid_value")
    return wish


def policy(config: CacheConfig, *, tenant: str, model: str, temperature: float | None, wish: Wish) -> CachePolicy:
    """What holds for a request. It can narrow what is configured; only `on` widens it, to its own temperature."""
    rule = next((rule for rule in config.rules if _fits(rule, tenant, model)), _DEFAULT)
    if rule.temperatures == "zero" and temperature != 0 and wish.mode is None:
        return CachePolicy(tags=wish.tags)
    modes = [rule.mode] if wish.mode is None else [rule.mode, wish.mode]
    ages = [age for age in (rule.max_age, wish.max_age) if age is not None]
    return CachePolicy(
        reads=all(mode in {"on", "read"} for mode in modes),
        writes=all(mode in {"on", "write"} for mode in modes),
        max_age=min(ages, default=None),
        reads_alike=wish.mode in {None, "on", "read"},
        writes_alike=wish.mode in {None, "on", "write"},
        tags=wish.tags,
    )


def _fits(rule: CacheRuleConfig, tenant: str, model: str) -> bool:
    return (not rule.tenants or tenant in rule.tenants) and (not rule.models or model in rule.models)
